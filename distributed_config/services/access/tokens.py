"""Tokens of programs and of people: made, changed, rotated, revoked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from distributed_config.errors import AccountNotFound, Forbidden, Invalid, Problem
from distributed_config.models import TokenRow, UserRow
from distributed_config.services.access import grants, lineage, roles, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.identify import CLOCKS_DIFFER, COLUMNS, SECOND
from distributed_config.services.access.last_administrator import guard_last_administrator
from distributed_config.services.access.lineage import Maker
from distributed_config.services.access.token_format import new_token, token_digest, token_hint
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.reader import Reader
from distributed_config.wire import format_time

Kind = Literal["machine", "personal", "session"]


_MOST_TOLD = 20


_NAME_LENGTH = 100


_LONGEST_OVERLAP = 30 * 24 * 3600


@dataclass(frozen=True)
class Token:
    """A token as it is listed; its secret is shown once, when it is made. Times as in tables."""

    id: int
    kind: str
    name: str
    hint: str
    user: str | None
    rights: Grant
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None
    used_from: str


@dataclass(frozen=True)
class IssuedToken:
    """A token that was just made, and its secret."""

    token: Token
    secret: str


def create_machine(
    transaction: Transaction, name: str, rights: Grant, seconds: int | None = None, secret: str = ""
) -> IssuedToken:
    """A token of the organisation's own, for a program. Lives ``seconds``, or for ever.

    What a token makes ends with that token at the latest. ``secret`` is a new one unless given.
    Raises Forbidden for rights that the actor lacks.
    """
    maker = lineage.maker_of(transaction)
    expires_at = _end_for(transaction, maker, seconds)
    problems = [*_problems_of(transaction, name, expires_at), *_too_long(maker, expires_at)]
    _refuse_rights(transaction, None, rights, *problems)
    return _made(
        transaction,
        "machine",
        name,
        rights,
        expires_at=expires_at,
        parent=maker.id if maker else None,
        secret=secret,
    )


def create_personal(
    transaction: Transaction, user_id: int, name: str, rights: Grant, seconds: int | None = None
) -> IssuedToken:
    """A token of the user's own, which may be limited; an empty role limits nothing."""
    maker = lineage.maker_of(transaction)
    expires_at = _end_for(transaction, maker, seconds)
    problems = [*_problems_of(transaction, name, expires_at), *_too_long(maker, expires_at)]
    _refuse_rights(transaction, user_id, rights, *problems)
    return _made(
        transaction,
        "personal",
        name,
        rights,
        user_id=user_id,
        expires_at=expires_at,
        parent=maker.id if maker else None,
    )


def open_session(
    transaction: Transaction, user_id: int, organisation: int, seconds: int
) -> IssuedToken:
    """What a log-in gives. Nothing is recorded as a change: it concerns nobody else."""
    return _made(
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
    """Gives a token this name, these rights and this end; nothing is asked for what it has already.

    ``user_id`` is who asks, if that is a user: what is somebody's own is theirs alone to change.
    Who shows the token itself can only make it less. Raises AccountNotFound; Invalid; Forbidden,
    also for one that has ended; LastAdministrator.
    """
    before, owner = _require_renewable(transaction, token_id, user_id)
    after = replace(before, name=name, rights=rights, expires_at=expires_at)
    if after == before:
        return before
    problems = _problems_of(transaction, name, expires_at)
    maker = lineage.maker_of(transaction)
    if expires_at != before.expires_at and (maker is None or maker.id != token_id):
        problems += _too_long(maker, expires_at)
        problems += _too_long(_parent(transaction.connection, token_id), expires_at)
    if rights != before.rights:
        _refuse_rights(transaction, owner, rights, *problems)
    elif problems:
        raise Invalid.from_problems(problems)
    if transaction.actor.key == f"token:{token_id}":
        _refuse_more(transaction, before, after)
    with guard_last_administrator(transaction, until=expires_at):
        transaction.connection.execute(
            update(TokenRow)
            .where(TokenRow.id == token_id)
            .values(name=name, expires_at=expires_at, **_stored(rights))
        )
        lineage.shorten(transaction, token_id, expires_at)
    about = f"{before.name}: {', '.join(_differences(before, after))}"
    transaction.record(ChangeKind.TOKEN_CHANGED, subject=f"token:{token_id}", about=about)
    return after


def expiry_after(transaction: Transaction, seconds: int | None) -> int | None:
    """When a token ends that lives ``seconds`` from now on; None: never."""
    return None if seconds is None else transaction.wall + seconds * SECOND


def rotate(
    transaction: Transaction, token_id: int, overlap: int, user_id: int | None
) -> IssuedToken:
    """A new token like this one, which goes on for ``overlap`` more seconds.

    What this one made is the new one's. ``user_id`` is who asks, if that is a user: what is
    somebody's own is rotated by their log-in, or by an administrator. Raises as ``change`` does.
    """
    if not 0 <= overlap <= _LONGEST_OVERLAP:
        message = f"It is between 0 and {_LONGEST_OVERLAP} seconds."
        raise Invalid.from_problems([Problem("/overlap", message, "range")])
    maker = lineage.maker_of(transaction)
    if _is_by_administrator(transaction, maker, token_id):
        user_id = _owner(transaction.connection, token_id)
    before, owner = _require_renewable(transaction, token_id, user_id)
    if owner is not None and maker is not None and maker.id == token_id:
        raise Forbidden(
            "A personal token does not rotate itself: whoever found it could keep it alive. "
            "Its user logs in, or an administrator does it."
        )
    made = _made(
        transaction,
        before.kind,
        before.name,
        before.rights,
        user_id=owner,
        expires_at=before.expires_at,
        parent=_parent_after_rotation(transaction, maker, before),
        quiet=True,
    )
    lineage.hand_over(transaction, token_id, made.token.id)
    ends = transaction.wall + overlap * SECOND
    if before.expires_at is not None:
        ends = min(ends, before.expires_at)
    transaction.connection.execute(
        update(TokenRow).where(TokenRow.id == token_id).values(expires_at=ends)
    )
    about = f"{before.name}: by token:{made.token.id}"
    transaction.record(ChangeKind.TOKEN_ROTATED, subject=f"token:{token_id}", about=about)
    return made


def revoke(transaction: Transaction, token_id: int, user_id: int | None) -> bool:
    """Ends a token, and what it made, now; whether it was still good.

    Raises AccountNotFound or LastAdministrator. ``user_id`` is who asks, if that is a user.
    Another's is for those who may more than they.
    """
    found = token(transaction.reader, token_id)
    owner = _owner(transaction.connection, token_id)
    if owner is None:
        grants.require_can_grant(transaction, found.rights)
    elif owner != user_id:
        users.require_can_manage(transaction, owner)
    if found.revoked_at is not None:
        return False
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, TokenRow.id == token_id)
    transaction.record(ChangeKind.TOKEN_REVOKED, subject=f"token:{token_id}", about=found.name)
    return True


def token(reader: Reader, token_id: int) -> Token:
    """A token of the organisation. Raises AccountNotFound."""
    row = reader.connection.execute(
        _TOKENS.where(
            TokenRow.organisation_id == reader.visibility.organisation,
            TokenRow.id == token_id,
            TokenRow.kind != "session",
        )
    ).one_or_none()
    if row is None:
        raise AccountNotFound("token", token_id)
    return _token(row)


def require_owner(reader: Reader, token_id: int, owner: int) -> None:
    """Raises AccountNotFound unless the token is that of the user ``owner``; 0: anybody's."""
    row = reader.connection.execute(
        select(TokenRow.user_id).where(
            TokenRow.organisation_id == reader.visibility.organisation,
            TokenRow.id == token_id,
            TokenRow.kind != "session",
        )
    ).one_or_none()
    if row is None or (owner and row.user_id != owner):
        raise AccountNotFound("token", token_id)


def tokens(
    reader: Reader,
    *,
    user_id: int | None = None,
    after: int = 0,
    search: str = "",
    limit: int,
) -> list[Token]:
    """The tokens behind the id ``after``, oldest first; those of one user only, if one is named.

    Sessions are not among them.
    """
    query = _TOKENS.where(
        TokenRow.organisation_id == reader.visibility.organisation,
        TokenRow.id > after,
        TokenRow.kind != "session",
    )
    if user_id is not None:
        query = query.where(TokenRow.user_id == user_id)
    if search:
        query = query.where(TokenRow.name.icontains(search, autoescape=True))
    return [
        _token(row) for row in reader.connection.execute(query.order_by(TokenRow.id).limit(limit))
    ]


def made_after(connection: Connection, moment: int) -> list[int]:
    """The first tokens with an end that were made after ``moment`` and are not revoked; ids."""
    query = select(TokenRow.id).where(
        TokenRow.created_at > moment + CLOCKS_DIFFER,
        TokenRow.expires_at.is_not(None),
        TokenRow.revoked_at.is_(None),
        TokenRow.kind != "session",
    )
    return list(connection.scalars(query.order_by(TokenRow.id).limit(_MOST_TOLD)))


_TOKENS = select(*COLUMNS).outerjoin(UserRow, UserRow.id == TokenRow.user_id)


def _token(row: Any) -> Token:
    rights = Grant(row.role, grants.load_scope(row.services, row.environments))
    return Token(
        row.id,
        row.kind,
        row.name,
        row.hint,
        row.email,
        rights,
        row.created_at,
        row.created_by,
        row.expires_at,
        row.revoked_at,
        row.used_at,
        row.used_from,
    )


def _made(
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
    quiet: bool = False,
) -> IssuedToken:
    secret = secret or new_token()
    values = {
        "kind": kind,
        "organisation_id": organisation or transaction.organisation,
        "user_id": user_id,
        "name": name,
        "digest": token_digest(secret),
        "hint": token_hint(secret),
        **_stored(rights),
        "created_at": transaction.wall,
        "created_by": transaction.actor.name,
        "expires_at": expires_at,
        "revoked_at": None,
        "used_at": None,
        "used_from": "",
        "parent_id": parent,
    }
    made: int = transaction.connection.execute(
        insert(TokenRow).returning(TokenRow.id), values
    ).scalar_one()
    if kind != "session" and not quiet:
        about = f"{name}: {rights.role or 'as its user'}"
        transaction.record(ChangeKind.TOKEN_CREATED, subject=f"token:{made}", about=about)
    row = transaction.connection.execute(_TOKENS.where(TokenRow.id == made)).one()
    return IssuedToken(_token(row), secret)


def _require_renewable(
    transaction: Transaction, token_id: int, user_id: int | None
) -> tuple[Token, int | None]:
    """A token that who asks may make anew, and whose own it is; None: a program's.

    Raises AccountNotFound; Forbidden for somebody else's own, for one that may more than who asks,
    and for one that has ended.
    """
    found = token(transaction.reader, token_id)
    owner = _owner(transaction.connection, token_id)
    if owner is not None and owner != user_id:
        raise Forbidden(f"The token {found.name!r} is somebody's own; it takes their log-in.")
    if owner is None:
        grants.require_can_grant(transaction, found.rights)
    ended = found.expires_at is not None and found.expires_at <= transaction.wall
    if found.revoked_at is not None or ended:
        raise Forbidden(f"The token {found.name!r} has ended. Make a new one.")
    return found, owner


def _end_for(transaction: Transaction, maker: Maker | None, seconds: int | None) -> int | None:
    """When a new token ends; without ``seconds`` with its maker, if that ends."""
    if seconds is None and maker is not None:
        return maker.expires_at
    return expiry_after(transaction, seconds)


def _too_long(above: Maker | None, expires_at: int | None) -> list[Problem]:
    """That a token would end after the one that it ends with, if it would."""
    if above is None or above.expires_at is None or above.outlasts(expires_at):
        return []
    last = format_time(above.expires_at)
    message = f"It ends with the token that makes it, at {last}; ask for a sooner end, or log in."
    return [Problem("/seconds", message, "range")]


def _parent(connection: Connection, token_id: int) -> Maker | None:
    """The token that made this one."""
    parent = lineage.parent_of(connection, token_id)
    if parent is None:
        return None
    return Maker(parent, "", lineage.end_of(connection, parent))


def _is_by_administrator(transaction: Transaction, maker: Maker | None, token_id: int) -> bool:
    """Whether an administrator asks, and shows another token than the one it is about."""
    return transaction.actor.is_administrator and (maker is None or maker.id != token_id)


def _parent_after_rotation(
    transaction: Transaction, maker: Maker | None, before: Token
) -> int | None:
    """What the successor of a token ends with: all that made it, and who knows its secret.

    Raises Forbidden where that would be two that have nothing to do with each other, and where
    the token of who asks ends before the one that is rotated.
    """
    parent = lineage.parent_of(transaction.connection, before.id)
    if maker is None or maker.id == before.id:
        return parent
    if not maker.outlasts(before.expires_at):
        raise Forbidden(
            f"The token {before.name!r} lasts longer than the one that you show. Show it itself, "
            "or one that lasts as long."
        )
    if lineage.is_below(transaction.connection, maker.id, before.id):
        raise Forbidden(f"The token {before.name!r} made the one that you show. Log in.")
    if parent is None or lineage.is_below(transaction.connection, maker.id, parent):
        return maker.id
    if lineage.is_below(transaction.connection, before.id, maker.id):
        return parent
    raise Forbidden(
        f"The token {before.name!r} ends with another one, which made it. Show that one, or log in."
    )


def _owner(connection: Connection, token_id: int) -> int | None:
    """Whose own a token is; None: it is a program's."""
    return connection.execute(
        select(TokenRow.user_id).where(TokenRow.id == token_id)
    ).scalar_one_or_none()


def _refuse_rights(
    transaction: Transaction, owner: int | None, rights: Grant, *others: Problem
) -> None:
    """Raises Invalid or Forbidden for rights that who asks cannot give to a token.

    A user's own needs no role: without one it may what its user may, within its scope. ``others``
    are problems of the rest of the token.
    """
    if rights.role or owner is None:
        grants.require_can_grant(transaction, rights, *others)
    problems = [*others, *grants.scope_problems(rights.scope)]
    if problems:
        raise Invalid.from_problems(problems)


def _refuse_more(transaction: Transaction, before: Token, after: Token) -> None:
    """Raises Forbidden for what a token cannot make of itself: anything but less."""
    longer = before.expires_at is not None and (
        after.expires_at is None or after.expires_at > before.expires_at
    )
    wider = not before.rights.scope.contains_scope(after.rights.scope)
    if before.rights.role and before.rights.role != after.rights.role:
        held, wanted = (
            roles.permissions_of(transaction.connection, transaction.organisation, each.rights.role)
            for each in (before, after)
        )
        wider = wider or not after.rights.role or not wanted <= held
    if longer or wider or before.name != after.name:
        raise Forbidden(
            "A token can give itself fewer rights and a sooner end only. For anything else its "
            "user logs in, or who manages tokens shows another one."
        )


def _problems_of(transaction: Transaction, name: str, expires_at: int | None) -> list[Problem]:
    problems = []
    if not (name.isprintable() and 0 < len(name) <= _NAME_LENGTH):
        message = f"A name has 1 to {_NAME_LENGTH} characters that can be seen."
        problems.append(Problem("/name", message, "name"))
    if expires_at is not None and expires_at <= transaction.wall:
        problems.append(Problem("/seconds", "It is more than 0.", "range"))
    return problems


def _stored(rights: Grant) -> dict[str, str]:
    """Rights as they stand in the table."""
    return {
        "role": rights.role,
        "services": json.dumps(rights.scope.services),
        "environments": json.dumps(rights.scope.environments),
    }


def _differences(before: Token, after: Token) -> Iterator[str]:
    """What a change came to, for people."""
    if after.name != before.name:
        yield f"named {after.name}"
    if after.rights != before.rights:
        scope = after.rights.scope
        yield " ".join([after.rights.role or "as its user", *scope.services, *scope.environments])
    if after.expires_at != before.expires_at:
        yield "for ever" if after.expires_at is None else f"until {format_time(after.expires_at)}"
