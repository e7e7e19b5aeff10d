"""The verbs that create, change and delete environments."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from distributed_config.errors import EnvironmentExists, EnvironmentInUse, Invalid, Problem
from distributed_config.models import (
    EnvironmentRow,
    InheritanceRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments, graph
from distributed_config.services.layers.chains import MOST_DEEP, Chains, load_chains
from distributed_config.services.layers.effects import PUBLISH, Effects
from distributed_config.services.layers.environments import Environment
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.wire import environment_problem

MANAGE = "environment:manage"
"""The permission to create, change and delete environments."""

MOST_ENVIRONMENTS = 100


def create(
    transaction: Transaction,
    name: str,
    *,
    description: str = "",
    inherits: str | None = DEFAULT_ENVIRONMENT,
    protected: bool = False,
    position: int | None = None,
) -> Environment:
    """Create an environment; without a ``position`` people see it last.

    Raises Invalid with every problem, EnvironmentExists, or Forbidden.
    """
    _require_to_manage(transaction)
    present = environments.all_environments(transaction.connection, transaction.organisation)
    if any(environment.name == name for environment in present):
        raise EnvironmentExists(name)
    problems = [*_name_problems(name), *_parent_problems(transaction, name, inherits)]
    if len(present) >= MOST_ENVIRONMENTS:
        problems.append(Problem("", f"There are at most {MOST_ENVIRONMENTS}.", "limit"))
    if problems:
        raise Invalid.from_problems(problems)
    # People expect a new one after those that they know.
    if position is None:
        position = max(environment.position for environment in present) + 1
    add_environment(
        transaction,
        transaction.organisation,
        Environment(name, description, inherits, protected, position, transaction.now),
    )
    transaction.record(
        ChangeKind.ENVIRONMENT_CREATED, environment=name, about=_about(inherits, protected)
    )
    return environments.require(transaction.reader, name)


def add_environment(transaction: Transaction, organisation: int, new: Environment) -> None:
    """Store an environment, and what it inherits from this revision on."""
    transaction.connection.execute(
        insert(EnvironmentRow),
        {
            "organisation_id": organisation,
            "name": new.name,
            "description": new.description,
            "inherits": new.inherits,
            "protected": new.protected,
            "position": new.position,
            "created_at": new.created_at,
        },
    )
    _record_inheritance(transaction, organisation, new.name, new.inherits)


def first_environment(created_at: int) -> Environment:
    """Return the environment that every organisation begins with."""
    return Environment(DEFAULT_ENVIRONMENT, "", None, False, 0, created_at)


def change(transaction: Transaction, name: str, changes: dict[str, object]) -> Environment:
    """Change those of an environment's attributes that ``changes`` has, by their names.

    Raises EnvironmentNotFound, Invalid, BreaksOthers or Forbidden.
    """
    _require_to_manage(transaction)
    before = environments.require(transaction.reader, name)
    new = {key: value for key, value in changes.items() if getattr(before, key) != value}
    # Not recorded: a request that is repeated must not look like a second change.
    if not new:
        return before
    if new.get("protected") is False:
        # Otherwise who may not publish there could write while the protection is off.
        transaction.actor.require(PUBLISH)
    moves = "inherits" in new
    if moves:
        problems = _parent_problems(transaction, name, new["inherits"])
        if problems:
            raise Invalid.from_problems(problems)
    # Only another parent changes what programs get; a description or a position does not.
    effects = _effects_of_moving(transaction, name, new["inherits"]) if moves else None
    transaction.connection.execute(
        update(EnvironmentRow)
        .where(
            EnvironmentRow.organisation_id == transaction.organisation, EnvironmentRow.name == name
        )
        .values(**new)
    )
    after = environments.require(transaction.reader, name)
    if moves:
        _record_inheritance(transaction, transaction.organisation, name, after.inherits)
    transaction.record(
        ChangeKind.ENVIRONMENT_CHANGED,
        environment=name,
        about=_about(after.inherits, after.protected),
    )
    if effects is not None:
        effects.settle_all()
    return after


def delete_environment(transaction: Transaction, name: str) -> None:
    """Delete an environment in which no service has a version.

    Raises EnvironmentNotFound, EnvironmentInUse or Forbidden.
    """
    _require_to_manage(transaction)
    environments.require(transaction.reader, name)
    if name == DEFAULT_ENVIRONMENT:
        raise EnvironmentInUse(name, "exists always, and cannot be deleted.")
    chains = load_chains(transaction.connection, transaction.organisation)
    # Those that inherit from it would silently lose what lies below it.
    children = [child for child, parent in chains.parents.items() if parent == name]
    if children:
        raise EnvironmentInUse(name, f"is inherited by {children[0]!r}. Change that one first.")
    service = _first_service(transaction.connection, transaction.organisation, name)
    if service is not None:
        raise EnvironmentInUse(name, f"has versions, of {service!r} for one. Delete these first.")
    transaction.connection.execute(
        delete(EnvironmentRow).where(
            EnvironmentRow.organisation_id == transaction.organisation, EnvironmentRow.name == name
        )
    )
    transaction.record(ChangeKind.ENVIRONMENT_DELETED, environment=name)


def _require_to_manage(transaction: Transaction) -> None:
    transaction.actor.require(MANAGE)
    # An environment is one of all services.
    transaction.actor.require_unrestricted()


def _name_problems(name: str) -> list[Problem]:
    why = environment_problem(name)
    return [Problem("/name", why, "name")] if why else []


def _parent_problems(transaction: Transaction, name: str, parent: object) -> list[Problem]:
    """Return why ``name`` cannot inherit from ``parent``; None is no parent."""
    if parent is None:
        return []
    chains = load_chains(transaction.connection, transaction.organisation)
    if not isinstance(parent, str) or parent not in chains.parents:
        known = ", ".join(sorted(chains.parents))
        return [Problem("/inherits", f"There is no environment {parent!r}; there are: {known}.")]
    changed = Chains({**chains.parents, name: parent})
    try:
        deepest = max(len(changed.of(below)) for below in changed.below(name))
    except ValueError as error:
        return [Problem("/inherits", f"It would inherit from itself: {error}.", "circle")]
    if deepest > MOST_DEEP:
        message = f"The chain would have {deepest} environments; at most {MOST_DEEP} are allowed."
        return [Problem("/inherits", message, "limit")]
    return []


def _effects_of_moving(transaction: Transaction, name: str, parent: object) -> Effects:
    """Return the effects of another parent: on services with layers that come or go."""
    connection, organisation = transaction.connection, transaction.organisation
    chains = load_chains(connection, organisation)
    assert parent is None or isinstance(parent, str)
    after = Chains({**chains.parents, name: parent})
    # Services that have nothing in the environments that come or go stay as they are.
    others = set(chains.of(name)) ^ set(after.of(name))
    services = list(
        connection.scalars(_SERVICES_IN, {"organisation": organisation, "places": list(others)})
    )
    resting = graph.dependents(connection, organisation, services)
    return Effects(transaction, chains, resting, chains.below(name))


def _record_inheritance(
    transaction: Transaction, organisation: int, name: str, inherits: str | None
) -> None:
    parameters = {"organisation": organisation, "name": name, "at": transaction.revision}
    # One transaction may change it twice.
    transaction.connection.execute(_DROP, parameters)
    transaction.connection.execute(
        insert(InheritanceRow),
        {
            "organisation_id": organisation,
            "environment": name,
            "revision": transaction.revision,
            "inherits": inherits,
        },
    )


def _first_service(connection: Connection, organisation: int, environment: str) -> str | None:
    parameters = {"organisation": organisation, "places": [environment]}
    return connection.scalars(_SERVICES_IN.limit(1), parameters).first()


def _about(inherits: str | None, protected: bool) -> str:
    words: Sequence[str] = [f"inherits {inherits}" if inherits else "stands alone"]
    return ", ".join([*words, "protected"] if protected else words)


_SERVICES_IN = (
    select(ServiceRow.name)
    .join(VersionRow, VersionRow.service_id == ServiceRow.id)
    .where(
        ServiceRow.organisation_id == bindparam("organisation"),
        VersionRow.environment.in_(bindparam("places", expanding=True)),
        VersionRow.number == 0,
    )
    .distinct()
    .order_by(ServiceRow.name)
)

_DROP = delete(InheritanceRow).where(
    InheritanceRow.organisation_id == bindparam("organisation"),
    InheritanceRow.environment == bindparam("name"),
    InheritanceRow.revision == bindparam("at"),
)
