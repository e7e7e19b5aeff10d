"""What is granted to a user or a token: a role, limited to services and environments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from distributed_config.errors import Forbidden, Invalid, Problem
from distributed_config.services.access.roles import permissions_of, refuse_more, roles
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import Scope
from distributed_config.wire import name_problem

_MOST_IN_SCOPE = 100


@dataclass(frozen=True)
class Grant:
    """A role, and what it is limited to."""

    role: str
    scope: Scope = Scope()


def require_can_grant(transaction: Transaction, rights: Grant, *others: Problem) -> None:
    """Raises Invalid if ``rights`` name no role, Forbidden if they go beyond the actor's own.

    ``others`` are problems of what the rights came with; they are told first.
    """
    known = [role.name for role in roles(transaction.reader)]
    problems = [*others, *scope_problems(rights.scope)]
    if rights.role not in known:
        message = f"{rights.role!r} is no role; there are: {', '.join(known)}."
        problems.insert(len(others), Problem("/role", message, "role"))
    if problems:
        raise Invalid.from_problems(problems)
    held = permissions_of(transaction.connection, transaction.organisation, rights.role)
    refuse_more(transaction.actor, held)
    if not all(scope.contains_scope(rights.scope) for scope in transaction.visibility.scopes):
        raise Forbidden("Your own rights are limited to fewer services than these would be.")


def load_scope(services: str, environments: str) -> Scope:
    """A scope from the two JSON arrays that are stored."""
    return Scope(tuple(json.loads(services)), tuple(json.loads(environments)))


def scope_problems(scope: Scope) -> list[Problem]:
    """What is wrong with a scope that somebody wants."""
    return [
        *_entry_problems("/services", scope.services),
        *_entry_problems("/environments", scope.environments),
    ]


def _entry_problems(pointer: str, entries: Sequence[str]) -> list[Problem]:
    if len(entries) > _MOST_IN_SCOPE:
        message = f"It has more than {_MOST_IN_SCOPE} entries."
        return [Problem(pointer, message, "limit")]
    message = (
        "It must be a name, or a prefix of names that ends in /. For all of them leave it out."
    )
    return [
        Problem(f"{pointer}/{position}", message, "name")
        for position, each in enumerate(entries)
        if name_problem(each.removesuffix("/"))
    ]
