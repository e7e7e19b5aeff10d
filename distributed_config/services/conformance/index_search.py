"""Services found and sorted by the values of indexed properties.

A page takes some milliseconds, however many services there are. Where one filter leaves only a
few, they are read and sorted here. Otherwise the database scans one of its indexes that has the
services in the requested order, and tests each service until the page is full.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, tuple_
from sqlalchemy.orm import aliased

from distributed_config.errors import Invalid, Problem
from distributed_config.models import ConformanceRow, EntryRow
from distributed_config.services.conformance.index_keys import NO_KEY, key_of, paths_of
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT, Visibility

# Up to so many matches are sorted in memory, which takes some milliseconds. With more of them, a
# scan in order comes upon enough matches soon.
_SORT_IN_MEMORY = 3_000

OPERATORS = ("=", "<=", ">=", "<", ">", "in")


@dataclass(frozen=True)
class Filter:
    """A condition on the value under an indexed path.

    ``operator`` is one of OPERATORS. ``values`` has one value, but for ``in``.
    """

    path: str
    operator: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Order:
    """The order of a page: by the value under an index's ``path`` or, without one, ``by``.

    Equal values are ordered by name. Services without a value under the path come last,
    ``descending`` or not.
    """

    path: str | None = None
    descending: bool = False
    by: Literal["name", "created", "changed"] = "name"


@dataclass(frozen=True)
class NameFilter:
    """A condition on names: they begin with ``prefix``, and have ``search`` after it.

    ``search`` ignores the case of ASCII letters, as the database does. ``never`` must not occur
    after the prefix; "" stands for no condition. Names outside ``visibility`` do not match.
    """

    prefix: str = ""
    search: str = ""
    never: str = ""
    visibility: Visibility = Visibility()

    def fit(self, name: str) -> bool:
        """Return whether ``name`` matches."""
        rest = name.removeprefix(self.prefix)
        if self.prefix and rest == name:
            return False
        if self.never and self.never in rest:
            return False
        if not self.visibility.allows(name):
            return False
        # As bytes, ``lower`` changes ASCII letters only, like SQLite's.
        return self.search.encode().lower() in rest.encode().lower()

    def on(self, column: Any) -> Iterator[ColumnElement[bool]]:
        """Yield the same conditions on a column of names."""
        if not self.visibility.is_unrestricted:
            yield self.visibility.sql_filter(column)
        if self.prefix:
            # A range instead of LIKE: the index on names serves it, and case is not ignored.
            yield column >= self.prefix
            yield column < self.prefix[:-1] + chr(ord(self.prefix[-1]) + 1)
        rest = func.substr(column, len(self.prefix) + 1)
        if self.never:
            yield ~rest.contains(self.never, autoescape=True)
        if self.search:
            yield rest.icontains(self.search, autoescape=True)


@dataclass(frozen=True)
class Query:
    """The conditions on services, all of which must hold; ``among`` None: any service.

    The values that are compared are those of the documents in ``environment``.
    """

    filters: tuple[Filter, ...] = ()
    names: NameFilter = NameFilter()
    among: frozenset[int] | None = None
    environment: str = DEFAULT_ENVIRONMENT

    def fits(self, match: "Match") -> bool:
        """Return whether all conditions but the filters hold."""
        return self.names.fit(match.name) and (self.among is None or match.service_id in self.among)


@dataclass(frozen=True)
class Match:
    """A service of a definition. ``position`` is its place in the requested order.

    The position of the last match of a page is where the next page continues.
    """

    service_id: int
    name: str
    position: tuple[Any, ...]


def find(
    connection: Connection,
    definition_id: int,
    query: Query,
    order: Order,
    *,
    after: tuple[Any, ...] | None = None,
    offset: int = 0,
    limit: int,
) -> list[Match]:
    """Return up to ``limit`` services of a definition that match ``query``, in ``order``.

    The page begins after the position ``after``, and ``offset`` matches later. Raises Invalid for
    paths that are not indexed.
    """
    paths = paths_of(connection, definition_id)
    conditions = _conditions(paths, query, order)
    few = _few_matches(connection, conditions)
    if few is None:
        source = _source(definition_id, paths, conditions, order, query.environment)
        scans = _scans(source, conditions, order, query, after)
        return _run_scans(connection, scans, offset, limit)
    matches = [
        match
        for match in _with_positions(connection, few, paths, order, query.environment)
        if query.fits(match) and _is_after(match.position, after, order)
    ]
    # Two stable sorts: services without a value come last in both directions.
    matches.sort(key=lambda match: match.position, reverse=order.descending)
    matches.sort(key=lambda match: _is_last(match.position, order))
    return matches[offset : offset + limit]


def count(connection: Connection, definition_id: int, query: Query) -> int:
    """Return how many services ``find`` would find without a limit. Raises as it does."""
    paths = paths_of(connection, definition_id)
    conditions = _conditions(paths, query, Order())
    source = _source(definition_id, paths, conditions, Order(), query.environment)
    scan = _scan(source, conditions, Order(), query, None).order_by(None)
    return connection.execute(select(func.count()).select_from(scan.subquery())).scalar_one()


@dataclass(frozen=True)
class _Condition:
    """A filter with the id of its index, on entries of one environment."""

    index: int
    filter: Filter
    environment: str

    def on(self, entry: Any) -> ColumnElement[bool]:
        """Return the condition on an entry, for a search through the index."""
        here = entry.environment == self.environment
        return and_(entry.index_id == self.index, here, self._of_keys(entry.key))

    def of_service(self, entry: Any) -> ColumnElement[bool]:
        """Return the condition on an entry whose service is known already."""
        return and_(_is_index(entry, self.index, self.environment), self._of_keys(entry.key))

    def _of_keys(self, column: Any) -> ColumnElement[bool]:
        # Nothing is found by an object or an array: they have no key of their own.
        keys = [key for key in map(key_of, self.filter.values) if key != NO_KEY]
        if self.filter.operator in {"=", "in"} or not keys:
            among: ColumnElement[bool] = column.in_(keys)
            return among
        [bound] = keys
        # A range stays among values of one kind, which the first character of a key tells: 5 is
        # neither less nor greater than "a".
        first, end = bound[0], chr(ord(bound[0]) + 1)
        ranges: dict[str, ColumnElement[bool]] = {
            "<": (column >= first) & (column < bound),
            "<=": (column >= first) & (column <= bound),
            ">": (column > bound) & (column < end),
            ">=": (column >= bound) & (column < end),
        }
        return ranges[self.filter.operator]


def _is_index(entry: Any, index: int, environment: str) -> ColumnElement[bool]:
    """Return the condition that an entry, whose service is known, belongs to an index.

    It is that of the service's document in ``environment``.
    """
    # Adding zero keeps SQLite from scanning the whole index instead of looking up the service.
    # Without statistics about the tables it would often choose that.
    condition: ColumnElement[bool] = and_(
        entry.index_id + 0 == index, entry.environment == environment
    )
    return condition


def _conditions(paths: Mapping[str, int], query: Query, order: Order) -> list[_Condition]:
    """Return the filters, each with its index. Raises Invalid with every path without one."""
    used = [("where", condition.path) for condition in query.filters]
    if order.path is not None:
        used.append(("sort", order.path))
    known = ", ".join(paths) or "none"
    problems = [
        Problem("", f"{path!r} is not indexed here. Indexed are: {known}.", "index", parameter)
        for parameter, path in used
        if path not in paths
    ]
    if problems:
        raise Invalid.from_problems(problems)
    return [
        _Condition(paths[condition.path], condition, query.environment)
        for condition in query.filters
    ]


def _few_matches(connection: Connection, conditions: list[_Condition]) -> dict[int, str] | None:
    """Return the ids and names of all matches, if one filter alone leaves only a few.

    None where every filter leaves many, or there is none.
    """
    best: dict[int, str] | None = None
    chosen = None
    for condition in conditions:
        matching = select(EntryRow.service_id, EntryRow.name).where(condition.on(EntryRow))
        # The database skips this many in a tenth of the time that reading them here would take.
        if connection.execute(matching.offset(_SORT_IN_MEMORY).limit(1)).first() is not None:
            continue
        matches = {row[0]: row[1] for row in connection.execute(matching)}
        if best is None or len(matches) < len(best):
            best, chosen = matches, condition
    if best is None:
        return None
    for condition in conditions:
        if condition is not chosen:
            also = select(EntryRow.service_id).where(
                condition.of_service(EntryRow), EntryRow.service_id.in_(best)
            )
            left = set(connection.scalars(also))
            best = {service: name for service, name in best.items() if service in left}
    return best


def _with_positions(
    connection: Connection,
    services: Mapping[int, str],
    paths: Mapping[str, int],
    order: Order,
    environment: str,
) -> list[Match]:
    """Return ``services``, each with its position in ``order``."""
    query: Select[*tuple[Any, ...]]
    if order.path is not None:
        query = select(EntryRow.service_id, EntryRow.key).where(
            _is_index(EntryRow, paths[order.path], environment), EntryRow.service_id.in_(services)
        )
    elif order.by == "changed":
        query = select(ConformanceRow.service_id, ConformanceRow.changed_at).where(
            ConformanceRow.service_id.in_(services)
        )
    elif order.by == "created":
        return [Match(service, name, (service,)) for service, name in services.items()]
    else:
        return [Match(service, name, (name,)) for service, name in services.items()]
    return [
        Match(service, services[service], (first, services[service]))
        for service, first in connection.execute(query)
    ]


def _is_after(position: tuple[Any, ...], after: tuple[Any, ...] | None, order: Order) -> bool:
    if after is None:
        return True
    last = _is_last(position, order)
    if last != _is_last(after, order):
        return last
    return position < after if order.descending else position > after


def _is_last(position: tuple[Any, ...], order: Order) -> bool:
    """Return whether a position is that of a service without a value under the order's path."""
    return order.path is not None and bool(position[0] == NO_KEY)


@dataclass(frozen=True)
class _Source:
    """The rows that are scanned: an index of the database has them in the requested order.

    ``position`` are the columns of that order.
    """

    row: Any
    condition: ColumnElement[bool]
    position: list[Any]


def _source(
    definition_id: int,
    paths: Mapping[str, int],
    conditions: list[_Condition],
    order: Order,
    environment: str,
) -> _Source:
    if order.path is not None:
        entry = aliased(EntryRow)
        here = and_(entry.index_id == paths[order.path], entry.environment == environment)
        return _Source(entry, here, [entry.key, entry.name])
    row = aliased(ConformanceRow)
    conforming = row.definition_id == definition_id
    if order.by == "changed":
        return _Source(row, conforming, [row.changed_at, row.name])
    if order.by == "created":
        # Ids are never used again, so they are in the order of creation.
        return _Source(row, conforming, [row.service_id])
    for condition in conditions:
        # Entries with one key are in the order of their names, and are fewer than all services.
        if condition.filter.operator == "=":
            entry = aliased(EntryRow)
            return _Source(entry, condition.on(entry), [entry.name])
    return _Source(row, conforming, [row.name])


def _scans(
    source: _Source,
    conditions: list[_Condition],
    order: Order,
    query: Query,
    after: tuple[Any, ...] | None,
) -> list[Select[Any]]:
    """Return the scans that together find everything after the position ``after``, in order."""
    if order.path is None or not order.descending:
        return [_scan(source, conditions, order, query, after)]
    # The key of services without a value is the highest. Descending, these would come first, so
    # they are left out, and scanned when the others are exhausted.
    key, name = source.position
    everything = _scan(source, conditions, order, query, None)
    last = everything.where(key == NO_KEY)
    if after is None:
        return [everything.where(key < NO_KEY), last]
    if _is_last(after, order):
        return [last.where(name < after[1])]
    return [_scan(source, conditions, order, query, after), last]


def _run_scans(
    connection: Connection, scans: Sequence[Select[Any]], offset: int, limit: int
) -> list[Match]:
    """Return the matches ``offset`` to ``offset + limit`` of all scans together."""
    matches: list[Match] = []
    for scan in scans:
        rows = connection.execute(scan.offset(offset).limit(limit - len(matches))).all()
        matches += [Match(row[0], row[1], tuple(row[2:])) for row in rows]
        if len(matches) == limit:
            break
        if rows:
            offset = 0
        elif offset:
            # The page begins after this scan; what it has is skipped, and so much less is left.
            skipped = select(func.count()).select_from(scan.limit(offset).subquery())
            offset -= connection.execute(skipped).scalar_one()
    return matches


def _scan(
    source: _Source,
    conditions: list[_Condition],
    order: Order,
    query: Query,
    after: tuple[Any, ...] | None,
) -> Select[Any]:
    scan = select(source.row.service_id, source.row.name, *source.position).where(source.condition)
    for condition in conditions:
        entry = aliased(EntryRow)
        scan = scan.where(
            exists().where(entry.service_id == source.row.service_id, condition.of_service(entry))
        )
    scan = scan.where(*query.names.on(source.row.name))
    if query.among is not None:
        scan = scan.where(source.row.service_id.in_(query.among))
    if after is not None:
        place = tuple_(*source.position)
        scan = scan.where(place < after if order.descending else place > after)
    columns = [column.desc() if order.descending else column for column in source.position]
    return scan.order_by(*columns)
