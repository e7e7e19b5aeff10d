"""What it costs that a service conforms to a definition, without HTTP."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from distributed_config.commands import schema
from distributed_config.json_schema import validator_for
from distributed_config.services import definitions, versions
from distributed_config.services.conformance import index_search
from distributed_config.services.conformance.index_keys import key_of
from distributed_config.services.conformance.index_search import Filter, Order, Query
from distributed_config.services.definitions import review as evolution
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, DocumentLimits, digest_of, make_object

SERVICES = 100_000
REVIEWED = 10_000

_PROPERTIES = {
    f"p{i:02}": {"type": "string", "minLength": 1, "maxLength": 40}
    if i % 2
    else {"type": "integer", "minimum": 0, "maximum": 65535}
    for i in range(30)
}
SCHEMA = {
    "type": "object",
    "properties": _PROPERTIES,
    "required": ["p00", "p01"],
    "additionalProperties": False,
}
_PATHS = ("p00", "p01", "p02")
_QUERIES = {
    "one in a thousand, by name": (Query((Filter("p00", "=", (17,)),)), Order()),
    "every second, by name": (Query((Filter("p01", "=", ("x1",)),)), Order()),
    "a range of half of them, by name": (Query((Filter("p00", "<", (500,)),)), Order()),
    "every second, by another index": (Query((Filter("p01", "=", ("x1",)),)), Order("p00")),
}


@dataclass
class Definitions:
    """Results: seconds of one call, one entry for each round."""

    check: list[float] = field(default_factory=list)
    appends: list[tuple[float, float]] = field(default_factory=list)
    pages: dict[str, list[float]] = field(default_factory=dict)
    review: list[float] = field(default_factory=list)


def measure(folder: Path, rounds: int, say: Callable[[str], None]) -> Definitions:
    """Create a definition with very many services, then measure round by round."""
    result = Definitions()
    own = Settings(instance=folder)
    schema.upgrade(own)
    with open_writer(own) as writer:
        say(f"definitions: {SERVICES:,} services, {REVIEWED:,} of them with documents")
        _fill(writer)
        for number in range(1, rounds + 1):
            result.check.append(_check())
            result.appends.append((_append(writer, "free"), _append(writer, "bound")))
            with connect(own) as connection:
                for name, query in _QUERIES.items():
                    result.pages.setdefault(name, []).append(_page(connection, *query))
                result.review.append(_review(connection))
            say(
                f"definitions {number}/{rounds}  check {result.check[-1] * 1e6:.1f} µs, "
                f"review {result.review[-1] * 1e6:.0f} µs a document"
            )
    return result


def _document(number: int) -> Document:
    value = {name: f"text {number}" if i % 2 else i for i, name in enumerate(_PROPERTIES)}
    stored = json.dumps(value)
    return Document(stored, digest_of(stored))


def _fill(writer: Writer) -> None:
    stored = make_object(SCHEMA, DocumentLimits())

    def fill(transaction: Transaction) -> None:
        definitions.create(transaction, "many", stored, "none", _PATHS[:2])
        definitions.create(transaction, "d", stored, "none", _PATHS)
        versions.create(transaction, Series("free"), _document(0))
        versions.create(transaction, Series("bound"), _document(0))
        definitions.attach(transaction, Series("bound"), "d")
        transaction.connection.execute(
            text("INSERT INTO services VALUES (:id + 10, 1, :name, 0, 1, '')"), _rows(SERVICES)
        )
        for statement, rows in (
            ("INSERT INTO conformances VALUES (:id + 10, 1, :name, 0)", SERVICES),
            ("INSERT INTO index_entries VALUES (:id + 10, 1, :number, :name)", SERVICES),
            ("INSERT INTO index_entries VALUES (:id + 10, 2, :word, :name)", SERVICES),
            (
                "INSERT INTO versions VALUES (:id + 10, 'default', 0, 1, :digest, :size, "
                "'bench', '', 0, 1, NULL, :document)",
                REVIEWED,
            ),
        ):
            transaction.connection.execute(text(statement), _rows(rows))

    writer.write(LOCAL_OPERATOR, fill)


def _rows(many: int) -> list[dict[str, Any]]:
    document = _document(1)
    return [
        {
            "id": number,
            "name": f"s{number * 7919 % SERVICES:06}",
            "number": key_of(number % 1000),
            "word": key_of(f"x{number % 2}"),
            "digest": document.digest,
            "size": len(document.text),
            "document": document.text,
        }
        for number in range(1, many + 1)
    ]


def _check() -> float:
    """Check with a cached validator, found by the schema's text as a write finds it."""
    stored, value, size = json.dumps(SCHEMA), _document(1).value, 500
    return _median(2_000, lambda: validator_for(stored).problems(value, size))


def _append(writer: Writer, name: str) -> float:
    calls = 100
    documents = iter([_document(number) for number in range(calls + 1)])
    return _median(
        calls,
        lambda: writer.rehearse(
            LOCAL_OPERATOR,
            lambda transaction: versions.append(transaction, Series(name), next(documents)),
        ),
    )


def _page(connection: Connection, query: Query, order: Order) -> float:
    definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), "many")
    return _median(5, lambda: index_search.find(connection, definition.id, query, order, limit=101))


def _review(connection: Connection) -> float:
    definition = definitions.require(Reader(connection, LOCAL_OPERATOR.visibility), "many")
    wider = make_object({**SCHEMA, "title": "wider", "required": ["p00"]}, DocumentLimits())
    proposal = definition.proposal(wider)
    return (
        _median(1, lambda: evolution.review(connection, proposal, LOCAL_OPERATOR.visibility))
        / REVIEWED
    )


def _median(calls: int, call: Callable[[], Any]) -> float:
    """Return the median of the seconds of one call, after a warm-up."""
    call()
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
