"""What a write changes: the resolved documents that rest on it, before and after.

A verb takes ``Effects`` before it writes, and settles them when all that it wrote is there. Then
every resolved document that the write changed is checked: its definition holds, its references
lead somewhere, nothing rests on itself, and a protected environment takes more than the right to
write. What does not pass raises, and the transaction is undone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import select

from distributed_config.errors import (
    BreaksOthers,
    Forbidden,
    InvalidDocument,
    NotConforming,
    Problem,
    ServiceInUse,
)
from distributed_config.models import ServiceRow
from distributed_config.services import secrets
from distributed_config.services.conformance import rules
from distributed_config.services.conformance.rules import Rule
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Impact, Transaction
from distributed_config.services.layers import environments, graph, merging, new_references
from distributed_config.services.layers.chains import Chains, load_chains
from distributed_config.services.layers.merging import MISSING, Hidden
from distributed_config.services.layers.resolver import Pair, Resolved, Resolver
from distributed_config.services.secrets import ValidationInput
from distributed_config.wire import MASK

PUBLISH = "config:publish"

_CHANGES_AT_ONCE = 25
"""How many resolved documents take about as long to check as one change takes to write."""


@dataclass(frozen=True)
class _Fault:
    """Why a resolved document may not become what it would be."""

    pair: Pair
    problems: Sequence[Problem]
    rule: Rule | None = None


class Effects:
    """The resolved documents of ``services`` in ``places``, as they are before a write.

    ``written`` is the series that is written; None for a write of something else. ``chains`` are
    those before the write. Without ``services`` there is nothing to check.
    """

    def __init__(
        self,
        transaction: Transaction,
        chains: Chains,
        services: Sequence[str],
        places: Sequence[str],
        written: Series | None = None,
    ) -> None:
        self._transaction = transaction
        self._written = written
        self.services = services
        self._pairs = [(service, place) for service in services for place in places]
        # What rests on the write is not its writer's fault, so that it earns it some time.
        transaction.allowance.count(changes=len(self._pairs) // _CHANGES_AT_ONCE)
        resolver = self._resolver(chains)
        resolver.prefetch(services, places)
        self._before = {pair: self._resolve(resolver, pair) for pair in self._pairs}
        self._references: dict[str, str] = {}
        if written is not None:
            resolver.prefetch([written.service], [written.environment])
            layer = resolver.layers_of(written.service).get(written.environment)
            if layer is not None:
                self._references = new_references.texts_of(layer.value)

    @classmethod
    def of_series(cls, transaction: Transaction, series: Series) -> "Effects":
        """Return the effects of a write to one series.

        Raises Forbidden where the environment is protected and the actor may not publish.
        """
        connection, organisation = transaction.connection, transaction.organisation
        # Also a write that changes no document there, as one of the same values, is one into it.
        environment = environments.find(transaction.reader, series.environment)
        if environment is not None and environment.protected:
            _require_to_publish(transaction, series.environment)
        chains = load_chains(connection, organisation)
        services = graph.dependents(connection, organisation, [series.service])
        return cls(transaction, chains, services, chains.below(series.environment), series)

    @classmethod
    def of_services(cls, transaction: Transaction, services: Sequence[str]) -> "Effects":
        """Return the effects of a write to ``services`` in all environments."""
        connection, organisation = transaction.connection, transaction.organisation
        chains = load_chains(connection, organisation)
        resting = graph.dependents(connection, organisation, services)
        # What a service extends is the same everywhere.
        return cls(transaction, chains, resting, list(chains.parents))

    @classmethod
    def checked(cls, transaction: Transaction, series: Series) -> "Effects":
        """Return the effects of a write to one series whose dependents were checked already."""
        chains = load_chains(transaction.connection, transaction.organisation)
        return cls(transaction, chains, [], [], series)

    def check_as_if(self, text: str) -> set[str]:
        """Check what a write of ``text``, which has no secrets, would change.

        Returns the services that the checked documents rest on. Raises what ``settle`` raises.
        """
        assert self._written is not None
        resolver = self._resolver_after()
        resolver.replace(self._written.service, self._written.environment, text)
        self._check(resolver)
        return resolver.services

    def settle(self, service_id: int, document: dict[str, Any] | None = None) -> None:
        """Record what the written series refers to now, and check all that the write changed.

        ``document`` is the new one with its secrets as ``Hidden``, where it has any. Raises
        InvalidDocument, NotConforming, BreaksOthers or Forbidden; where the verb writes several
        series, only after the last one.
        """
        assert self._written is not None
        self._record_references(service_id)
        self.check_or_postpone(self._written.service, partial(self._check_new, document))

    def settle_stored(self, service_id: int) -> None:
        """Settle a write that adds no document, but makes an earlier one current, or none.

        Whoever wrote that one was allowed to refer to what it refers to. Raises what ``settle``
        raises.
        """
        assert self._written is not None
        self._record_references(service_id)
        self.check_or_postpone(self._written.service, self.settle_all)

    def settle_all(self) -> None:
        """Check all that the write changed. Raises BreaksOthers or Forbidden."""
        self._check(self._resolver_after())

    def require_unused(self) -> None:
        """Raise ServiceInUse if the written service is gone, and others rest on it."""
        assert self._written is not None
        name = self._written.service
        self.check_or_postpone(name, partial(_require_unused, self._transaction, name))

    def check_or_postpone(self, service: str, check: Callable[[], None]) -> None:
        """Run ``check`` now, or leave it to the verb that writes several series."""
        if self._transaction.postponed is None:
            check()
        else:
            self._transaction.postponed.append((service, check))

    def _resolver(self, chains: Chains) -> Resolver:
        transaction = self._transaction
        return Resolver(
            transaction.connection,
            transaction.organisation,
            reveal=transaction.visibility.reads_secrets,
            chains=chains,
        )

    def _resolve(self, resolver: Resolver, pair: Pair) -> Resolved | None:
        self._transaction.allowance.check()
        return resolver.resolve(*pair)

    def _record_references(self, service_id: int) -> None:
        transaction, series = self._transaction, self._written
        assert series is not None
        resolver = self._resolver(load_chains(transaction.connection, transaction.organisation))
        resolver.prefetch([series.service], [series.environment])
        layer = resolver.layers_of(series.service).get(series.environment)
        targets = frozenset[str]() if layer is None else layer.targets
        is_new = graph.replace_targets(
            transaction.connection,
            transaction.organisation,
            service_id,
            series.environment,
            targets,
        )
        if is_new:
            circle = partial(refuse_circle, transaction, series.service)
            self.check_or_postpone(series.service, circle)

    def _check_new(self, document: dict[str, Any] | None) -> None:
        series = self._written
        assert series is not None
        resolver = self._resolver_after()
        if document is not None:
            resolver.override(series.service, series.environment, document)
        resolver.prefetch([series.service], [series.environment])
        new_references.check(self._transaction, resolver, series, self._references)
        self._check(resolver)

    def _resolver_after(self) -> Resolver:
        transaction = self._transaction
        return self._resolver(load_chains(transaction.connection, transaction.organisation))

    def _check(self, resolver: Resolver) -> None:
        transaction = self._transaction
        services = list(self.services)
        resolver.prefetch(services, {place for _, place in self._pairs})
        changed = list(self._changed(resolver))
        self._refuse_protected([pair for pair, _, _ in changed])
        applying = rules.rules_for(transaction.connection, services, transaction.organisation)
        faults = []
        for pair, pointers, after in changed:
            transaction.allowance.check()
            fault = _fault_of(pair, after, applying.get(pair[0]))
            if fault is not None:
                faults.append(fault)
            if transaction.is_rehearsal:
                problems = () if fault is None else tuple(fault.problems)
                transaction.impact.append(Impact(*pair, pointers, problems))
        self._refuse(faults)

    def _changed(
        self, resolver: Resolver
    ) -> Iterator[tuple[Pair, tuple[str, ...], Resolved | None]]:
        """Yield the documents that are others now, each with the pointers to what changed."""
        for pair, before in self._before.items():
            after = self._resolve(resolver, pair)
            old = MISSING if before is None else before.value
            new = MISSING if after is None else after.value
            # Compared as a whole first: most documents differ in a few places, or in none.
            unsound = after is not None and after.problems
            if unsound or not merging.same(old, new):
                pointers = tuple(merging.changed_pointers(old, new))
                yield pair, pointers, after

    def _refuse_protected(self, changed: Sequence[Pair]) -> None:
        """Raise Forbidden if a protected environment is changed by who may not publish."""
        transaction = self._transaction
        if transaction.actor.may(PUBLISH) or not changed:
            return
        known = environments.all_environments(transaction.connection, transaction.organisation)
        protected = {environment.name for environment in known if environment.protected}
        for place in sorted({place for _, place in changed} & protected):
            _require_to_publish(transaction, place)

    def _refuse(self, faults: Sequence[_Fault]) -> None:
        """Raise the error for all ``faults``, if there are any."""
        if not faults:
            return
        series = self._written
        own = None if series is None else (series.service, series.environment)
        for fault in faults:
            if fault.pair == own:
                raise _own_error(fault)
        # What the writer may not see is counted, and neither named nor quoted.
        seen = [fault for fault in faults if self._transaction.visibility.shows(*fault.pair)]
        places = [f"{service!r} in {place!r}" for service, place in (one.pair for one in seen)]
        problems = [
            (place, problem)
            for place, fault in zip(places, seen, strict=True)
            for problem in fault.problems
        ]
        raise BreaksOthers(places, problems, len(faults) - len(seen))


def refuse_circle(transaction: Transaction, service: str) -> None:
    """Raise InvalidDocument if ``service`` rests on itself."""
    circle = graph.find_circle(transaction.connection, transaction.organisation, service)
    if circle is not None:
        allows = transaction.visibility.allows
        way = " → ".join(name if allows(name) else "…" for name in circle)
        message = f"It would rest on itself: {way}. Leave out one of these steps."
        raise InvalidDocument.from_problems([Problem("", message, "circle")])


def check_rule(transaction: Transaction, service: str) -> None:
    """Raise NotConforming unless each resolved document of ``service`` conforms to its rule."""
    chains = load_chains(transaction.connection, transaction.organisation)
    rule = rules.rules_for(transaction.connection, [service], transaction.organisation).get(service)
    resolver = Resolver(
        transaction.connection,
        transaction.organisation,
        reveal=transaction.visibility.reads_secrets,
        chains=chains,
    )
    resolver.prefetch([service], chains.parents)
    for place in chains.parents:
        fault = _fault_of((service, place), resolver.resolve(service, place), rule)
        if fault is not None:
            raise _own_error(fault, f"{service!r} in {place!r}")


def validation_input(resolved: Resolved) -> ValidationInput:
    """Return a resolved document as it is checked against a definition."""
    if not resolved.hidden:
        value = resolved.value
        return ValidationInput(value, len(secrets.to_json(value)), value)
    masks = dict.fromkeys(resolved.hidden, MASK)
    masked = secrets.with_replaced(resolved.value, masks)
    value = merging.unwrapped(resolved.value)
    unseen = frozenset(
        secrets.pointer_of(path) for path, here in resolved.hidden.items() if here.is_masked
    )
    return ValidationInput(value, len(secrets.to_json(value)), masked, unseen)


def _fault_of(pair: Pair, after: Resolved | None, rule: Rule | None) -> _Fault | None:
    if after is None:
        return None
    if after.problems:
        return _Fault(pair, after.problems)
    if rule is None or rule.applies_to != rules.RESOLVED:
        return None
    problems = rules.problems_of(rule.schema, validation_input(after))
    return _Fault(pair, problems, rule) if problems else None


def _own_error(fault: _Fault, subject: str = "") -> InvalidDocument:
    if fault.rule is None:
        return InvalidDocument.from_problems(fault.problems)
    subject = subject or f"This configuration of {fault.pair[0]!r}"
    return NotConforming(fault.rule.definition, fault.rule.number, fault.problems, subject)


def _require_unused(transaction: Transaction, name: str) -> None:
    connection, organisation = transaction.connection, transaction.organisation
    # It may have been created again since.
    named = (ServiceRow.organisation_id == organisation, ServiceRow.name == name)
    if connection.execute(select(ServiceRow.id).where(*named)).first() is not None:
        return
    others = graph.direct_dependents(connection, organisation, name)
    if others:
        seen = filter(transaction.visibility.allows, others)
        raise ServiceInUse(name, next(seen, None))


def _require_to_publish(transaction: Transaction, environment: str) -> None:
    if transaction.actor.may(PUBLISH):
        return
    which = f"{environment!r}, which is protected"
    if not transaction.visibility.allows_environment(environment):
        which = "a protected environment that you may not see"
    raise Forbidden(
        f"This changes what programs get in {which}: it takes the permission {PUBLISH}. Ask "
        "somebody who may publish there."
    )


def hidden_secrets(draft: secrets.Draft, service: str) -> dict[str, Any]:
    """Return a draft's document with a ``Hidden`` in place of each secret.

    Those that came with it are in the clear; those that stay are as its writer may see them.
    """
    value: dict[str, Any] = secrets.with_replaced(
        draft.value,
        {path: Hidden(value, service) for path, value in draft.validated_secrets().items()},
    )
    return value
