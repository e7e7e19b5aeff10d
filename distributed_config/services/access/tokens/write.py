"""The verbs that issue, change, rotate and revoke tokens."""

import json
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import insert, update

from distributed_config.errors import Forbidden, Invalid, Problem
from distributed_config.models import TokenRow
from distributed_config.services.access import grants, lineage, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.identify import SECOND
from distributed_config.services.access.last_administrator import guard_last_administrator
from distributed_config.services.access.lineage import ParentToken
from distributed_config.services.access.token_format import new_token, token_digest, token_hint
from distributed_config.services.access.tokens import rules
from distributed_config.services.access.tokens.read import (
    TOKENS,
    IssuedToken,
    Token,
    owner_of,
    token,
    token_of_row,
)
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.wire import format_time

# Both secrets are good while a rotation is rolled out; longer than a month is a second token.
_LONGEST_OVERLAP = 30 * 24 * 3600


def create_machine(
    transaction: Transaction, name: str, rights: Grant, seconds: int | None = None, secret: str = ""
) -> IssuedToken:
    """Issue a token of the organisation, for a program. It lives ``seconds``; None is for ever.

    If a token creates it, it ends with that token at the latest. ``secret`` is generated unless it
    is given. Raises Invalid; Forbidden for rights that the actor does not have.
    """
    return _create(transaction, "machine", name, rights, seconds=seconds, secret=secret)


def create_personal(
    transaction: Transaction, user_id: int, name: str, rights: Grant, seconds: int | None = None
) -> IssuedToken:
    """Issue a token that acts for a user, within ``rights``; an empty role limits nothing.

    Raises as ``create_machine`` does.
    """
    return _create(transaction, "personal", name, rights, user_id=user_id, seconds=seconds)


def _create(
    transaction: Transaction,
    kind: str,
    name: str,
    rights: Grant,
    *,
    user_id: int | None = None,
    seconds: int | None,
    secret: str = "",
) -> IssuedToken:
    presented = lineage.presented_token(transaction)
    expires_at = _default_expiry(transaction, presented, seconds)
    problems = [
        *rules.token_problems(transaction, name, expires_at),
        *rules.expiry_problems(presented, expires_at),
    ]
    # One response reports all problems, those of the rights included.
    rules.require_can_issue(transaction, user_id, rights, *problems)
    issued = _issue(
        transaction,
        kind,
        name,
        rights,
        user_id=user_id,
        expires_at=expires_at,
        parent=presented.id if presented else None,
        secret=secret,
    )
    about = f"{name}: {rights.role or 'as its user'}"
    transaction.record(ChangeKind.TOKEN_CREATED, subject=f"token:{issued.token.id}", about=about)
    return issued


def open_session(
    transaction: Transaction, user_id: int, organisation: int, seconds: int
) -> IssuedToken:
    """Issue the token of a log-in. It is no change in the journal: it concerns nobody else."""
    return _issue(
        transaction,
        "session",
        "log-in",
        Grant(""),
        user_id=user_id,
        expires_at=expiry_after(transaction, seconds),
        organisation=organisation,
    )


def change(
    transaction: Transaction,
    token_id: int,
    user_id: int | None,
    *,
    name: str,
    rights: Grant,
    expires_at: int | None,
) -> Token:
    """Give a token this name, these rights and this expiry, and return it.

    Only what differs is checked, so that a token from before a rule can still be changed.
    ``user_id`` is the actor's, if the actor is a user: a personal token can be changed by its user
    alone. A token that changes itself can only lose. Raises AccountNotFound; Invalid; Forbidden,
    also for a token that has ended; LastAdministrator.
    """
    before, owner = rules.require_renewable(transaction, token_id, user_id)
    after = replace(before, name=name, rights=rights, expires_at=expires_at)
    # Nothing to do is no change in the journal, and needs no rights to do it.
    if after == before:
        return before
    problems = _change_problems(transaction, before, after)
    if rights != before.rights:
        rules.require_can_issue(transaction, owner, rights, *problems)
    elif problems:
        raise Invalid.from_problems(problems)
    # Judged by the actor and not by the route, so that no dialect can forget it.
    if transaction.actor.key == f"token:{token_id}":
        rules.require_narrowing(transaction, before, after)
    # An earlier expiry can take the last administrator away later on.
    with guard_last_administrator(transaction, until=expires_at):
        transaction.connection.execute(
            update(TokenRow)
            .where(TokenRow.id == token_id)
            .values(name=name, expires_at=expires_at, **_columns(rights))
        )
        # What it created must not outlive it.
        lineage.shorten(transaction, token_id, expires_at)
    about = f"{before.name}: {', '.join(_differences(before, after))}"
    transaction.record(ChangeKind.TOKEN_CHANGED, subject=f"token:{token_id}", about=about)
    return after


def _change_problems(transaction: Transaction, before: Token, after: Token) -> list[Problem]:
    problems = rules.token_problems(transaction, after.name, after.expires_at)
    presented = lineage.presented_token(transaction)
    # A token that shortens itself has nothing above it to outlive: require_narrowing sees to it.
    is_itself = presented is not None and presented.id == before.id
    if after.expires_at != before.expires_at and not is_itself:
        parent = rules.parent_of_token(transaction.connection, before.id)
        problems += rules.expiry_problems(presented, after.expires_at)
        problems += rules.expiry_problems(parent, after.expires_at)
    return problems


def expiry_after(transaction: Transaction, seconds: int | None) -> int | None:
    """Return when a token expires that lives ``seconds`` from now; None if it never does."""
    return None if seconds is None else transaction.wall + seconds * SECOND


def rotate(
    transaction: Transaction, token_id: int, overlap: int, user_id: int | None
) -> IssuedToken:
    """Issue the successor of a token, which itself stays good for ``overlap`` more seconds.

    Tokens that the old one created end with the new one from now on. ``user_id`` is the actor's,
    if the actor is a user: a personal token is rotated by its user's log-in, or by an
    administrator. Raises as ``change`` does.
    """
    if not 0 <= overlap <= _LONGEST_OVERLAP:
        message = f"It must be between 0 and {_LONGEST_OVERLAP} seconds."
        raise Invalid.from_problems([Problem("/overlap", message, "range")])
    presented = lineage.presented_token(transaction)
    # An administrator rotates a leaked personal token for a user who is away.
    if rules.acts_as_administrator(transaction, presented, token_id):
        user_id = owner_of(transaction.connection, token_id)
    before, owner = rules.require_renewable(transaction, token_id, user_id)
    if owner is not None and presented is not None and presented.id == token_id:
        raise Forbidden(
            "A personal token does not rotate itself: anybody who found it could keep it alive. "
            "Log in as its user, or ask an administrator."
        )
    issued = _issue(
        transaction,
        before.kind,
        before.name,
        before.rights,
        user_id=owner,
        expires_at=before.expires_at,
        parent=rules.parent_after_rotation(transaction, presented, before),
    )
    _retire(transaction, before, issued.token, overlap)
    return issued


def _retire(transaction: Transaction, before: Token, successor: Token, overlap: int) -> None:
    """End a rotated token after ``overlap`` seconds, and hand what it created to ``successor``."""
    lineage.hand_over(transaction, before.id, successor.id)
    ends = transaction.wall + overlap * SECOND
    # Rotation never prolongs the old secret.
    if before.expires_at is not None:
        ends = min(ends, before.expires_at)
    transaction.connection.execute(
        update(TokenRow).where(TokenRow.id == before.id).values(expires_at=ends)
    )
    about = f"{before.name}: by token:{successor.id}"
    transaction.record(ChangeKind.TOKEN_ROTATED, subject=f"token:{before.id}", about=about)


def revoke(transaction: Transaction, token_id: int, user_id: int | None) -> bool:
    """End a token and all that it created, at once; return whether it was not revoked before.

    ``user_id`` is the actor's, if the actor is a user. Another user's token can be revoked by
    those who may manage that user. Raises AccountNotFound, Forbidden, LastAdministrator.
    """
    found = token(transaction.reader, token_id)
    owner = owner_of(transaction.connection, token_id)
    if owner is None:
        grants.require_can_grant(transaction, found.rights)
    elif owner != user_id:
        # Those who manage a user may end their tokens without being able to use them.
        users.require_can_manage(transaction, owner)
    if found.revoked_at is not None:
        # Revoking twice is fine: a retry after a lost response must not fail.
        return False
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, TokenRow.id == token_id)
    transaction.record(ChangeKind.TOKEN_REVOKED, subject=f"token:{token_id}", about=found.name)
    return True


def _issue(
    transaction: Transaction,
    kind: str,
    name: str,
    rights: Grant,
    *,
    user_id: int | None = None,
    expires_at: int | None = None,
    organisation: int | None = None,
    parent: int | None = None,
    secret: str = "",
) -> IssuedToken:
    secret = secret or new_token()
    values = {
        "kind": kind,
        "organisation_id": organisation or transaction.organisation,
        "user_id": user_id,
        "name": name,
        "digest": token_digest(secret),
        "hint": token_hint(secret),
        **_columns(rights),
        # The system clock, because an expiry is compared with it (decision 24).
        "created_at": transaction.wall,
        "created_by": transaction.actor.name,
        "expires_at": expires_at,
        "revoked_at": None,
        "used_at": None,
        "used_from": "",
        "parent_id": parent,
    }
    token_id: int = transaction.connection.execute(
        insert(TokenRow).returning(TokenRow.id), values
    ).scalar_one()
    # Read back, so that the response has what is stored, the user's address included.
    row = transaction.connection.execute(TOKENS.where(TokenRow.id == token_id)).one()
    return IssuedToken(token_of_row(row), secret)


def _default_expiry(
    transaction: Transaction, presented: ParentToken | None, seconds: int | None
) -> int | None:
    """Return when a new token expires; without ``seconds`` when the one that creates it does."""
    if seconds is None and presented is not None:
        return presented.expires_at
    return expiry_after(transaction, seconds)


def _columns(rights: Grant) -> dict[str, str]:
    """``rights`` as the table's columns."""
    return {
        "role": rights.role,
        "services": json.dumps(rights.scope.services),
        "environments": json.dumps(rights.scope.environments),
    }


def _differences(before: Token, after: Token) -> Iterator[str]:
    """The changes of a token in words, for the journal."""
    if after.name != before.name:
        yield f"named {after.name}"
    if after.rights != before.rights:
        scope = after.rights.scope
        yield " ".join([after.rights.role or "as its user", *scope.services, *scope.environments])
    if after.expires_at != before.expires_at:
        yield "for ever" if after.expires_at is None else f"until {format_time(after.expires_at)}"
