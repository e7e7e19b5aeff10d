"""The rules that keep a token from giving, or keeping, more than its holder should have."""

from sqlalchemy import Connection

from distributed_config.errors import Forbidden, Invalid, Problem
from distributed_config.services.access import grants, lineage, roles
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.lineage import ParentToken
from distributed_config.services.access.tokens.read import Token, owner_of, token
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import format_time

_NAME_LENGTH = 100


def token_problems(transaction: Transaction, name: str, expires_at: int | None) -> list[Problem]:
    """Return what is wrong with the name and the expiry of a token."""
    problems = []
    # A name is read in lists and logs, where invisible characters would make two look alike.
    if not (name.isprintable() and 0 < len(name) <= _NAME_LENGTH):
        message = f"A name has 1 to {_NAME_LENGTH} printable characters."
        problems.append(Problem("/name", message, "name"))
    if expires_at is not None and expires_at <= transaction.wall:
        problems.append(Problem("/seconds", "It must be more than 0.", "range"))
    return problems


def expiry_problems(parent: ParentToken | None, expires_at: int | None) -> list[Problem]:
    """Return the problem that a token would expire later than the one that it ends with."""
    if parent is None or parent.expires_at is None or parent.outlasts(expires_at):
        return []
    last = format_time(parent.expires_at)
    message = (
        f"It cannot expire later than the token that creates it, at {last}; "
        "choose an earlier expiry, or log in."
    )
    return [Problem("/seconds", message, "range")]


def require_can_issue(
    transaction: Transaction, user_id: int | None, rights: Grant, *others: Problem
) -> None:
    """Raise Invalid or Forbidden if the actor cannot give ``rights`` to a token.

    ``user_id`` is the user that the token belongs to, None for a machine token. A user's token
    needs no role: without one it may do what its user may, within its scope. ``others`` are
    problems of the rest of the token, and are reported first.
    """
    if rights.role or user_id is None:
        grants.require_can_grant(transaction, rights, *others)
    problems = [*others, *grants.scope_problems(rights.scope)]
    if problems:
        raise Invalid.from_problems(problems)


def require_renewable(
    transaction: Transaction, token_id: int, user_id: int | None
) -> tuple[Token, int | None]:
    """Return a token that the actor may change or rotate, and its user's id (None for a machine).

    ``user_id`` is the actor's, if the actor is a user. Raises AccountNotFound; Forbidden for
    another user's token, for one with more rights than the actor's, and for one that has ended.
    """
    found = token(transaction.reader, token_id)
    owner = owner_of(transaction.connection, token_id)
    if owner is not None and owner != user_id:
        raise Forbidden(
            f"The token {found.name!r} belongs to another user, and only they can do this, "
            "after they log in."
        )
    if owner is None:
        # Otherwise a token could be reduced to a level at which it may then be taken over.
        grants.require_can_grant(transaction, found.rights)
    # An ended token stays ended: who holds an old copy must not get a good one out of it.
    if found.has_ended(transaction.wall):
        raise Forbidden(f"The token {found.name!r} has ended. Create a new one.")
    return found, owner


def require_narrowing(transaction: Transaction, before: Token, after: Token) -> None:
    """Raise Forbidden unless ``after`` has at most the rights and the time of ``before``.

    A token may change itself only that way: otherwise a thief could widen a stolen one.
    """
    longer = before.expires_at is not None and (
        after.expires_at is None or after.expires_at > before.expires_at
    )
    # An empty scope is everything, so it never lies inside a limited one.
    wider = not before.rights.scope.contains_scope(after.rights.scope)
    if before.rights.role and before.rights.role != after.rights.role:
        old, new = (
            roles.permissions_of(transaction.connection, transaction.organisation, role)
            for role in (before.rights.role, after.rights.role)
        )
        # No role means all that its user may, which is more than any role of the token.
        wider = wider or not after.rights.role or not new <= old
    # The name stays, because it is what the audit log shows.
    if longer or wider or before.name != after.name:
        raise Forbidden(
            "A token can only give itself fewer rights and an earlier expiry. For anything else "
            "log in as its user, or use another token that may manage tokens."
        )


def acts_as_administrator(
    transaction: Transaction, presented: ParentToken | None, token_id: int
) -> bool:
    """Whether the actor is an administrator who does not present the token ``token_id`` itself."""
    is_itself = presented is not None and presented.id == token_id
    return transaction.actor.is_administrator and not is_itself


def parent_of_token(connection: Connection, token_id: int) -> ParentToken | None:
    """Return the token that a token ends with, as the rules on expiry need it."""
    parent = lineage.parent_of(connection, token_id)
    if parent is None:
        return None
    return ParentToken(parent, lineage.end_of(connection, parent))


def parent_after_rotation(
    transaction: Transaction, presented: ParentToken | None, before: Token
) -> int | None:
    """Return the id of the token that the successor of ``before`` ends with.

    The successor has to end with the parent of ``before``, and with the token that learns its
    secret. Of two tokens in one family the lower is enough. Raises Forbidden if the two are of
    different families, and if the presented token ends before the rotated one.
    """
    parent = lineage.parent_of(transaction.connection, before.id)
    # After a log-in, or by itself, nobody new learns the secret.
    if presented is None or presented.id == before.id:
        return parent
    # Otherwise the successor would have to end earlier than the token that it replaces.
    if not presented.outlasts(before.expires_at):
        raise Forbidden(
            f"The token {before.name!r} lasts longer than the one that you present. Present the "
            "token itself, or one that lasts as long."
        )
    if lineage.is_below(transaction.connection, presented.id, before.id):
        raise Forbidden(f"The token {before.name!r} created the one that you present. Log in.")
    if parent is None or lineage.is_below(transaction.connection, presented.id, parent):
        return presented.id
    if lineage.is_below(transaction.connection, before.id, presented.id):
        return parent
    raise Forbidden(
        f"The token {before.name!r} ends with the token that created it. Present that one, or "
        "log in."
    )
