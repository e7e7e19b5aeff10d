"""Several services in one transaction: all of it or nothing, and every problem at once."""

import pytest

from distributed_config.errors import (
    Forbidden,
    Invalid,
    InvalidDocument,
    Problem,
    ServiceNotFound,
    TooMuchWork,
)
from distributed_config.services import catalogue, versions
from distributed_config.services.changesets import (
    Imported,
    Step,
    broken,
    import_all,
    prune,
    publish,
)
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from tests.support.database import Database, actor, document


def names(database: Database) -> list[str]:
    with database.reader() as reader:
        return catalogue.served_names(reader)


def step(index: int, service: str, error: Exception | None = None, *, literal: bool = True) -> Step:
    def act(transaction: Transaction) -> WriteResult:
        if error is not None:
            raise error
        return versions.put(transaction, Series(service), document({"n": 1}))

    return Step(f"/{index}", f"/{index}/document", Series(service), act, literal)


def invalid(pointer: str, rule: str = "type") -> InvalidDocument:
    return InvalidDocument.from_problems([Problem(pointer, "It is wrong.", rule)])


def test_steps_are_done_in_order_in_one_revision(database: Database) -> None:
    with database.transaction() as transaction:
        before = transaction.revision
        results = publish(transaction, [step(0, "b"), step(1, "a")])

    assert [result.service for result in results] == ["b", "a"]
    assert names(database) == ["a", "b"]
    with database.reader() as reader:
        assert {versions.current(reader, Series(name)).revision for name in "ab"} == {before}


def test_one_that_fails_undoes_all_and_every_problem_is_named(database: Database) -> None:
    steps = [step(0, "a"), step(1, "b", invalid("/x")), step(2, "c", invalid("/y"))]

    with pytest.raises(InvalidDocument) as error, database.transaction() as transaction:
        publish(transaction, steps)

    pointers = [problem.pointer for problem in error.value.problems]
    assert pointers == ["/1/document/x", "/2/document/y"]
    assert names(database) == []


def test_the_first_error_says_what_kind_it_is(database: Database) -> None:
    steps = [step(0, "a", ServiceNotFound("a")), step(1, "b", invalid("/x"))]

    with pytest.raises(ServiceNotFound) as error, database.transaction() as transaction:
        publish(transaction, steps)

    assert [problem.pointer for problem in error.value.problems] == ["/0", "/1/document/x"]


def test_problems_of_the_result_of_a_change_are_at_the_change(database: Database) -> None:
    steps = [
        step(0, "a", invalid("/x"), literal=False),
        step(1, "b", invalid("/3", "json-patch"), literal=False),
    ]

    with pytest.raises(InvalidDocument) as error, database.transaction() as transaction:
        publish(transaction, steps)

    result, operation = error.value.problems
    assert (result.pointer, result.message) == ("/0/document", "In the result, /x: It is wrong.")
    assert operation.pointer == "/1/document/3"


def test_a_service_is_named_once(database: Database) -> None:
    with pytest.raises(Invalid, match="more than once"), database.transaction() as transaction:
        publish(transaction, [step(0, "a"), step(1, "b"), step(2, "a")])


def test_too_much_work_ends_all_steps(database: Database) -> None:
    steps = [step(0, "a", TooMuchWork(50)), step(1, "b", AssertionError())]

    with pytest.raises(TooMuchWork), database.transaction() as transaction:
        publish(transaction, steps)


def test_a_broken_step_raises_in_its_turn(database: Database) -> None:
    steps = [step(0, "a", invalid("/x")), broken("/1", invalid("/y"))]

    with pytest.raises(InvalidDocument) as error, database.transaction() as transaction:
        publish(transaction, steps)

    assert [problem.pointer for problem in error.value.problems] == ["/0/document/x", "/1/y"]


def test_an_import_says_what_it_did(database: Database) -> None:
    with database.transaction() as transaction:
        import_all(transaction, [("same", document({})), ("old", document({}))])
    documents = [("new", document({})), ("same", document({})), ("old", document({"n": 1}))]

    with database.transaction() as transaction:
        result = import_all(transaction, documents)

    assert result == Imported(created=("new",), updated=("old",), unchanged=("same",))


def test_problems_of_an_import_begin_with_the_service(database: Database) -> None:
    documents = [("good", document({})), ("a/b", invalid("/x")), ("", invalid("/y"))]

    with pytest.raises(InvalidDocument) as error, database.transaction() as transaction:
        import_all(transaction, documents)

    assert [problem.pointer for problem in error.value.problems] == ["/a~1b/x", "/y"]
    assert names(database) == []


# --- pruning


@pytest.fixture
def services(database: Database) -> Database:
    with database.transaction() as transaction:
        for name in ("team/a", "team/b", "team/off", "web"):
            versions.put(transaction, Series(name), document({}))
        versions.disable_service(transaction, Series("team/off"))
    return database


def test_pruning_deletes_what_is_not_in_the_source(services: Database) -> None:
    with services.transaction() as transaction:
        assert prune(transaction, {"team/a"}, "team/") == ("team/b",)

    assert names(services) == ["team/a", "web"]
    with services.reader() as reader:
        assert versions.lookup(reader, Series("team/off")) is not None


def test_pruning_with_an_empty_source_is_refused(services: Database) -> None:
    with pytest.raises(Invalid, match="delete all"), services.transaction() as transaction:
        prune(transaction, ())


def test_pruning_takes_the_right_to_publish(services: Database) -> None:
    writer = actor("config:read", "config:write")
    with pytest.raises(Forbidden), services.transaction(writer) as transaction:
        prune(transaction, {"web"})


def test_pruning_leaves_what_the_actor_may_not_see(services: Database) -> None:
    limited = actor("config:read", "config:write", "config:publish", services=("team/",))
    with services.transaction(limited) as transaction:
        assert prune(transaction, {"none"}) == ("team/a", "team/b")

    assert names(services) == ["web"]
