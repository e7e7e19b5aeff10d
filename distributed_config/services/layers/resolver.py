"""Resolved documents: the layers of a service in an environment, merged, with references filled in.

    resolved(S, E) is the merge of resolved(P, E) for each service P that S extends, in order, and
    then of the current documents of S in E's chain of environments, from its root down to E. In
    it, each reference is replaced by what the resolved document of its service in E has there.

It is computed when it is read, from one snapshot, so that nothing has to be rewritten when a layer
changes, and that an earlier state can be resolved as well.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from distributed_config.errors import Problem
from distributed_config.services import secrets
from distributed_config.services.layers import merging
from distributed_config.services.layers.chains import Chains, load_chains, load_chains_at
from distributed_config.services.layers.merging import MISSING, Hidden
from distributed_config.services.layers.stored_layers import Layer, StoredLayers
from distributed_config.services.secrets import DocumentKey
from distributed_config.wire import MASK

MOST_LAYERS = 32
MOST_REFERENCES = 500
MOST_WEIGHT = 16 << 20
"""About the longest text of a resolved document. References can multiply what is stored once."""

Pair = tuple[str, str]
"""A service, and an environment."""


@dataclass(frozen=True)
class Resolved:
    """What a program gets of a service in an environment.

    ``layers`` are in the order in which they were merged; ``uses`` are the services that its
    references led to, by name. ``problems`` say what is not sound in it, with pointers into it:
    what a reference leads to is missing, or a limit is passed. ``references`` counts those that
    were filled in, in all of its layers. ``is_marked`` says that the service itself has marks.
    """

    service: str
    environment: str
    value: dict[str, Any]
    layers: tuple[Layer, ...]
    uses: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    references: int = 0
    is_marked: bool = False

    @property
    def last(self) -> Layer:
        """The layer whose number the document has."""
        return self.layers[-1]

    @property
    def changed_at(self) -> int:
        """When the newest of its layers was added, in microseconds since 1970."""
        return max(layer.created_at for layer in self.layers)

    @property
    def is_plain(self) -> bool:
        """Whether it is one layer as it is stored."""
        if len(self.layers) != 1 or self.references:
            return False
        # A layer of another service can be marked by this one.
        return not self.is_marked or self.last.service == self.service

    @cached_property
    def hidden(self) -> dict[tuple[str | int, ...], Hidden]:
        """The secrets in it, by their paths."""
        may_have_secrets = self.is_marked or any(layer.may_have_secrets for layer in self.layers)
        if not may_have_secrets and not self.uses:
            return {}
        return merging.hidden_places(self.value)


class Resolver:
    """Makes resolved documents of one organisation, from one snapshot of the database.

    ``reveal`` shows secrets in the clear. ``at`` is the revision whose state is resolved; None is
    the present one. ``chains`` are those of the same moment; they are loaded unless given.
    """

    def __init__(
        self,
        connection: Connection,
        organisation: int,
        *,
        reveal: bool,
        at: int | None = None,
        chains: Chains | None = None,
    ) -> None:
        self._reveal = reveal
        self._stored = StoredLayers(connection, organisation, reveal=reveal, at=at)
        self.chains = chains or (
            load_chains(connection, organisation)
            if at is None
            else load_chains_at(connection, organisation, at)
        )
        self._resolved: dict[Pair, Resolved | None] = {}
        self._overrides: dict[Pair, dict[str, Any]] = {}
        self._open: list[Pair] = []
        self._ready: set[Pair] = set()

    def override(self, service: str, environment: str, value: dict[str, Any]) -> None:
        """Take ``value`` for the document of a series: it may show what the stored one hides."""
        self._overrides[service, environment] = value

    def replace(self, service: str, environment: str, text: str) -> None:
        """Take ``text``, which has no secrets, for the stored document of a series."""
        self.prefetch([service], [environment])
        self._stored.replace(service, environment, text)

    @property
    def services(self) -> set[str]:
        """The names of all services that were looked for."""
        return self._stored.names

    def basis(self, service: str, environment: str) -> set[Pair]:
        """Return every series that the resolved document rests on, or would if there were one."""
        self.prefetch([service], [environment])
        chain = self.chains.of(environment)
        return {(name, layer) for name in self._closure([service]) for layer in chain}

    def moved_at(self, basis: Iterable[Pair]) -> int:
        """Return when anything of ``basis`` changed last, in microseconds since 1970."""
        found = (self._stored.get(service) for service, _ in basis)
        return max((service.moved_at for service in found if service is not None), default=0)

    def layers_of(self, service: str) -> dict[str, Layer]:
        """Return the loaded layers of one service, by environment."""
        found = self._stored.get(service)
        return {} if found is None else found.layers

    def extends_of(self, service: str) -> tuple[str, ...]:
        """Return what a loaded service extends, most general first."""
        found = self._stored.get(service)
        return () if found is None else found.extends

    def resolve(self, service: str, environment: str) -> Resolved | None:
        """Return the resolved document, or None if the service has no layer there.

        Raises DocumentDamaged, SecretUnreadable, or VersionDeleted for an earlier state.
        """
        pair = (service, environment)
        if pair not in self._resolved:
            if pair not in self._ready:
                self.prefetch([service], [environment])
            self._open.append(pair)
            self._resolved[pair] = self._resolve(service, environment)
            self._open.pop()
        return self._resolved[pair]

    def prefetch(self, services: Iterable[str], environments: Iterable[str]) -> None:
        """Load the layers of ``services``, and of all that they rest on, in few statements."""
        places = set(environments)
        chain = sorted({name for one in places for name in self.chains.of(one)})
        newest = list(dict.fromkeys(services))
        seen = set(newest)
        # Level by level: what a document refers to shows when it was read.
        while newest and chain:
            self._stored.read(newest, chain)
            newest = [name for name in self._rests_on(newest) if name not in seen]
            seen |= set(newest)
        self._ready |= {(name, place) for name in seen for place in places}

    def _closure(self, services: Iterable[str]) -> list[str]:
        found = dict.fromkeys(services)
        newest = list(found)
        while newest:
            newest = [name for name in self._rests_on(newest) if name not in found]
            found |= dict.fromkeys(newest)
        return list(found)

    def _rests_on(self, services: Iterable[str]) -> dict[str, None]:
        """Return the services that ``services`` extend or refer to, as far as they are loaded."""
        found: dict[str, None] = {}
        for name in services:
            service = self._stored.get(name)
            if service is None:
                continue
            found |= dict.fromkeys(service.extends)
            for layer in service.layers.values():
                found |= dict.fromkeys(layer.targets)
        return found

    def _resolve(self, name: str, environment: str) -> Resolved | None:
        service = self._stored.get(name)
        if service is None:
            return None
        value: Any = MISSING
        # By identity: services that two others extend are layers once.
        layers: dict[tuple[str, str], Layer] = {}
        uses: set[str] = set()
        problems: list[Problem] = []
        references = 0
        for parent in service.extends:
            if self._stored.was_deleted(parent):
                problems.append(_deleted_since(f"{parent!r}, which it extended,"))
            part = self._part(parent, environment, problems)
            if part is None:
                continue
            problems += part.problems
            if not part.layers:
                continue
            value = part.value if value is MISSING else merging.merge(value, part.value)
            layers |= {(layer.service, layer.environment): layer for layer in part.layers}
            uses |= part.uses
            references += part.references
        for link in self.chains.of(environment):
            if link in service.lost:
                problems.append(_deleted_since(f"The document of {name!r} in {link!r}"))
            layer = service.layers.get(link)
            if layer is None:
                continue
            own = self._overrides.get((name, link), layer.value)
            value = own if value is MISSING else merging.merge(value, own)
            layers[name, link] = layer
        if value is MISSING:
            # What was there once, and cannot be had any more, is not the same as nothing.
            return Resolved(name, environment, {}, (), problems=(*problems,)) if problems else None
        is_marked = bool(service.key.secret_marks)
        resolved = Resolved(name, environment, value, tuple(layers.values()), is_marked=is_marked)
        resolved = self._fill_in(resolved, uses, problems, references)
        return self._hide(resolved)

    def _part(self, name: str, environment: str, problems: list[Problem]) -> Resolved | None:
        """Return the resolved document of another service; None if it is not there."""
        if (name, environment) in self._open:
            way = " → ".join([*(service for service, _ in self._open), name])
            problems.append(Problem("", f"It rests on itself: {way}.", "circle"))
            return None
        return self.resolve(name, environment)

    def _fill_in(
        self, merged: Resolved, uses: set[str], problems: list[Problem], references: int
    ) -> Resolved:
        found = {}
        if any(merging.MARK_OF_USE in layer.text for layer in merged.layers):
            found = dict(merging.references(merged.value))
        counted: set[str] = set()

        def find(pointer: str, text: Any) -> Any:
            nonlocal references
            reference = merging.parse_reference(text)
            if isinstance(reference, str):
                return None
            references += 1
            uses.add(reference.service)
            target = self._part(reference.service, merged.environment, problems)
            if target is not None and reference.service not in counted:
                counted.add(reference.service)
                references += target.references
                uses.update(target.uses)
                problems.extend(
                    Problem(pointer, f"{text!r} leads to what is not sound: {one.message}")
                    for one in target.problems[:1]
                )
            place = MISSING if target is None else merging.value_at(target.value, reference.tokens)
            if place is MISSING:
                problems.append(_nothing_at(pointer, text, merged.environment, target is None))
                return None
            return place

        value = merged.value
        if found:
            problems += [
                Problem(pointer, why, "reference")
                for pointer, why in found.items()
                if isinstance(why, str)
            ]
            value = merging.fill_in(value, find)
            if not isinstance(value, dict):
                problems.append(Problem("", "The whole document is not an object.", "reference"))
                value = {}
        problems += _passed_limits(value, len(merged.layers), references)
        return replace(
            merged,
            value=value,
            uses=frozenset(uses),
            problems=tuple(problems),
            references=references,
        )

    def _hide(self, resolved: Resolved) -> Resolved:
        """Hide what the marks of any of its services hide: also what another layer put there."""
        if resolved.is_plain:
            return resolved
        return replace(resolved, value=self.hidden_by(self.marked_of(resolved), resolved.value))

    def marked_of(self, resolved: Resolved) -> frozenset[DocumentKey]:
        """Return those of a resolved document's services that have marks, itself among them."""
        keys = {layer.key for layer in resolved.layers}
        own = self._stored.get(resolved.service)
        if own is not None:
            keys.add(own.key)
        return frozenset(key for key in keys if key.secret_marks)

    def hidden_by(self, keys: Collection[DocumentKey], value: Any) -> Any:
        """Return a document with a ``Hidden`` in place of all that the marks of ``keys`` hide."""
        for key in keys:
            marked = {
                path: Hidden(here if self._reveal else MASK, key.name)
                for path, here in secrets.find_secrets(value, self._stored.secret_paths(key))
                if not isinstance(here, Hidden)
            }
            if marked:
                value = secrets.with_replaced(value, marked)
        return value


def _nothing_at(pointer: str, text: str, environment: str, is_service: bool) -> Problem:
    what = "the service has no document" if is_service else "there is nothing at that place"
    return Problem(pointer, f"{text!r} leads to nothing: {what} in {environment!r}.", "reference")


def _deleted_since(what: str) -> Problem:
    return Problem("", f"{what} has been deleted since then.", "deleted")


def _passed_limits(value: Any, layers: int, references: int) -> list[Problem]:
    problems = []
    if layers > MOST_LAYERS:
        message = f"It would have {layers} layers; at most {MOST_LAYERS} are allowed."
        problems.append(Problem("", message, "limit"))
    if references > MOST_REFERENCES:
        message = f"It would have {references} references; at most {MOST_REFERENCES} are allowed."
        problems.append(Problem("", message, "limit"))
    # Documents alone are bounded already: only what is used in many places can grow.
    elif references and merging.weight_of(value, MOST_WEIGHT) > MOST_WEIGHT:
        message = f"Its references would make it longer than {MOST_WEIGHT} bytes."
        problems.append(Problem("", message, "limit"))
    return problems
