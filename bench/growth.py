"""How reads and appends slow down as versions accumulate: 10,000 against 1,000,000.

Measured in this process and without HTTP, whose constant cost would hide the growth. Half of the
versions belong to one service, the other half to services of ten versions each.
"""

import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine

from bench.documents import DOCUMENT
from bench.servers import distconf, neutral_environment
from distributed_config.models import sqlite as engines
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, digest_of

SMALL, LARGE = 10_000, 1_000_000

_VERSIONS_EACH = 10
_CALLS = 200
_DEEP = "deep"
_TEXT = DOCUMENT.decode()
_DOCUMENT = Document(_TEXT, digest_of(_TEXT))


@dataclass(frozen=True)
class Cost:
    """The cost of one call, in seconds: wall-clock time and processor time."""

    time: float
    cpu: float


@dataclass
class Growth:
    """The costs (small, large) of every round, for each kind of call."""

    pairs: dict[str, list[tuple[Cost, Cost]]] = field(default_factory=dict)
    large: int = LARGE


def measure(folder: Path, rounds: int, large: int, say: Callable[[str], None]) -> Growth:
    """Build both databases, then measure them in turns."""
    growth = Growth(large=large)
    with ExitStack() as stack:
        pair = []
        for size in (SMALL, large):
            say(f"growth: building a database of {size:,} versions")
            pair.append(stack.enter_context(_Database(folder / f"growth-{size}", size)))
        for number in range(1, rounds + 1):
            for kind, call in _CALLS_OF.items():
                small, big = _costs(pair, call)
                growth.pairs.setdefault(kind, []).append((small, big))
                say(
                    f"growth {number}/{rounds}  {kind:34}{small.time * 1e6:6.0f} µs"
                    f"{big.time * 1e6:7.0f} µs, processor {small.cpu * 1e6:5.0f} µs"
                    f"{big.cpu * 1e6:6.0f} µs"
                )
    return growth


class _Database:
    """A database of ``size`` versions, with a reading connection and a Writer."""

    def __init__(self, folder: Path, size: int) -> None:
        self.services = size // 2 // _VERSIONS_EACH
        self.random = random.Random(size)
        path = _build(folder, size)
        self._reading = create_engine(f"sqlite:///{path}", **engines.engine_options(5, 1))
        engines.prepare(self._reading, "BEGIN")
        self._writer = Writer(engines.writing_engine(path, 5), Watermarks(path), lock_seconds=5)
        self._connection: Connection | None = None

    def __enter__(self) -> "_Database":
        self._connection = self._reading.connect()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._connection is not None
        self._connection.close()
        self._reading.dispose()
        self._writer.stop()

    def any_service(self) -> str:
        return _wide(self.random.randrange(self.services))

    def read(self, name: str) -> None:
        assert self._connection is not None
        versions.current(Reader(self._connection, LOCAL_OPERATOR.visibility), Series(name))

    def append(self, name: str) -> None:
        self._writer.write(
            LOCAL_OPERATOR,
            lambda transaction: versions.append(transaction, Series(name), _DOCUMENT),
        )

    def refresh(self) -> None:
        """End the reader's snapshot: an old one keeps the write-ahead log from being emptied."""
        assert self._connection is not None
        self._connection.rollback()


def _costs(pair: list[_Database], call: Callable[[_Database], None]) -> list[Cost]:
    """Return the cost of one call on each database of ``pair``, measured in turns.

    The time is the lower quartile, because noise of other processes only ever adds. The processor
    time is the mean, because the write-ahead log costs much at a time, but seldom.
    """
    spent: list[list[Cost]] = [[] for _ in pair]
    for _ in range(_CALLS):
        for database, costs in zip(pair, spent, strict=True):
            began, cpu = time.perf_counter(), time.process_time()
            call(database)
            costs.append(Cost(time.perf_counter() - began, time.process_time() - cpu))
    for database in pair:
        database.refresh()
    return [
        Cost(
            statistics.quantiles((cost.time for cost in costs), n=4)[0],
            statistics.fmean(cost.cpu for cost in costs),
        )
        for costs in spent
    ]


_CALLS_OF: dict[str, Callable[[_Database], None]] = {
    "current, of the one long service": lambda database: database.read(_DEEP),
    "current, of any of the others": lambda database: database.read(database.any_service()),
    "append, to the one long service": lambda database: database.append(_DEEP),
    "append, to any of the others": lambda database: database.append(database.any_service()),
}


# --- building


def _insert(table: str, *columns: str) -> str:
    names, marks = ", ".join(columns), ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"


_SERVICE = _insert("services", "id", "organisation_id", "name", "created_at", "created_revision")
_VERSION = _insert(
    "versions",
    *("service_id", "environment", "number", "enabled", "digest", "size", "author", "note"),
    *("created_at", "revision", "document"),
)
_CHANGE = _insert(
    "changes",
    *("revision", "position", "changed_at", "organisation_id", "kind", "service", "environment"),
    *("number", "current", "digest", "actor", "note"),
)


def _build(folder: Path, size: int) -> Path:
    """Build a database of ``size`` versions as the product would, but with plain inserts."""
    path = folder / "distconf.db"
    environment = {**neutral_environment(), "DISTCONF_INSTANCE": str(folder)}
    command = [str(distconf()), "db", "upgrade"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    series = [
        (_DEEP, size // 2),
        *((_wide(i), _VERSIONS_EACH) for i in range(size // 2 // _VERSIONS_EACH)),
    ]
    with engines.raw_connection(path) as connection:
        # It can be built again if it is lost, and a log of this transaction would be as large.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_SERVICE, _service_rows(series))
        connection.executemany(_VERSION, _version_rows(series))
        connection.executemany(_CHANGE, _change_rows(series))
        connection.execute("UPDATE head SET revision = ?, changed_at = ?", (size, size))
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA journal_mode = {engines.journal_mode()[0]}")
    return path


def _wide(number: int) -> str:
    return f"wide/{number:06}"


Lengths = list[tuple[str, int]]


def _revisions(series: Lengths) -> Iterator[tuple[int, int, str, int]]:
    """Yield service id, revision, service and number of every version, in order."""
    revision = 0
    for i, (name, count) in enumerate(series):
        for number in range(count):
            revision += 1
            yield i + 1, revision, name, number


def _service_rows(series: Lengths) -> Iterator[dict[str, Any]]:
    for service_id, revision, name, number in _revisions(series):
        if number == 0:
            yield {
                "id": service_id,
                "organisation_id": LOCAL_OPERATOR.organisation,
                "name": name,
                "created_at": revision,
                "created_revision": revision,
            }


def _version_rows(series: Lengths) -> Iterator[dict[str, Any]]:
    for service_id, revision, _, number in _revisions(series):
        yield {
            "service_id": service_id,
            "environment": DEFAULT_ENVIRONMENT,
            "number": number,
            "enabled": 1,
            "digest": _DOCUMENT.digest,
            "size": len(DOCUMENT),
            "author": LOCAL_OPERATOR.name,
            "note": "",
            "created_at": revision,
            "revision": revision,
            "document": _DOCUMENT.text,
        }


def _change_rows(series: Lengths) -> Iterator[dict[str, Any]]:
    for _, revision, name, number in _revisions(series):
        row = {
            "revision": revision,
            "position": 0,
            "changed_at": revision,
            "organisation_id": LOCAL_OPERATOR.organisation,
            "kind": ChangeKind.SERVICE_CREATED,
            "service": name,
            "environment": None,
            "number": None,
            "current": None,
            "digest": None,
            "actor": LOCAL_OPERATOR.name,
            "note": "",
        }
        if number == 0:
            yield row
        yield row | {
            "position": int(number == 0),
            "kind": ChangeKind.VERSION_CREATED,
            "environment": DEFAULT_ENVIRONMENT,
            "number": number,
            "current": number,
            "digest": _DOCUMENT.digest,
        }
