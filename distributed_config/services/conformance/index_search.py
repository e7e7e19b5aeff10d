"""Services found and sorted by the values of indexed properties."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, tuple_
from sqlalchemy.orm import aliased

from distributed_config.errors import Invalid, Problem
from distributed_config.models import ConformanceRow, EntryRow
from distributed_config.services.conformance.index_keys import NO_KEY, key_of, paths_of
from distributed_config.services.policy.visibility import Visibility

# What matches is gathered and sorted up to so many; more is walked in the wanted order, and each
# is asked whether it matches. Either way a page costs some milliseconds, however many there are.
_SORT_IN_MEMORY = 3_000


OPERATORS = ("=", "<=", ">=", "<", ">", "in")


@dataclass(frozen=True)
class Filter:
    """``operator`` is one of OPERATORS; only ``in`` may have other than one value."""

    path: str
    operator: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Order:
    """By what is under an index's ``path``; or, without one, ``by`` name, created or changed.

    Names decide between equals. What has nothing under the path comes last, ``descending`` or not.
    """

    path: str | None = None
    descending: bool = False
    by: Literal["name", "created", "changed"] = "name"


@dataclass(frozen=True)
class NameFilter:
    """Which names are wanted: those that begin with ``prefix`` and have ``search`` behind it.

    ``search`` is looked for in any case, as the database does it: that of ASCII letters. What is
    behind the prefix must not hold ``never``. Only those in ``visibility`` are seen.
    """

    prefix: str = ""
    search: str = ""
    never: str = ""
    visibility: Visibility = Visibility()

    def fit(self, name: str) -> bool:
        """Whether ``name`` is wanted."""
        rest = name.removeprefix(self.prefix)
        if self.prefix and rest == name:
            return False
        if self.never and self.never in rest:
            return False
        if not self.visibility.allows(name):
            return False
        return self.search.encode().lower() in rest.encode().lower()

    def on(self, column: Any) -> Iterator[ColumnElement[bool]]:
        """The conditions on a column of names."""
        if not self.visibility.is_unrestricted:
            yield self.visibility.sql_filter(column)
        if self.prefix:
            yield column >= self.prefix
            yield column < self.prefix[:-1] + chr(ord(self.prefix[-1]) + 1)
        rest = func.substr(column, len(self.prefix) + 1)
        if self.never:
            yield ~rest.contains(self.never, autoescape=True)
        if self.search:
            yield rest.icontains(self.search, autoescape=True)


@dataclass(frozen=True)
class Query:
    """Which services are wanted: those to which all of it applies. ``among`` None: any."""

    filters: tuple[Filter, ...] = ()
    names: NameFilter = NameFilter()
    among: frozenset[int] | None = None

    def fits(self, found: "Match") -> bool:
        """Whether all but the filters apply."""
        return self.names.fit(found.name) and (self.among is None or found.service_id in self.among)


@dataclass(frozen=True)
class Match:
    """A service of a definition. ``position`` is its place in the order that was asked for."""

    service_id: int
    name: str
    position: tuple[Any, ...]


def find(
    connection: Connection,
    definition_id: int,
    question: Query,
    order: Order,
    *,
    after: tuple[Any, ...] | None = None,
    offset: int = 0,
    limit: int,
) -> list[Match]:
    """The services of a definition that answer ``question``, in ``order``.

    The page begins behind the position ``after``, and ``offset`` services later. Raises Invalid
    for paths that are not indexed.
    """
    paths = paths_of(connection, definition_id)
    wanted = _wanted(paths, question, order)
    gathered = _few_matches(connection, wanted)
    if gathered is None:
        source = _source(definition_id, paths, wanted, order)
        walks = _scans(source, wanted, order, question, after)
        return _one_after_the_other(connection, walks, offset, limit)
    found = [
        each
        for each in _with_positions(connection, gathered, paths, order)
        if question.fits(each) and _is_after(each.position, after, order)
    ]
    found.sort(key=lambda each: each.position, reverse=order.descending)
    found.sort(key=lambda each: _is_last(each.position, order))
    return found[offset : offset + limit]


def count(connection: Connection, definition_id: int, question: Query) -> int:
    """How many services ``find`` finds in all."""
    paths = paths_of(connection, definition_id)
    wanted = _wanted(paths, question, Order())
    source = _source(definition_id, paths, wanted, Order())
    query = _walk(source, wanted, Order(), question, None).order_by(None)
    return connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()


@dataclass(frozen=True)
class _Wanted:
    """A filter, and the index that it is about."""

    index: int
    filter: Filter

    def on(self, entry: Any) -> ColumnElement[bool]:
        """The condition on an entry, for looking through the index."""
        return and_(entry.index_id == self.index, self._of_keys(entry.key))

    def of_service(self, entry: Any) -> ColumnElement[bool]:
        """The same for the entries of services that are known."""
        return and_(_is_index(entry, self.index), self._of_keys(entry.key))

    def _of_keys(self, column: Any) -> ColumnElement[bool]:
        # An object or an array is nothing that anything is found by.
        keys = [key for key in map(key_of, self.filter.values) if key != NO_KEY]
        if self.filter.operator in {"=", "in"} or not keys:
            among: ColumnElement[bool] = column.in_(keys)
            return among
        [bound] = keys
        # A range stays among values of one kind.
        first, behind = bound[0], chr(ord(bound[0]) + 1)
        limits: dict[str, ColumnElement[bool]] = {
            "<": (column >= first) & (column < bound),
            "<=": (column >= first) & (column <= bound),
            ">": (column > bound) & (column < behind),
            ">=": (column >= bound) & (column < behind),
        }
        return limits[self.filter.operator]


def _is_index(entry: Any, index: int) -> ColumnElement[bool]:
    """The condition on the index of an entry whose service is known.

    Adding nothing keeps the database from walking the whole index instead; without statistics it
    would often rather do that.
    """
    condition: ColumnElement[bool] = entry.index_id + 0 == index
    return condition


def _wanted(paths: Mapping[str, int], question: Query, order: Order) -> list[_Wanted]:
    """The filters, each with its index. Raises Invalid where one is not indexed."""
    asked = [("where", each.path) for each in question.filters]
    if order.path is not None:
        asked.append(("sort", order.path))
    known = ", ".join(paths) or "none"
    problems = [
        Problem("", f"{path!r} is not indexed here. Indexed are: {known}.", "index", parameter)
        for parameter, path in asked
        if path not in paths
    ]
    if problems:
        raise Invalid.from_problems(problems)
    return [_Wanted(paths[each.path], each) for each in question.filters]


def _few_matches(connection: Connection, wanted: list[_Wanted]) -> dict[int, str] | None:
    """The ids and names of all that match, where one filter alone leaves only a few."""
    best: dict[int, str] | None = None
    chosen = None
    for each in wanted:
        matching = select(EntryRow.service_id, EntryRow.name).where(each.on(EntryRow))
        # The database passes over so many in a tenth of the time that reading them here takes.
        if connection.execute(matching.offset(_SORT_IN_MEMORY).limit(1)).first() is not None:
            continue
        found = {row[0]: row[1] for row in connection.execute(matching)}
        if best is None or len(found) < len(best):
            best, chosen = found, each
    if best is None:
        return None
    for each in wanted:
        if each is not chosen:
            also = select(EntryRow.service_id).where(
                each.of_service(EntryRow), EntryRow.service_id.in_(best)
            )
            left = set(connection.scalars(also))
            best = {service: name for service, name in best.items() if service in left}
    return best


def _with_positions(
    connection: Connection, services: Mapping[int, str], paths: Mapping[str, int], order: Order
) -> list[Match]:
    """``services``, each with its position."""
    query: Select[*tuple[Any, ...]]
    if order.path is not None:
        query = select(EntryRow.service_id, EntryRow.key).where(
            _is_index(EntryRow, paths[order.path]), EntryRow.service_id.in_(services)
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
    """Whether a position is that of a service which has nothing under the path of ``order``."""
    return order.path is not None and bool(position[0] == NO_KEY)


def _source(
    definition_id: int, paths: Mapping[str, int], wanted: list[_Wanted], order: Order
) -> "_Source":
    """What is walked: an index of the database that has the services in the wanted order."""
    if order.path is not None:
        entry = aliased(EntryRow)
        return _Source(entry, entry.index_id == paths[order.path], [entry.key, entry.name])
    row = aliased(ConformanceRow)
    conforming = row.definition_id == definition_id
    if order.by == "changed":
        return _Source(row, conforming, [row.changed_at, row.name])
    if order.by == "created":
        # A service's id is higher than that of any before it.
        return _Source(row, conforming, [row.service_id])
    for each in wanted:
        if each.filter.operator == "=":
            entry = aliased(EntryRow)
            return _Source(entry, each.on(entry), [entry.name])
    return _Source(row, conforming, [row.name])


@dataclass(frozen=True)
class _Source:
    row: Any
    condition: ColumnElement[bool]
    position: list[Any]


def _scans(
    source: _Source,
    wanted: list[_Wanted],
    order: Order,
    question: Query,
    after: tuple[Any, ...] | None,
) -> list[Select[Any]]:
    """What is walked, one after the other, for all that is behind ``after``.

    The keys of those that have nothing are the highest. Downwards they would come first, so they
    are left out, and walked when the others are at their end.
    """
    if order.path is None or not order.descending:
        return [_walk(source, wanted, order, question, after)]
    key, name = source.position
    everything = _walk(source, wanted, order, question, None)
    last = everything.where(key == NO_KEY)
    if after is None:
        return [everything.where(key < NO_KEY), last]
    if _is_last(after, order):
        return [last.where(name < after[1])]
    return [_walk(source, wanted, order, question, after), last]


def _one_after_the_other(
    connection: Connection, walks: Sequence[Select[Any]], offset: int, limit: int
) -> list[Match]:
    """As many as ``limit`` of what the walks find together, ``offset`` later."""
    found: list[Match] = []
    for walk in walks:
        rows = connection.execute(walk.offset(offset).limit(limit - len(found))).all()
        found += [Match(row[0], row[1], tuple(row[2:])) for row in rows]
        if len(found) == limit:
            break
        if rows:
            offset = 0
        elif offset:
            passed = select(func.count()).select_from(walk.limit(offset).subquery())
            offset -= connection.execute(passed).scalar_one()
    return found


def _walk(
    source: _Source,
    wanted: list[_Wanted],
    order: Order,
    question: Query,
    after: tuple[Any, ...] | None,
) -> Select[Any]:
    query = select(source.row.service_id, source.row.name, *source.position).where(source.condition)
    for each in wanted:
        entry = aliased(EntryRow)
        query = query.where(
            exists().where(entry.service_id == source.row.service_id, each.of_service(entry))
        )
    query = query.where(*question.names.on(source.row.name))
    if question.among is not None:
        query = query.where(source.row.service_id.in_(question.among))
    if after is not None:
        place = tuple_(*source.position)
        query = query.where(place < after if order.descending else place > after)
    directed = [each.desc() if order.descending else each for each in source.position]
    return query.order_by(*directed)
