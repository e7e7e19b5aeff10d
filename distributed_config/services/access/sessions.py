"""The sessions of one user: listed, ended, and moved to another organisation.

A user has sessions in no particular organisation: each acts in one of those that the user belongs
to, and all are the user's own.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, or_, select, update

from distributed_config.errors import AccountNotFound
from distributed_config.models import OrganisationRow, TokenRow
from distributed_config.services.access import lineage
from distributed_config.services.access.identify import identify_in
from distributed_config.services.access.last_administrator import guard_last_administrator
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.journal.transaction import Transaction


@dataclass(frozen=True)
class Session:
    """A session that is valid. Times are microseconds since 1970.

    ``organisation`` is the one that it acts in unless a request names another. ``used_from`` is an
    IP address, "" before the first use.
    """

    id: int
    organisation: str
    created_at: int
    expires_at: int | None
    used_at: int | None
    used_from: str


def sessions(connection: Connection, user_id: int, now: int) -> list[Session]:
    """Return the sessions of a user that are valid at ``now``, newest first."""
    query = (
        select(
            TokenRow.id,
            OrganisationRow.name,
            TokenRow.created_at,
            TokenRow.expires_at,
            TokenRow.used_at,
            TokenRow.used_from,
        )
        .join(OrganisationRow, OrganisationRow.id == TokenRow.organisation_id)
        .where(
            TokenRow.user_id == user_id,
            TokenRow.kind == "session",
            TokenRow.revoked_at.is_(None),
            or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > now),
        )
        # Ids are never used again, so they are in the order of the log-ins.
        .order_by(TokenRow.id.desc())
    )
    return [Session(*row) for row in connection.execute(query)]


def end(transaction: Transaction, user_id: int, session_id: int) -> int:
    """End one session of a user; return 1. Raises AccountNotFound and LastAdministrator."""
    # Somebody else's session is answered as one that does not exist.
    valid = {session.id for session in sessions(transaction.connection, user_id, transaction.wall)}
    if session_id not in valid:
        raise AccountNotFound("session", session_id)
    _end(transaction, [session_id])
    return 1


def end_others(transaction: Transaction, user_id: int, session_id: int) -> int:
    """End all sessions of a user but ``session_id``; return how many these were."""
    found = sessions(transaction.connection, user_id, transaction.wall)
    others = [session.id for session in found if session.id != session_id]
    _end(transaction, others)
    return len(others)


def move(transaction: Transaction, session_id: int, organisation: str) -> bool:
    """Let a session act in ``organisation`` from now on; return whether that is a change.

    Raises AccountNotFound where its user may not act there, whether or not there is one.
    """
    # By the rules of a request that names the organisation: there is no second list of them.
    found = identify_in(transaction.connection, session_id, transaction.wall, organisation)
    if found is None:
        raise AccountNotFound("organisation", organisation)
    moved = transaction.connection.execute(
        update(TokenRow)
        .where(TokenRow.id == session_id, TokenRow.organisation_id != found.actor.organisation)
        .values(organisation_id=found.actor.organisation)
    )
    if moved.rowcount:
        # In the journal, so that no process goes on answering from its cache.
        about = f"in {organisation}"
        transaction.record(ChangeKind.TOKEN_CHANGED, subject=f"token:{session_id}", about=about)
    return bool(moved.rowcount)


def _end(transaction: Transaction, ids: list[int]) -> None:
    # A user without a password counts as an administrator by having a session.
    with guard_last_administrator(transaction):
        lineage.revoke(transaction, TokenRow.id.in_(ids))
    for session_id in ids:
        transaction.record(
            ChangeKind.TOKEN_REVOKED, subject=f"token:{session_id}", about="session ended"
        )
