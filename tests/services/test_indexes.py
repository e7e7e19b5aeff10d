"""Indexes find what a scan of all current documents would find, and find it quickly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from distributed_config.commands import schema
from distributed_config.errors import DistconfError, Invalid
from distributed_config.services import definitions, integrity, versions
from distributed_config.services.conformance import index_keys, index_search
from distributed_config.services.conformance.index_keys import key_of
from distributed_config.services.conformance.index_search import Filter, NameFilter, Order, Query
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, DocumentLimits, make_document, make_object
from tests.support.server import Api

PATHS = ("n", "t.x", "any", "all")
SCHEMA = {"properties": {"n": {}, "t": {"properties": {"x": {}}}, "any": {}, "all": {}}}
LIMITS = DocumentLimits()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer on a database of the test's own."""
    own = Settings(instance=tmp_path)
    schema.upgrade(own)
    with open_writer(own) as writing:
        yield writing


@pytest.fixture
def reader(writer: Writer, tmp_path: Path) -> Iterator[Connection]:
    """A connection to it; each look begins a new transaction."""
    with connect(Settings(instance=tmp_path)) as connection:
        yield connection


def document(value: Any, name: str = "s") -> Document:
    return make_document(value, LIMITS, name)


def define(writer: Writer, paths: tuple[str, ...] = PATHS) -> None:
    definition = make_object(SCHEMA, LIMITS)
    writer.write(LOCAL_OPERATOR, lambda j: definitions.create(j, "d", definition, "none", paths))


def put(transaction: Transaction, name: str, value: Any) -> None:
    versions.put(transaction, Series(name), document(value, name))
    definitions.attach(transaction, Series(name), "d")


def found(
    connection: Connection, question: Query, order: Order | None = None, **page: Any
) -> list[str]:
    connection.rollback()
    definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), "d")
    page.setdefault("limit", 10_000)
    order = order or Order()
    return [
        each.name for each in index_search.find(connection, definition.id, question, order, **page)
    ]


def where(*filters: tuple[str, str, Any]) -> Query:
    return Query(
        tuple(
            Filter(path, how, tuple(value) if how == "in" else (value,))
            for path, how, value in filters
        )
    )


# --- keys


@given(
    st.lists(
        st.one_of(
            st.integers(),
            st.integers(-(10**60), 10**60),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_keys_of_numbers_are_in_the_order_of_the_numbers(numbers: list[float]) -> None:
    assert sorted(numbers, key=key_of) == sorted(numbers)


@given(scalars, scalars)
def test_only_equal_values_have_one_key(one: Any, other: Any) -> None:
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    same = (
        same and (one is None) == (other is None) and isinstance(one, str) == isinstance(other, str)
    )
    assert (key_of(one) == key_of(other)) == same


def test_long_text_is_told_from_other_long_text() -> None:
    long = "x" * 100_000

    assert key_of(long) == key_of("x" * 100_000)
    assert key_of(long) != key_of(long + "x")
    assert len(key_of(long)) < 300


# --- after any history


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "disable", "enable", "roll back", "delete", "retire", "detach", "index"]
        ),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 4),
        st.fixed_dictionaries(
            {},
            optional={
                "n": scalars,
                "t": st.one_of(scalars, st.fixed_dictionaries({}, optional={"x": scalars})),
                "any": st.one_of(scalars, st.lists(scalars, max_size=2)),
            },
        ),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=steps)
def test_after_any_history_the_entries_are_those_of_the_current_documents(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any]
) -> None:
    own = Settings(instance=tmp_path_factory.mktemp("history"))
    schema.upgrade(own)
    with open_writer(own) as writer:
        define(writer)
        for step in history:
            try:
                writer.write(LOCAL_OPERATOR, lambda transaction, step=step: act(transaction, *step))
            except DistconfError:
                continue  # there was nothing to do it to
        with connect(own) as connection:
            assert integrity.find_problems(connection, lambda _done, _all: None) == []
            assert_as_scanned(connection)


def act(transaction: Transaction, what: str, name: str, number: int, value: Any) -> None:
    if what == "put":
        put(transaction, name, value)
    elif what in {"disable", "enable"}:
        versions.set_enabled(transaction, Series(name), number, what == "enable")
    elif what == "roll back":
        versions.roll_back(transaction, Series(name), number)
    elif what == "delete":
        versions.delete_service(transaction, Series(name))
    elif what == "retire":
        versions.delete_with_versions(transaction, Series(name))
    elif what == "detach":
        definitions.detach(transaction, Series(name))
    else:
        definitions.revise(transaction, "d", paths=PATHS[: number % 4])


def assert_as_scanned(connection: Connection) -> None:
    """Every entry is what its service has, and every service has an entry for each index."""
    definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), "d")
    paths = index_keys.paths_of(connection, definition.id)
    conforming = connection.execute(text("SELECT service_id, name FROM conformances")).all()
    values = {
        name: versions.current_value(connection, service, Series(name))
        for service, name in conforming
    }
    wanted = {
        (index, name, key_of(index_keys.value_at(value, path)))
        for name, value in values.items()
        for path, index in paths.items()
    }
    stored = connection.execute(text("SELECT index_id, name, key FROM index_entries")).all()
    assert {tuple(row) for row in stored} == wanted
    assert len(stored) == len(wanted)


# --- finding


VALUES: dict[str, Any] = {
    "a": {"n": 9, "t": {"x": "gold"}},
    "b": {"n": 10, "t": {"x": "silver"}},
    "c": {"n": "10", "t": {"x": "gold"}},
    "d": {"n": 100, "t": "x"},
    "e": {"n": -1.5, "any": True},
    "f": {"any": None},
    "g": {"n": [1], "any": "null"},
}


@pytest.fixture
def some(writer: Writer, reader: Connection) -> Connection:
    define(writer)
    for name, value in VALUES.items():
        whole = {**value, "all": 1}
        writer.write(LOCAL_OPERATOR, lambda j, name=name, whole=whole: put(j, name, whole))
    return reader


@pytest.mark.parametrize(
    ("question", "names"),
    [
        (where(), "abcdefg"),
        (where(("n", "=", 10)), "b"),
        (where(("n", "=", 10.0)), "b"),
        (where(("n", "=", "10")), "c"),
        (where(("n", ">", 9)), "bd"),
        (where(("n", ">=", 9)), "abd"),
        (where(("n", "<", 10)), "ae"),
        (where(("n", "<=", "2")), "c"),
        (where(("n", "in", [9, "10", 7])), "ac"),
        (where(("n", "in", [])), ""),
        (where(("n", "=", [1])), ""),
        (where(("n", "in", [[1], {"x": 1}, 9])), "a"),
        (where(("n", ">=", {"x": 1})), ""),
        (where(("any", "=", None)), "f"),
        (where(("any", "=", True)), "e"),
        (where(("t.x", "=", "gold"), ("n", "<", 50)), "a"),
        (where(("t.x", ">=", "g"), ("t.x", "<", "h")), "ac"),
        (Query(names=NameFilter(search="A")), "a"),
        (Query(names=NameFilter(prefix="c")), "c"),
    ],
)
@pytest.mark.parametrize("few", [0, 3_000])
def test_filters_find_what_they_say_whether_gathered_or_walked(
    some: Connection, question: Query, names: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_search, "_SORT_IN_MEMORY", few)
    assert found(some, question) == list(names)
    definition = definitions.require(Reader(some, LOCAL_OPERATOR.visibility), "d")
    assert index_search.count(some, definition.id, question) == len(names)


@pytest.mark.parametrize("few", [0, 3_000])
@pytest.mark.parametrize("path", [None, "n", "any"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_together_are_the_whole_in_any_order(
    some: Connection, few: int, path: str | None, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_search, "_SORT_IN_MEMORY", few)
    order, question = Order(path, descending), where(("n", "in", [9, 10, "10", 100, -1.5]))
    whole = found(some, question, order)
    assert sorted(whole) == list("abcde")

    pages: list[str] = []
    after = None
    definition = definitions.require(Reader(some, LOCAL_OPERATOR.visibility), "d")
    while page := index_search.find(some, definition.id, question, order, after=after, limit=2):
        pages += [each.name for each in page]
        after = page[-1].position
    assert pages == whole
    if path == "n":
        assert whole == (list("eabdc") if not descending else list("cdbae"))


@pytest.mark.parametrize("few", [0, 3_000])
@pytest.mark.parametrize(
    ("order", "names"),
    [
        (Order("n"), "eabdcfg"),
        (Order("n", descending=True), "cdbaegf"),
        (Order("any", descending=True), "gefdcba"),
        (Order(descending=True), "gfedcba"),
    ],
)
def test_what_has_nothing_under_the_path_comes_last_however_one_goes_through_it(
    some: Connection, order: Order, names: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By cursors and by offsets, gathered and walked."""
    monkeypatch.setattr(index_search, "_SORT_IN_MEMORY", few)
    everything = where(("all", "=", 1))
    definition = definitions.require(Reader(some, LOCAL_OPERATOR.visibility), "d")

    def page(**which: Any) -> list[index_search.Match]:
        return index_search.find(some, definition.id, everything, order, **which)

    whole = page(limit=100)
    assert [each.name for each in whole] == list(names)
    for start in (0, 1, 4, 6, 8):
        assert page(limit=2, offset=start) == whole[start : start + 2]
        for place, each in enumerate(whole):
            behind = whole[place + 1 + start :]
            assert page(limit=2, offset=start, after=each.position) == behind[:2]


def test_an_unindexed_path_is_refused_with_the_names_of_the_indexed(some: Connection) -> None:
    with pytest.raises(Invalid) as refused:
        found(some, where(("nope", "=", 1), ("n", "=", 1)), Order("worse"))

    assert [each.parameter for each in refused.value.problems] == ["where", "sort"]
    assert "n, t.x, any, all" in refused.value.problems[0].message


# --- over HTTP


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("n=10", ["b"]),
        ('n="10"', ["c"]),
        ("n >= 10", ["b", "d"]),
        ("t.x in gold, silver", ["a", "b", "c"]),
        ('t.x in ["gold"]', ["a", "c"]),
        ("any=null", ["f"]),
        ("n=[1]", []),
        ('n={"x": 1}', []),
        ('t.x in gold, {"x": 1}', ["a", "c"]),
        ('any="=="', []),
    ],
)
def test_the_query_is_written_as_one_would_say_it(
    api: Api, name: str, asked: str, names: list[str]
) -> None:
    api.define(name, SCHEMA, indexes=list(PATHS))
    for letter, value in VALUES.items():
        api.put(f"{name}/{letter}", value, definition=name)

    assert api.conforming(name, where=asked, limit=1) == [f"{name}/{each}" for each in names]


@pytest.mark.parametrize("asked", ["n", "=1", "n!1", "n in [1", "n>true", "n in [[1]]", "n<null"])
def test_a_filter_that_cannot_be_understood_is_refused(api: Api, name: str, asked: str) -> None:
    api.define(name, SCHEMA, indexes=list(PATHS))
    answer = api.http.get(
        "/api/v1/definitions/services", params={"definition": name, "where": asked}
    )

    assert answer.status_code == 422
    assert answer.json()["problems"][0]["parameter"] == "where"


@pytest.mark.parametrize("operator", ["!=", "==", "=>", "=<", "<>", "==="])
def test_an_operator_that_there_is_not_is_told_with_those_that_there_are(
    api: Api, name: str, operator: str
) -> None:
    api.define(name, SCHEMA, indexes=list(PATHS))
    asked = {"definition": name, "where": f"any{operator}gold"}
    answer = api.http.get("/api/v1/definitions/services", params=asked)

    assert answer.status_code == 422
    message = answer.json()["problems"][0]["message"]
    assert f"{operator!r} is no operator here. These are: =, <=, >=, <, >, in." in message


def test_a_cursor_is_good_for_its_own_list_in_its_own_order(api: Api, name: str) -> None:
    api.define(name, SCHEMA, indexes=list(PATHS))
    for letter, value in VALUES.items():
        api.put(f"{name}/{letter}", value, definition=name)
    conforming = "/api/v1/definitions/services"
    asked = {"definition": name, "limit": "2", "sort": "n", "order": "desc"}
    cursor = api.http.get(conforming, params=asked).json()["next"]

    def status(path: str, **query: str) -> int:
        answer = api.http.get(path, params={**query, "cursor": cursor})
        if answer.status_code == 422:
            message = "This server gave no such cursor for this list; follow the Link header."
            assert [each["message"] for each in answer.json()["problems"]] == [message]
        return answer.status_code

    assert status(conforming, **asked) == 200
    assert status(conforming, **{**asked, "sort": "any"}) == 422
    assert status(conforming, **{**asked, "order": "asc"}) == 422
    assert status(conforming, definition=name, limit="2") == 422
    assert status("/api/v1/services") == 422
    assert status("/api/v1/definitions") == 422


# --- a hundred thousand services


MANY = 100_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A definition with very many services; the rows are written as the services write them."""
    own = Settings(instance=tmp_path_factory.mktemp("many"))
    schema.upgrade(own)
    with open_writer(own) as writer:
        define(writer)
        writer.write(LOCAL_OPERATOR, fill)
        with connect(own) as connection:
            yield connection


def fill(transaction: Transaction) -> None:
    connection = transaction.connection
    numbers = range(1, MANY + 1)
    rows = [
        {
            "id": number,
            "name": f"s{number * 7919 % MANY:06}",
            "n": key_of(number % 1000),
            "t": key_of(f"x{number % 2}"),
            "any": key_of(number if number % 2_000 == 0 else []),
        }
        for number in numbers
    ]
    for statement in (
        "INSERT INTO services VALUES (:id, 1, :name, 0, 1, '')",
        "INSERT INTO conformances VALUES (:id, 1, :name, 0)",
        "INSERT INTO index_entries VALUES (:id, 'default', 1, :n, :name)",
        "INSERT INTO index_entries VALUES (:id, 'default', 2, :t, :name)",
        "INSERT INTO index_entries VALUES (:id, 'default', 3, :any, :name)",
    ):
        connection.execute(text(statement), rows)


Asked = tuple[Query, Order] | tuple[Query, Order, tuple[str, str]]
QUESTIONS: dict[str, Asked] = {
    "few, by name": (where(("n", "=", 17)), Order()),
    "many, by name": (where(("t.x", "=", "x1")), Order()),
    "many of two, by name": (where(("t.x", "=", "x1"), ("n", ">=", 500)), Order()),
    "few of two, by name": (where(("n", "=", 17), ("t.x", "=", "x1")), Order()),
    "few of two, by another": (where(("n", "<", 9), ("t.x", "=", "x1")), Order("n")),
    "a range, by name": (where(("n", "<", 500)), Order()),
    "a narrow range, by name": (where(("n", "<", 3)), Order()),
    "many, by another": (where(("t.x", "=", "x1")), Order("n", descending=True)),
    "few, by another": (where(("n", "in", [1, 2, 3])), Order("t.x")),
    "all, by another": (where(), Order("n")),
    "all, down to those that have nothing": (where(), Order("any", descending=True)),
    "all, far down in those that have nothing": (
        where(),
        Order("any", descending=True),
        (index_keys.NO_KEY, "s000900"),
    ),
    "all, far down in another": (where(), Order("n", descending=True), (key_of(2), "s000900")),
}


@pytest.mark.parametrize("asked", QUESTIONS)
def test_no_page_of_very_many_services_is_found_by_scanning_or_sorting_them(
    many: Connection, asked: str
) -> None:
    """Every statement is told by the database how it would be run."""
    plans = plans_of(many, *QUESTIONS[asked])

    assert plans
    for plan in plans:
        assert not [line for line in plan if line.startswith("SCAN")], plan
        assert not [line for line in plan if "TEMP B-TREE" in line], plan


def plans_of(
    connection: Connection,
    question: Query,
    order: Order,
    after: tuple[str, str] | None = None,
) -> list[list[str]]:
    """The plan of each statement that finding needs."""
    asked: list[tuple[str, Any]] = []
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.set_trace_callback(lambda statement: asked.append((statement, None)))
    assert index_search.find(connection, 1, question, order, after=after, limit=101)
    raw.set_trace_callback(None)
    return [
        [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement, _ in asked
        if statement.startswith("SELECT")
    ]


@pytest.mark.parametrize("asked", QUESTIONS)
def test_a_page_of_very_many_services_takes_few_steps(many: Connection, asked: str) -> None:
    """Steps of the database's machine, which do not depend on how busy this one is.

    A hundred thousand of them take about a millisecond; scanning would take a million and more.
    """
    raw = many.connection.driver_connection
    assert raw is not None
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    question, order, *after = QUESTIONS[asked]
    raw.set_progress_handler(count, 100)
    index_search.find(many, 1, question, order, after=after[0] if after else None, limit=101)
    raw.set_progress_handler(None, 0)
    assert steps * 100 < 200_000
