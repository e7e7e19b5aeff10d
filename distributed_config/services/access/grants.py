"""Grants: a role for a user or a token, limited to some services and environments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from distributed_config.errors import Forbidden, Invalid, Problem
from distributed_config.services.access.roles import permissions_of, require_holds, roles
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Scope
from distributed_config.wire import environment_problem, name_problem

_MOST_IN_SCOPE = 100


@dataclass(frozen=True)
class Grant:
    """A role, and the scope that limits it."""

    role: str
    scope: Scope = Scope()


def require_can_grant(transaction: Transaction, rights: Grant, *others: Problem) -> None:
    """Raise Invalid if ``rights`` are malformed, Forbidden if they go beyond the actor's own.

    ``others`` are problems of the rest of the request. They are reported first, so that one
    response lists all problems in the order of the body.
    """
    known = [role.name for role in roles(transaction.reader)]
    problems = [*others, *scope_problems(rights.scope)]
    # The message lists the roles: whoever may grant rights may see what there is to grant.
    if rights.role not in known:
        message = f"{rights.role!r} is not a role; the roles are {', '.join(known)}."
        problems.insert(len(others), Problem("/role", message, "role"))
    if problems:
        raise Invalid.from_problems(problems)
    granted = permissions_of(transaction.connection, transaction.organisation, rights.role)
    require_holds(transaction.actor, granted)
    # Every scope of the actor limits it, so the grant has to lie in all of them.
    if not all(scope.contains_scope(rights.scope) for scope in transaction.visibility.scopes):
        raise Forbidden(
            "Your own rights are limited to fewer services or environments than these. Limit these "
            "to yours."
        )


def load_scope(services: str, environments: str) -> Scope:
    """Return the scope in a row's two columns, which are JSON arrays."""
    return Scope(tuple(json.loads(services)), tuple(json.loads(environments)))


def scope_problems(scope: Scope) -> list[Problem]:
    """Return what is wrong with the entries of a scope."""
    return [*_service_problems(scope.services), *_environment_problems(scope.environments)]


def _service_problems(entries: Sequence[str]) -> list[Problem]:
    if len(entries) > _MOST_IN_SCOPE:
        message = f"There are more than {_MOST_IN_SCOPE} entries; use prefixes that end in /."
        return [Problem("/services", message, "limit")]
    message = (
        "An entry is a name, or a prefix of names that ends in /. To limit nothing, leave it out."
    )
    return [
        Problem(f"/services/{position}", message, "name")
        for position, entry in enumerate(entries)
        # A prefix is a name with a slash after it, and its services need not exist yet.
        if name_problem(entry.removesuffix("/"))
    ]


def _environment_problems(entries: Sequence[str]) -> list[Problem]:
    if len(entries) > _MOST_IN_SCOPE:
        message = f"There are more than {_MOST_IN_SCOPE} entries. To limit nothing, leave it out."
        return [Problem("/environments", message, "limit")]
    # Like a service, an environment need not exist yet; but there are no prefixes of them.
    return [
        Problem(f"/environments/{position}", f"An entry is the name of one. {why}", "name")
        for position, entry in enumerate(entries)
        if (why := environment_problem(entry))
    ]
