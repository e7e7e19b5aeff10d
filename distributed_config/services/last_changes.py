"""Services in the order of their last change, and what that change was.

The pages of the list are as of one revision, that of the first page. A service that changes while
somebody reads on keeps its place, so that none comes twice and none is left out.
"""

import re
from typing import NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, bindparam, case, func, or_, select

from distributed_config.models import ChangeRow, ServiceRow
from distributed_config.services import catalogue
from distributed_config.services.catalogue import Entry
from distributed_config.services.documents.current import ENVIRONMENT, in_environment
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.changes import Change, as_seen_by
from distributed_config.services.journal.transaction import COLUMNS
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader


class Position(NamedTuple):
    """The place of a service in the list as of a revision; see ``text`` for cursors."""

    as_of: int
    revision: int
    name: str

    def text(self) -> str:
        """Return the position as ``parse_position`` reads it."""
        return f"{self.as_of}.{self.revision}.{self.name}"


_POSITION = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.(.*)", re.DOTALL)


def parse_position(text: str) -> Position | None:
    """Return the position that is written as ``text``; None if it is none."""
    match = _POSITION.fullmatch(text)
    return Position(int(match[1]), int(match[2]), match[3]) if match else None


def services_by_change(
    reader: Reader,
    *,
    as_of: int,
    after: Position | None = None,
    limit: int,
    search: str = "",
    prefix: str = "",
    tags: tuple[str, ...] = (),
    environment: str = DEFAULT_ENVIRONMENT,
) -> list[tuple[Entry, Position]]:
    """Return up to ``limit`` services, that with the newest change first, with their positions.

    The order is that of revision ``as_of``, or of the one of ``after``, the position after which
    the list goes on. Services with the same revision are by name. The other parameters are those
    of ``catalogue.services``. Raises EnvironmentNotFound.
    """
    require_visible(reader, environment)
    as_of = as_of if after is None else after.as_of
    found = (
        select(
            ServiceRow.id,
            ServiceRow.name,
            ServiceRow.created_revision,
            _last(environment, as_of).label("here"),
            _last(None, as_of).label("everywhere"),
        )
        .where(
            ServiceRow.created_revision <= as_of,
            *catalogue.conditions(reader, search, prefix, tags),
        )
        .subquery()
    )
    # Each service has its creation at least, which is of all environments.
    last: ColumnElement[int] = func.coalesce(found.c.everywhere, found.c.created_revision)
    revision = case((found.c.here > last, found.c.here), else_=last).label("revision")
    query: Select[int, str, int] = select(found.c.id, found.c.name, revision)
    if after is not None:
        # The name decides among services of one revision, as after a changeset.
        same = and_(revision == after.revision, found.c.name > after.name)
        query = query.where(or_(revision < after.revision, same))
    query = query.order_by(revision.desc(), found.c.name).limit(limit)
    # Only ids first: what an entry shows takes several look-ups, which are for one page alone.
    rows = reader.connection.execute(query).all()
    entries = catalogue.services_by_id(reader, [row.id for row in rows], environment)
    positions = (Position(as_of, row.revision, row.name) for row in rows)
    return list(zip(entries, positions, strict=True))


_SERVICE_CHANGES = select(*COLUMNS).where(
    ChangeRow.organisation_id == bindparam("organisation"),
    ChangeRow.service == bindparam("name"),
)
_NEWEST_FIRST = (ChangeRow.revision.desc(), ChangeRow.position.desc())
# One for each, and not both in one: so either is found at the end of the index at once.
_LAST_HERE = (
    _SERVICE_CHANGES.where(ChangeRow.environment == ENVIRONMENT).order_by(*_NEWEST_FIRST).limit(1)
)
_LAST_EVERYWHERE = (
    _SERVICE_CHANGES.where(ChangeRow.environment.is_(None)).order_by(*_NEWEST_FIRST).limit(1)
)


def last_change(reader: Reader, series: Series) -> Change | None:
    """Return the last change of a service: of its versions in the environment, or of all of it."""
    named = {"organisation": reader.visibility.organisation, "name": series.service}
    found = [
        *reader.connection.execute(_LAST_HERE, {**named, **in_environment(series.environment)}),
        *reader.connection.execute(_LAST_EVERYWHERE, named),
    ]
    if not found:
        return None
    newest = max(found, key=lambda row: (row.revision, row.position))
    return as_seen_by(reader.visibility, Change(**newest._asdict()))


def _last(environment: str | None, as_of: int) -> ScalarSelect[int]:
    """Select the revision of a service's last change until ``as_of``; NULL: there is none."""
    return (
        select(ChangeRow.revision)
        .where(
            ChangeRow.organisation_id == ServiceRow.organisation_id,
            ChangeRow.service == ServiceRow.name,
            ChangeRow.environment.is_(None)
            if environment is None
            else ChangeRow.environment == environment,
            ChangeRow.revision <= as_of,
        )
        .order_by(ChangeRow.revision.desc())
        .limit(1)
        .scalar_subquery()
    )
