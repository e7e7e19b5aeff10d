"""Where each value of a resolved document comes from, and what it overrides.

A document is merged as ``resolver`` merges it, with an origin in place of each value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from distributed_config.services.layers import merging
from distributed_config.services.layers.merging import MISSING, USE, Hidden, Reference
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.layers.stored_layers import Layer
from distributed_config.services.policy.visibility import Visibility
from distributed_config.services.secrets import DocumentKey
from distributed_config.wire import MASK, escape_pointer


@dataclass(frozen=True)
class Origin:
    """A value that is no object, or an empty one, and the layer that it comes from.

    ``overrides`` are those of earlier layers that it replaces, the last one first. ``use`` is the
    reference that led to it, "" without one.
    """

    value: Any
    layer: Layer
    overrides: tuple["Origin", ...] = ()
    use: str = ""


Tree = dict[str, Any]
"""A document with an ``Origin`` in place of each value that is no object."""

Marked = frozenset[DocumentKey]
"""Services with marks."""


class Explainer:
    """Explains resolved documents; ``resolver`` masks secrets, and has what it needs loaded.

    Of layers that lie outside of ``visibility`` nothing shows but what is served: not what others
    override, nor why and by whom it was written.
    """

    def __init__(self, resolver: Resolver, visibility: Visibility) -> None:
        self._resolver = resolver
        self._visibility = visibility
        self._trees: dict[tuple[str, str, Marked], Tree] = {}

    def explain(self, service: str, environment: str) -> Iterator[tuple[str, Origin]]:
        """Yield each value of a resolved document with its JSON pointer, in the document's order.

        The document is there, and sound.
        """
        resolved = self._resolver.resolve(service, environment)
        assert resolved is not None
        for pointer, origin in _values(self._tree(service, environment), resolved.value):
            layer = origin.layer
            if not self._may_read(layer):
                layer = replace(layer, author="", note="")
            known = (one for one in origin.overrides if self._may_read(one.layer))
            yield pointer, replace(origin, layer=layer, overrides=tuple(known))

    def _may_read(self, layer: Layer) -> bool:
        return self._visibility.shows(layer.service, layer.environment)

    def _tree(self, service: str, environment: str, marked: Marked = frozenset()) -> Tree:
        """Return a tree in which is hidden what the marks of its services or of ``marked`` hide."""
        key = (service, environment, marked)
        if key not in self._trees:
            self._trees[key] = self._make_tree(service, environment, marked)
        return self._trees[key]

    def _make_tree(self, service: str, environment: str, marked: Marked) -> Tree:
        resolved = self._resolver.resolve(service, environment)
        assert resolved is not None
        marked |= self._resolver.marked_of(resolved)
        # In the order of ``Resolver``, whose document it explains.
        tree: Any = MISSING
        for parent in self._resolver.extends_of(service):
            if self._resolver.resolve(parent, environment) is None:
                continue
            part = self._tree(parent, environment, marked)
            tree = part if tree is MISSING else _merge(tree, part)
        layers = self._resolver.layers_of(service)
        for link in self._resolver.chains.of(environment):
            if link not in layers:
                continue
            part = _tree_of(self._resolver.hidden_by(marked, layers[link].value), layers[link])
            tree = part if tree is MISSING else _merge(tree, part)
        filled: Tree = self._fill_in({} if tree is MISSING else tree, environment)
        return filled

    def _fill_in(self, tree: Any, environment: str) -> Any:
        if not isinstance(tree, dict):
            return tree
        # A key that is called so has an origin where it is text, and a tree where it is not.
        if tree.keys() == {USE} and isinstance(tree[USE], Origin):
            return self._target(tree[USE], environment)
        return {key: self._fill_in(child, environment) for key, child in tree.items()}

    def _target(self, use: Origin, environment: str) -> Any:
        reference = merging.parse_reference(use.value)
        assert isinstance(reference, Reference)  # the document is sound
        place: Any = self._tree(reference.service, environment)
        for token in reference.tokens:
            # Inside an array, or a secret: the origin is that of the whole.
            if isinstance(place, Origin):
                break
            place = place[token]
        return _with_use(place, str(use.value))


def _tree_of(value: Any, layer: Layer) -> Any:
    if isinstance(value, dict) and value:
        return {key: _tree_of(child, layer) for key, child in value.items()}
    return Origin(value, layer)


def _merge(target: Any, patch: Any) -> Any:
    if isinstance(patch, Origin):
        # An empty object changes nothing in another object.
        return target if _is_empty(patch) and _is_object(target) else _over(patch, target)
    # What an object replaces, each value in it overrides.
    result = dict(target) if isinstance(target, dict) else {}
    replaced = MISSING if _is_object(target) else target
    for key, child in patch.items():
        if isinstance(child, Origin) and child.value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key, replaced), child)
    # Nothing is left of it: that comes from the layer that removed the last of it.
    return result or _over(replace(_first(patch), value={}), target)


def _over(origin: Origin, target: Any) -> Origin:
    """Return ``origin`` with what is in ``target`` overridden by it."""
    return replace(origin, overrides=_flat(target))


def _is_object(tree: Any) -> bool:
    return isinstance(tree, dict) or _is_empty(tree)


def _is_empty(tree: Any) -> bool:
    return isinstance(tree, Origin) and isinstance(tree.value, dict)


def _first(tree: Any) -> Origin:
    """Return the first value in ``tree``, which has one."""
    while isinstance(tree, dict):
        tree = next(iter(tree.values()))
    found: Origin = tree
    return found


def _flat(tree: Any) -> tuple[Origin, ...]:
    """Return the values in ``tree``, each with those that it overrides after it."""
    # Flat, and not a tree of overrides: people read it as a list, the newest first.
    if tree is MISSING:
        return ()
    if isinstance(tree, Origin):
        return (replace(tree, overrides=()), *tree.overrides)
    return tuple(origin for child in tree.values() for origin in _flat(child))


def _with_use(tree: Any, use: str) -> Any:
    if isinstance(tree, Origin):
        return replace(tree, use=use)
    return {key: _with_use(child, use) for key, child in tree.items()}


def _values(tree: Any, value: Any, pointer: str = "") -> Iterator[tuple[str, Origin]]:
    """Yield the origins in ``tree`` with what the resolved document, ``value``, has there."""
    # What is hidden as a whole has no parts to tell of, whichever layers they come from.
    if isinstance(tree, Origin) or isinstance(value, Hidden):
        yield pointer, _shown(_first(tree), value)
        return
    for key, child in tree.items():
        yield from _values(child, value[key], f"{pointer}/{escape_pointer(key)}")


def _shown(origin: Origin, value: Any) -> Origin:
    """Return ``origin`` as the origin of ``value``, with masks in place of secrets.

    What a secret overrides was one as well, whatever marked it then.
    """
    overrides = tuple(
        replace(one, value=MASK if isinstance(value, Hidden) else merging.unwrapped(one.value))
        for one in origin.overrides
    )
    return replace(origin, value=merging.unwrapped(value), overrides=overrides)
