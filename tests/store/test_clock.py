"""A clock that jumps, forwards or back, spoils nothing for longer than it is wrong."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from distributed_config import wire
from distributed_config.commands import schema
from distributed_config.errors import LastAdministrator
from distributed_config.models.sqlite import raw_connection, writing_engine
from distributed_config.services import idempotency, versions
from distributed_config.services.access import identify, organisations, tokens, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.documents.series import Series
from distributed_config.services.idempotency import StoredResponse
from distributed_config.services.journal.steady import Steady, Uptime
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store import batch as batch_module
from distributed_config.store import uptime as uptime_module
from distributed_config.store import writer as writer_module
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, digest_of
from tests.support.server import Server

T = TypeVar("T")

SECOND = 1_000_000
HOUR = 3_600 * SECOND
YEAR = 365 * 24 * HOUR
START = 1_800_000_000 * SECOND


@dataclass
class Clocks:
    """The clock on the wall, which can be set, and the machine's uptime, which cannot."""

    wall: int = START
    up: int = 50 * HOUR
    boot: str = "one"

    def pass_by(self, microseconds: int) -> None:
        self.wall += microseconds
        self.up += microseconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    for module in (batch_module, writer_module):
        monkeypatch.setattr(module, "now", lambda: made.wall)
    monkeypatch.setattr(writer_module, "uptime", lambda: Uptime(made.boot, made.up))
    return made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    with raw_connection(settings.database_path) as connection:
        connection.execute(f"UPDATE head SET changed_at = {START}, steady_at = {START}")
    return settings.database_path


@pytest.fixture
def writer(database: Path, clocks: Clocks) -> Iterator[Writer]:
    made = Writer(writing_engine(database, 5), Watermarks(database), 5)
    yield made
    made.stop()


class Writes:
    """Writes with an idempotency key, counted."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.done = 0

    def __call__(self, key: str = "key") -> None:
        def unit(transaction: Transaction) -> None:
            if idempotency.recall(transaction, key, "same", 24) is None:
                self.done += 1
                text = f'{{"n": {self.done}}}'
                versions.put(transaction, Series("web"), Document(text, digest_of(text)))
                idempotency.remember(transaction, key, "same", StoredResponse(200, "{}", b""), 24)

        self._writer.write(LOCAL_OPERATOR, unit)


@pytest.fixture
def writes(writer: Writer) -> Writes:
    return Writes(writer)


def do(writer: Writer, unit: Callable[[Transaction], T]) -> T:
    return writer.write(LOCAL_OPERATOR, unit)


# --- idempotency keys


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_write_is_not_done_again_when_the_clock_jumps_and_comes_back(
    clocks: Clocks, writes: Writes, jump: int
) -> None:
    writes()
    clocks.wall += jump
    writes()
    writes("another")  # the journal's time is there now
    clocks.wall -= jump
    clocks.pass_by(HOUR)
    writes()
    writes("another")

    assert writes.done == 2


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_key_is_forgotten_after_its_hours_also_when_the_clock_jumped(
    clocks: Clocks, writes: Writes, jump: int
) -> None:
    clocks.wall += jump
    writes()
    clocks.wall -= jump
    clocks.pass_by(23 * HOUR)
    writes()
    assert writes.done == 1
    clocks.pass_by(2 * HOUR)
    writes()
    assert writes.done == 2


def test_old_keys_are_dropped_also_after_a_jump(
    clocks: Clocks, writes: Writes, database: Path
) -> None:
    clocks.wall += YEAR
    writes("old")
    clocks.wall -= YEAR
    clocks.pass_by(25 * HOUR)
    writes("new")

    with raw_connection(database) as connection:
        kept = connection.execute("SELECT key FROM idempotency_keys").fetchall()
    assert kept == [("new",)]


def test_a_machine_that_starts_with_a_wrong_clock_does_a_write_once(
    clocks: Clocks, writes: Writes
) -> None:
    writes()
    clocks.boot, clocks.up, clocks.wall = "two", SECOND, START + YEAR
    writes()

    assert writes.done == 1


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        (Uptime("a", 30), 20),
        (Uptime("a", 10), 0),
        (Uptime("a", 5), 0),  # another container, with an uptime of its own
        (Uptime("b", 500), 0),
    ],
)
def test_steady_time_grows_by_what_the_uptime_of_one_boot_grew(now: Uptime, passed: int) -> None:
    assert Steady(100, Uptime("a", 10)).advance(now) == Steady(100 + passed, now)


def test_the_uptime_is_that_of_the_machine_and_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = uptime_module.uptime(), uptime_module.uptime()
    assert first.boot == second.boot
    assert 0 < first.microseconds <= second.microseconds
    monkeypatch.setattr(uptime_module, "_UPTIME", Path("/nowhere"))
    assert uptime_module.uptime().microseconds > 0


# --- what ends at a time


def test_a_token_that_is_made_after_a_jump_ends_when_it_was_to(
    clocks: Clocks, writer: Writer
) -> None:
    clocks.wall += YEAR
    do(writer, lambda transaction: organisations.create_organisation(transaction, "ahead"))
    clocks.wall -= YEAR

    def make(transaction: Transaction) -> int | None:
        assert transaction.now == START + YEAR  # changes still have that time
        return tokens.expiry_after(transaction, 3_600)

    assert do(writer, make) == START + HOUR


def test_a_session_that_was_opened_while_the_clock_was_ahead_is_over_when_it_is_right(
    clocks: Clocks, writer: Writer
) -> None:
    user = do(writer, lambda j: users.create_user(j, "ada@example.org", Grant("reader")))

    def shown(transaction: Transaction, secret: str) -> bool:
        return identify.identify(transaction.connection, secret, clocks.wall) is not None

    clocks.wall += YEAR
    ahead = do(writer, lambda transaction: tokens.open_session(transaction, user.id, 1, 3_600))
    assert do(writer, lambda transaction: shown(transaction, ahead.secret))
    clocks.wall -= YEAR
    assert not do(writer, lambda transaction: shown(transaction, ahead.secret))
    right = do(writer, lambda transaction: tokens.open_session(transaction, user.id, 1, 3_600))
    assert do(writer, lambda transaction: shown(transaction, right.secret))
    clocks.pass_by(2 * HOUR)
    assert not do(writer, lambda transaction: shown(transaction, right.secret))


def test_the_last_administrator_is_looked_for_at_the_time_of_the_clock(
    clocks: Clocks, writer: Writer
) -> None:
    rights = Grant("administrator")
    short = do(writer, lambda j: tokens.create_machine(j, "short", rights, 24 * 3_600)).token
    clocks.wall += YEAR
    do(writer, lambda transaction: organisations.create_organisation(transaction, "ahead"))
    clocks.wall -= YEAR

    with pytest.raises(LastAdministrator):
        do(writer, lambda transaction: tokens.revoke(transaction, short.id, None))


# --- saying so


def test_a_clock_that_stands_behind_is_told_of_in_the_log_now_and_then(
    clocks: Clocks, writes: Writes, caplog: pytest.LogCaptureFixture
) -> None:
    writes("a")
    clocks.wall += YEAR
    writes("b")
    with caplog.at_level(logging.WARNING):
        clocks.wall -= YEAR
        for key in "cde":
            writes(key)

    told = [record.message for record in caplog.records if "clock" in record.message]
    assert len(told) == 1
    assert "31536000 s behind" in told[0]


def test_the_metric_and_the_check_tell_how_far_the_clock_stands_behind(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1) as server:
        server.api.put("web", {"n": 0})
        assert "distconf_clock_behind_seconds 0.0" in server.api.http.get("/metrics").text
        checked = server.tell("check")
        assert "ok   clock: it is not behind the journal" in checked.stdout
        ahead = wire.now() + 1_000 * SECOND
        with raw_connection(server.database) as connection:
            connection.execute(f"UPDATE head SET changed_at = {ahead}")
        [line] = [
            line
            for line in server.api.http.get("/metrics").text.splitlines()
            if line.startswith("distconf_clock_behind_seconds")
        ]
        assert 900 < float(line.split()[1]) <= 1_000
        checked = server.tell("check", "--output", "json")
        assert checked.returncode == 1
        [found] = [each for each in json.loads(checked.stdout) if each["what"] == "clock"]
        assert "behind it" in found["faults"][0]


def test_a_backup_from_the_future_can_be_restored(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1) as server:
        server.api.put("web", {"n": 0})
        with raw_connection(server.database) as connection:
            connection.execute(f"UPDATE head SET changed_at = {wire.now() + HOUR}")
        assert server.tell("backup", str(tmp_path / "b.db")).returncode == 0
        server.stop()
        restored = server.tell("restore", str(tmp_path / "b.db"))
        assert restored.returncode == 0, restored.stderr
        server.start()


def test_the_check_names_tokens_that_were_made_while_the_clock_was_ahead(
    clocks: Clocks, writer: Writer, tmp_path: Path
) -> None:
    clocks.wall = wire.now() + YEAR
    late = do(writer, lambda j: tokens.create_machine(j, "late", Grant("reader"), 3_600)).token
    do(writer, lambda j: tokens.create_machine(j, "for ever", Grant("reader"), None))

    assert do(writer, lambda j: tokens.created_after(j.connection, wire.now())) == [late.id]
