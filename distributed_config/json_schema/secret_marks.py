"""The places of a document that a schema marks as secret: ``"x-secret": true``."""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from distributed_config.json_schema.outline import Node, Outline, Part
from distributed_config.json_schema.patterns import fits
from distributed_config.wire import MASK, parse_stored

KEYWORD = "x-secret"

State = frozenset[str]
"""The schemas, by their pointers, that apply to one place and lead to a mark; few or none."""

_MOST_CACHED = 20_000


class SecretMarks:
    """The marks of the schema in ``text``.

    Every schema that may apply to a place counts, alternatives and conditions included. Which of
    them holds must not matter: what is masked would then depend on the secret, and reveal it.
    """

    def __init__(self, text: str) -> None:
        self._outline = Outline(parse_stored(text))
        self._nodes = self._outline.nodes
        self._leading = self._leading_to_a_mark()
        self._members: dict[tuple[State, str], State] = {}
        self.start = self.closed([("", self._outline.schema)])

    @property
    def marks(self) -> bool:
        """Whether anything that a document can have is marked."""
        return bool(self.start)

    def is_secret(self, state: State) -> bool:
        """Whether the place itself is marked."""
        return any(_is_marked(self._nodes[pointer]) for pointer in state)

    def member(self, state: State, name: str) -> State:
        """Return the state of the member ``name``."""
        member = self._members.get((state, name))
        if member is None:
            nodes = [self._nodes[pointer] for pointer in state]
            member = self.closed(part for node in nodes for part in self._of_member(node, name))
            if len(self._members) > _MOST_CACHED:
                self._members.clear()
            self._members[state, name] = member
        return member

    def element(self, state: State, position: int) -> State:
        """Return the state of the element at ``position``."""
        nodes = [self._nodes[pointer] for pointer in state]
        return self.closed(part for node in nodes for part in _of_element(node, position))

    def node(self, pointer: str) -> Node:
        """Return the schema at ``pointer``."""
        return self._nodes[pointer]

    def names(self, state: State) -> set[str]:
        """Return the names of the members that ``state`` describes one by one."""
        return {name for pointer in state for name in self._nodes[pointer].properties}

    def positions(self, state: State) -> int:
        """Return how many elements ``state`` describes one by one."""
        return max((len(self._nodes[pointer].positions) for pointer in state), default=0)

    def closed(self, parts: Iterable[Part]) -> State:
        """Return ``parts`` and all that may apply to the same value, if they lead to a mark."""
        seen: set[str] = set()
        waiting = list(parts)
        while waiting:
            part = waiting.pop()
            if part[0] in seen or part[0] not in self._leading:
                continue
            seen.add(part[0])
            waiting += self._beside(self._nodes[part[0]])
        return frozenset(seen)

    def _beside(self, node: Node) -> Iterator[Part]:
        yield from node.same
        for reference in node.references:
            target = self._outline.target(reference)
            if target is not None:
                yield target

    def _of_member(self, node: Node, name: str) -> Iterator[Part]:
        named = node.properties.get(name)
        matching = [part for pattern, part in node.patterned.items() if fits(pattern, name)]
        yield from matching
        yield from node.all_members
        if named is not None:
            yield named
        elif node.additional is not None and not matching:
            yield node.additional

    def _leading_to_a_mark(self) -> set[str]:
        # Backwards from the marks: most schemas lead to none, and states without them stay small.
        above: dict[str, list[str]] = {}
        for pointer, node in self._nodes.items():
            for part in self._next_to(node):
                above.setdefault(part[0], []).append(pointer)
        waiting = [pointer for pointer, node in self._nodes.items() if _is_marked(node)]
        leading: set[str] = set()
        while waiting:
            pointer = waiting.pop()
            if pointer not in leading:
                leading.add(pointer)
                waiting += above.get(pointer, [])
        return leading

    def _next_to(self, node: Node) -> Iterator[Part]:
        yield from self._beside(node)
        for group in (*node.member_groups, *node.element_groups):
            yield from group


@lru_cache(maxsize=256)
def marking_of(text: str) -> SecretMarks:
    """Return the marks of a stored schema; those used last are cached."""
    return SecretMarks(text)


def may_mark(text: str) -> bool:
    """Whether the schema in ``text`` may have marks; quick, because it only looks for the word."""
    return f'"{KEYWORD}"' in text


def marks_all(text: str) -> bool:
    """Whether the schema in ``text`` marks the whole document."""
    marking = marking_of(text)
    return marking.is_secret(marking.start)


def marks_path(text: str, keys: Iterable[str]) -> bool:
    """Whether the schema in ``text`` marks what ``keys`` lead to, or anything around it."""
    marking = marking_of(text)
    state = marking.start
    for name in keys:
        state = marking.member(state, name)
        if marking.is_secret(state):
            return True
    return False


@lru_cache(maxsize=256)
def with_masks_allowed(text: str) -> str:
    """Return the schema in ``text`` changed so that every marked place may hold the mask."""
    schema = parse_stored(text)
    outline = Outline(parse_stored(text))
    marked = [pointer for pointer, node in outline.nodes.items() if _is_marked(node)]
    # The innermost first: wrapping a schema moves everything inside it.
    for pointer in sorted(marked, key=lambda marked_at: marked_at.count("/"), reverse=True):
        if pointer:
            _wrap(schema, pointer)
    return json.dumps(schema, ensure_ascii=False)


def _wrap(schema: Any, pointer: str) -> None:
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    here = schema
    for token in tokens[:-1]:
        here = here[int(token)] if isinstance(here, list) else here[token]
    key: Any = int(tokens[-1]) if isinstance(here, list) else tokens[-1]
    here[key] = {"anyOf": [{"const": MASK}, here[key]]}


def _is_marked(node: Node) -> bool:
    return node.schema.get(KEYWORD) is True


def _of_element(node: Node, position: int) -> Iterator[Part]:
    at = node.at(position)
    if at is not None:
        yield at
    yield from node.all_elements
