"""Where each value of a resolved document comes from, and what it overrides.

A document is merged as ``resolver`` merges it, with an origin in place of each value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from distributed_config.services.layers import merging
from distributed_config.services.layers.merging import MISSING, USE, Reference
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.layers.stored_layers import Layer
from distributed_config.wire import escape_pointer


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


class Explainer:
    """Explains resolved documents; ``resolver`` masks secrets, and has what it needs loaded."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._trees: dict[tuple[str, str], Tree] = {}

    def explain(self, service: str, environment: str) -> Iterator[tuple[str, Origin]]:
        """Yield each value of a resolved document with its JSON pointer, in the document's order.

        The document is there, and sound.
        """
        resolved = self._resolver.resolve(service, environment)
        assert resolved is not None
        for pointer, tokens, origin in _leaves(self._tree(service, environment)):
            # Elements of an array may be references: the resolved document has them filled in.
            value = merging.value_at(resolved.value, tokens)
            yield pointer, replace(origin, value=merging.unwrapped(value))

    def _tree(self, service: str, environment: str) -> Tree:
        pair = (service, environment)
        if pair not in self._trees:
            self._trees[pair] = self._make_tree(service, environment)
        return self._trees[pair]

    def _make_tree(self, service: str, environment: str) -> Tree:
        tree: Any = MISSING
        for parent in self._resolver.extends_of(service):
            if self._resolver.resolve(parent, environment) is None:
                continue
            part = self._tree(parent, environment)
            tree = part if tree is MISSING else _merge(tree, part)
        layers = self._resolver.layers_of(service)
        for link in self._resolver.chains.of(environment):
            if link not in layers:
                continue
            part = _tree_of(layers[link].value, layers[link])
            tree = part if tree is MISSING else _merge(tree, part)
        filled: Tree = self._fill_in({} if tree is MISSING else tree, environment)
        return filled

    def _fill_in(self, tree: Any, environment: str) -> Any:
        if not isinstance(tree, dict):
            return tree
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
        return replace(patch, overrides=_flat(target))
    # What an object replaces, each value in it overrides.
    result = dict(target) if isinstance(target, dict) else {}
    replaced = target if isinstance(target, Origin) else MISSING
    for key, child in patch.items():
        if isinstance(child, Origin) and child.value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key, replaced), child)
    return result


def _flat(tree: Any) -> tuple[Origin, ...]:
    """Return the values in ``tree``, each with those that it overrides after it."""
    if tree is MISSING:
        return ()
    if isinstance(tree, Origin):
        return (replace(tree, overrides=()), *tree.overrides)
    return tuple(origin for child in tree.values() for origin in _flat(child))


def _with_use(tree: Any, use: str) -> Any:
    if isinstance(tree, Origin):
        return replace(tree, use=use)
    return {key: _with_use(child, use) for key, child in tree.items()}


def _leaves(
    tree: Any, pointer: str = "", tokens: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], Origin]]:
    if isinstance(tree, Origin):
        yield pointer, tokens, tree
        return
    for key, child in tree.items():
        yield from _leaves(child, f"{pointer}/{escape_pointer(key)}", (*tokens, key))
