"""Layers merged into one document, and references in it.

Documents are merged as RFC 7396 says: objects by key, ``null`` removes, everything else replaces.
Values may hold a ``Hidden``, which stands for a secret and stays one wherever it goes.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from distributed_config.wire import MASK, escape_pointer, name_problem, parse_pointer

USE = "$use"
"""The key of a reference: ``{"$use": "SERVICE#/pointer"}``."""

MARK_OF_USE = f'"{USE}"'
"""What stands in the text of every document that has a reference."""

# As RFC 6901 has it; a document has fewer elements than ten digits can count.
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


@dataclass(frozen=True)
class Hidden:
    """A secret in a document: in the clear, or the mask for those who may not read it.

    ``service`` is where the secret comes from.
    """

    value: Any
    service: str

    @property
    def is_masked(self) -> bool:
        """Whether the mask stands in its place."""
        return bool(self.value == MASK and isinstance(self.value, str))


@dataclass(frozen=True)
class Reference:
    """The place of a value in another service's resolved document."""

    service: str
    tokens: tuple[str, ...]


def merge(target: Any, patch: Any) -> Any:
    """Return ``target`` with ``patch`` merged into it; neither is changed."""
    if isinstance(patch, Hidden):
        # A secret is merged as what it is: to those who see it as text, an object is merged too.
        if patch.is_masked or not isinstance(patch.value, dict):
            return patch
        return Hidden(merge(unwrapped(target), patch.value), patch.service)
    if isinstance(target, Hidden) and isinstance(patch, dict):
        # A part of a secret is as secret as the whole. What is masked stays so: its parts are not
        # known here.
        value = target.value if target.is_masked else merge(target.value, patch)
        return Hidden(value, target.service)
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        # RFC 7396 has no way to set a null: in a patch it always removes.
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def is_reference(value: Any) -> bool:
    """Whether ``value`` is an object with the one key ``$use``."""
    return isinstance(value, dict) and value.keys() == {USE}


def parse_reference(text: Any) -> Reference | str:
    """Return the reference that ``text`` is, or the sentence that says why it is none."""
    if not isinstance(text, str) or "#" not in text:
        return "A reference is SERVICE#/pointer, as in platform/database#/host."
    return _parse_reference(text)


# Remembered: each reference is looked at when layers are read, merged and checked.
@lru_cache(maxsize=4_096)
def _parse_reference(text: str) -> Reference | str:
    service, _, pointer = text.partition("#")
    problem = name_problem(service)
    if problem:
        return f"Before the # stands the name of a service: {problem}"
    if not _POINTER.fullmatch(pointer):
        return "After the # stands a JSON pointer, as /host, or nothing for the whole document."
    return Reference(service, parse_pointer(pointer) if pointer else ())


def references(value: Any) -> Iterator[tuple[str, Reference | str]]:
    """Yield the JSON pointer of each ``$use`` in ``value``, with what it refers to.

    Where it is malformed, or has other keys beside it, the second is the sentence that says so.
    """
    # A loop instead of recursion: it runs for every document that may have a reference.
    waiting = [("", value)]
    while waiting:
        pointer, here = waiting.pop()
        if isinstance(here, dict):
            if USE in here:
                alone = len(here) == 1
                yield (
                    pointer,
                    parse_reference(here[USE])
                    if alone
                    else f"{USE} stands alone: an object that has it has no other keys.",
                )
                continue
            # Reversed, because the last one is taken first: problems come in the document's order.
            waiting += [
                (f"{pointer}/{escape_pointer(key)}", child) for key, child in reversed(here.items())
            ]
        elif isinstance(here, list):
            waiting += [(f"{pointer}/{i}", child) for i, child in reversed([*enumerate(here)])]


def fill_in(value: Any, find: Callable[[str, Any], Any], pointer: str = "") -> Any:
    """Return ``value`` with the result of ``find`` in place of every reference.

    ``find`` gets the JSON pointer of the reference, and the text of it.
    """
    if isinstance(value, dict):
        # What is found is not looked at again: it comes from a document that is resolved already.
        if is_reference(value):
            return find(pointer, value[USE])
        return {
            key: fill_in(child, find, f"{pointer}/{escape_pointer(key)}")
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [fill_in(child, find, f"{pointer}/{i}") for i, child in enumerate(value)]
    return value


MISSING = object()
"""Stands for a value that is not there."""


def value_at(value: Any, tokens: tuple[str, ...]) -> Any:
    """Return what is in ``value`` at the place of a reference, or MISSING."""
    for position, token in enumerate(tokens):
        if isinstance(value, Hidden):
            inside = value.value if value.is_masked else value_at(value.value, tokens[position:])
            return inside if inside is MISSING else Hidden(inside, value.service)
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return MISSING
    return value


def hidden_places(value: Any) -> dict[tuple[str | int, ...], Hidden]:
    """Return every secret in ``value``, by its path."""
    found: dict[tuple[str | int, ...], Hidden] = {}
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, here = waiting.pop()
        if isinstance(here, Hidden):
            found[path] = here
        elif isinstance(here, dict):
            waiting += [((*path, key), child) for key, child in here.items()]
        elif isinstance(here, list):
            waiting += [((*path, i), child) for i, child in enumerate(here)]
    return found


def unwrapped(value: Any) -> Any:
    """Return ``value`` with the values of secrets, or masks, in place of each ``Hidden``."""
    if isinstance(value, Hidden):
        return value.value
    if isinstance(value, dict):
        return {key: unwrapped(child) for key, child in value.items()}
    if isinstance(value, list):
        return [unwrapped(child) for child in value]
    return value


def weight_of(value: Any, most: int) -> int:
    """Return about how long ``value`` is as text; counting ends when it is above ``most``."""
    weight = 0
    waiting = [value]
    while waiting and weight <= most:
        here = waiting.pop()
        if isinstance(here, Hidden):
            here = here.value
        weight += 1 + (len(here) if isinstance(here, str | dict | list) else 0)
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return weight


def changed_pointers(before: Any, after: Any, pointer: str = "") -> Iterator[str]:
    """Yield the JSON pointers of the places at which two documents differ, the outermost of each.

    MISSING stands for no document.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            child = f"{pointer}/{escape_pointer(key)}"
            yield from changed_pointers(before.get(key, MISSING), after.get(key, MISSING), child)
    elif not same(before, after):
        yield pointer


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON: for Python 1, 1.0 and True are equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # The order of keys is a part of the document: it is served in it.
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
