"""How reading and appending slow down as versions gather: 10,000 against 1,000,000.

Measured in this process, below HTTP, where growth is not hidden behind what does not grow. Half
of the versions are one service's, the other half belongs to services of ten versions each.
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

_EACH = 10
_CALLS = 200
_DEEP = "deep"
_TEXT = DOCUMENT.decode()
_DOCUMENT = Document(_TEXT, digest_of(_TEXT))


@dataclass(frozen=True)
class Cost:
    """Seconds of one call: as they passed, and of the processor."""

    time: float
    cpu: float


@dataclass
class Growth:
    """For each kind of call the costs (small, large) of every round."""

    pairs: dict[str, list[tuple[Cost, Cost]]] = field(default_factory=dict)
    large: int = LARGE


def measure(folder: Path, rounds: int, large: int, say: Callable[[str], None]) -> Growth:
    """Builds both databases, then asks them in turns."""
    found = Growth(large=large)
    with ExitStack() as stack:
        pair = []
        for size in (SMALL, large):
            say(f"growth: building a database of {size:,} versions")
            pair.append(stack.enter_context(_Stock(folder / f"growth-{size}", size)))
        for number in range(1, rounds + 1):
            for kind, call in _CALLS_OF.items():
                small, big = _costs(pair, call)
                found.pairs.setdefault(kind, []).append((small, big))
                say(
                    f"growth {number}/{rounds}  {kind:34}{small.time * 1e6:6.0f} µs"
                    f"{big.time * 1e6:7.0f} µs, processor {small.cpu * 1e6:5.0f} µs"
                    f"{big.cpu * 1e6:6.0f} µs"
                )
    return found


class _Stock:
    """A database of ``size`` versions, with a connection that reads and the Writer."""

    def __init__(self, folder: Path, size: int) -> None:
        self.services = size // 2 // _EACH
        self.random = random.Random(size)
        path = _built(folder, size)
        self._reading = create_engine(f"sqlite:///{path}", **engines.reading_engine_options(5, 1))
        engines.prepare(self._reading, "BEGIN")
        self._writer = Writer(engines.writing_engine(path, 5), Watermarks(path), lock_seconds=5)
        self._connection: Connection | None = None

    def __enter__(self) -> "_Stock":
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
            LOCAL_OPERATOR, lambda pen: versions.append(pen, Series(name), _DOCUMENT)
        )

    def refresh(self) -> None:
        """Ends the reader's snapshot: an old one keeps the write-ahead log from being emptied."""
        assert self._connection is not None
        self._connection.rollback()


def _costs(pair: list[_Stock], call: Callable[[_Stock], None]) -> list[Cost]:
    """What one call costs on each of ``pair``, asked in turns.

    By time it is what a quarter of the calls stay below: a neighbour's noise only ever adds. By
    the processor it is the mean: what the write-ahead log costs comes in lumps.
    """
    spent: list[list[Cost]] = [[] for _ in pair]
    for _ in range(_CALLS):
        for stock, costs in zip(pair, spent, strict=True):
            began, cpu = time.perf_counter(), time.process_time()
            call(stock)
            costs.append(Cost(time.perf_counter() - began, time.process_time() - cpu))
    for stock in pair:
        stock.refresh()
    return [
        Cost(
            statistics.quantiles((each.time for each in costs), n=4)[0],
            statistics.fmean(each.cpu for each in costs),
        )
        for costs in spent
    ]


_CALLS_OF: dict[str, Callable[[_Stock], None]] = {
    "current, of the one long service": lambda stock: stock.read(_DEEP),
    "current, of any of the others": lambda stock: stock.read(stock.any_service()),
    "append, to the one long service": lambda stock: stock.append(_DEEP),
    "append, to any of the others": lambda stock: stock.append(stock.any_service()),
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


def _built(folder: Path, size: int) -> Path:
    """A database of ``size`` versions as the product would leave it, made past the product."""
    path = folder / "distconf.db"
    environment = {**neutral_environment(), "DISTCONF_INSTANCE": str(folder)}
    command = [str(distconf()), "db", "upgrade"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    series = [(_DEEP, size // 2), *((_wide(i), _EACH) for i in range(size // 2 // _EACH))]
    with engines.raw_connection(path) as connection:
        # Nothing is lost if this is, and the log of one such transaction would be as large.
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
    """The service's id, the revision, the service and the number of every version in turn."""
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
