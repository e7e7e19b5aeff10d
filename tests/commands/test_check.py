"""``distconf check`` takes time in proportion to what is stored, and names what is damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from distributed_config.commands import schema
from distributed_config.models.sqlite import raw_connection
from distributed_config.services import definitions, integrity
from distributed_config.services.changesets import import_all
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.journal.verify import verify_chain
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from distributed_config.wire import Document, DocumentLimits, make_document
from tests.support.server import Server

_LIMITS = DocumentLimits(1 << 20, 64, 10_000)


def _document(number: int) -> Document:
    return make_document({"n": number}, _LIMITS, "any")


def _nothing(_done: int, _total: int) -> None:
    pass


def _settings(folder: Path, services: int) -> Settings:
    """Of a database that has many services in each of three revisions."""
    settings = Settings(instance=folder)
    schema.upgrade(settings)
    documents = [(f"plain-{i}", _document(i)) for i in range(services)]

    def conforming(transaction: Transaction) -> None:
        numbers = make_document({"properties": {"n": {}}}, _LIMITS, "any")
        definitions.create(transaction, "numbers", numbers, "none", ["n"])
        for i in range(services):
            definitions.create_service(
                transaction, Series(f"conforming-{i}"), _document(i), "numbers"
            )

    with open_writer(settings) as writer:
        writer.write(LOCAL_OPERATOR, lambda transaction: import_all(transaction, documents))
        again = [(name, _document(-1)) for name, _ in documents]
        writer.write(LOCAL_OPERATOR, lambda transaction: import_all(transaction, again))
        writer.write(LOCAL_OPERATOR, conforming)
    return settings


@contextmanager
def counted_steps(connection: Connection) -> Iterator[list[None]]:
    """As many elements as SQLite takes hundreds of steps in the block."""
    taken: list[None] = []
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.set_progress_handler(lambda: taken.append(None), 100)
    yield taken
    driver.set_progress_handler(None, 0)


def test_checking_one_large_revision_takes_work_in_proportion_to_its_size(tmp_path: Path) -> None:
    taken = []
    for services in (200, 1_600):
        with connect(_settings(tmp_path / str(services), services)) as connection:
            with counted_steps(connection) as steps:
                assert integrity.find_problems(connection, _nothing) == []
                assert integrity.find_index_problems(connection, _nothing) == []
                assert verify_chain(connection).faults == ()
            taken.append(len(steps))
    small, large = taken
    assert 0 < large <= 12 * small, taken  # eight times as much, and not sixty-four


def test_progress_is_shown_to_the_end_of_every_part(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "instance", 600)
    for part in (integrity.find_problems, integrity.find_index_problems, verify_chain):
        seen: list[tuple[int, int]] = []
        with connect(settings) as connection:
            part(connection, lambda done, total, seen=seen: seen.append((done, total)))
        assert seen[-1][0] == seen[-1][1] > 0


@pytest.fixture
def faulty(tmp_path: Path) -> Server:
    """A stopped server with two services that conform to a definition."""
    with Server(tmp_path / "instance") as server:
        server.api.define("numbers", {"properties": {"n": {}}}, indexes=["n"])
        for name in ("one", "two"):
            assert server.api.put(name, {"n": 1}, definition="numbers").status_code == 200
    return server


def test_a_damaged_document_of_a_definition_is_named_and_the_rest_is_looked_at(
    faulty: Server,
) -> None:
    with raw_connection(faulty.database) as connection:
        connection.execute("UPDATE versions SET document = '{\"n\": 6}' WHERE service_id = 1")
        connection.execute("UPDATE index_entries SET key = 'x' WHERE service_id = 2")

    said = faulty.tell("check").stdout

    assert "version 0 of 'one' is not what its digest says" in said
    assert "the indexes do not have what the service 'two' has" in said


def test_a_version_is_not_taken_for_that_of_another_organisation(faulty: Server) -> None:
    with raw_connection(faulty.database) as connection:
        connection.execute("UPDATE changes SET organisation_id = 2 WHERE service = 'one'")

    assert "version 0 of 'one' has no change in the journal" in faulty.tell("check").stdout
