"""What a service extends: other services, whose documents lie below its own."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from distributed_config.errors import Forbidden, Invalid, Problem, ServiceNotFound
from distributed_config.models import ExtensionRow, ServiceRow
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import graph
from distributed_config.services.layers.effects import Effects, refuse_circle
from distributed_config.services.layers.resolver import MOST_LAYERS, Resolver
from distributed_config.services.policy.permissions import READ_SECRET


def extends(connection: Connection, service_id: int) -> list[str]:
    """Return the services that a service extends, most general first."""
    text = connection.execute(_NEWEST, {"service": service_id}).scalar_one_or_none()
    found: list[str] = json.loads(text or "[]")
    return found


def set_extends(transaction: Transaction, name: str, targets: Sequence[str]) -> bool:
    """Make a service extend exactly ``targets``, most general first. Return whether it is new.

    Raises ServiceNotFound, Invalid with every problem, InvalidDocument for a circle, BreaksOthers,
    or Forbidden.
    """
    transaction.actor.require("config:write")
    transaction.actor.require_every_environment()
    service_id = _service_id(transaction, name)
    if service_id is None:
        raise ServiceNotFound(name)
    # All that can be seen in the request is told at once, and before the database is asked.
    problems = _problems(name, targets)
    if problems:
        raise Invalid.from_problems(problems)
    _require_services(transaction, targets)
    before = extends(transaction.connection, service_id)
    # Not recorded: a request that is repeated must not look like a second change.
    if list(targets) == before:
        return False
    _require_to_show(transaction, [target for target in targets if target not in before])
    effects = Effects.of_services(transaction, [name])
    _store(transaction, service_id, targets)
    transaction.record(ChangeKind.SERVICE_EXTENDED, name, about=", ".join(targets) or "nothing")
    effects.check_or_postpone(name, effects.settle_all)
    return True


def _require_to_show(transaction: Transaction, targets: Sequence[str]) -> None:
    """Raise Forbidden unless the actor may read all that ``targets`` would show in the service.

    Who may read the service may not be allowed to read them: so the one who shows them has to be.
    """
    if not targets:
        return
    transaction.actor.require("config:read")
    if transaction.actor.may(READ_SECRET):
        return
    resolver = Resolver(transaction.connection, transaction.organisation, reveal=False)
    resolver.prefetch(targets, resolver.chains.parents)
    for target in targets:
        for environment in resolver.chains.parents:
            resolved = resolver.resolve(target, environment)
            if resolved is not None and resolved.hidden:
                raise Forbidden(
                    f"{target!r} has secrets; to extend it takes {READ_SECRET}. Ask somebody who "
                    "may read them."
                )


def _store(transaction: Transaction, service_id: int, targets: Sequence[str]) -> None:
    connection, organisation = transaction.connection, transaction.organisation
    # One transaction may change it twice.
    at = {"service": service_id, "at": transaction.revision}
    connection.execute(_DROP, at)
    connection.execute(
        insert(ExtensionRow),
        {
            "service_id": service_id,
            "revision": transaction.revision,
            "extends": json.dumps(list(targets), ensure_ascii=False),
        },
    )
    if graph.replace_targets(connection, organisation, service_id, graph.EXTENDS, targets):
        name = connection.execute(_NAME, {"service": service_id}).scalar_one()
        refuse_circle(transaction, name)


def _problems(name: str, targets: Sequence[str]) -> list[Problem]:
    problems = []
    if len(targets) > MOST_LAYERS:
        problems.append(Problem("/extends", f"At most {MOST_LAYERS} can be extended.", "limit"))
    for position, target in enumerate(targets[:MOST_LAYERS]):
        pointer = f"/extends/{position}"
        if target == name:
            problems.append(Problem(pointer, "A service cannot extend itself.", "circle"))
        elif target in targets[:position]:
            problems.append(Problem(pointer, f"{target!r} is named twice.", "repeated"))
    return problems


def _require_services(transaction: Transaction, targets: Sequence[str]) -> None:
    """Raise ServiceNotFound, with a problem for each, if some of ``targets`` do not exist."""
    missing = [name for name in targets if _service_id(transaction, name) is None]
    if not missing:
        return
    error = ServiceNotFound(missing[0])
    error.problems = tuple(
        Problem(
            f"/extends/{targets.index(name)}",
            f"There is no service {name!r}. Create it first, or leave it out.",
            "service",
        )
        for name in missing
    )
    raise error


def _service_id(transaction: Transaction, name: str) -> int | None:
    # What its actor may not know of does not exist: another error would confirm a guess.
    if not transaction.visibility.allows(name):
        return None
    parameters = {"organisation": transaction.organisation, "name": name}
    return transaction.connection.execute(_SERVICE, parameters).scalar_one_or_none()


_NEWEST = (
    select(ExtensionRow.extends)
    .where(ExtensionRow.service_id == bindparam("service"))
    .order_by(ExtensionRow.revision.desc())
    .limit(1)
)

_DROP = delete(ExtensionRow).where(
    ExtensionRow.service_id == bindparam("service"), ExtensionRow.revision == bindparam("at")
)

_SERVICE = select(ServiceRow.id).where(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)

_NAME = select(ServiceRow.name).where(ServiceRow.id == bindparam("service"))
