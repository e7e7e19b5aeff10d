"""How often somebody may ask, at a real server that counts."""

import asyncio
import http.client
import logging
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from flask import Flask
from limits.storage import MemoryStorage

from distributed_config.app import create_app
from distributed_config.asgi.quota_leases import QuotaLeases
from distributed_config.commands import opened
from distributed_config.errors import CannotStart, TooManyRequests
from distributed_config.http import auth, rate_limits
from distributed_config.http.rate_limits import Limits, init_limits, lender_of, spend_login
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange, QuotaSource
from distributed_config.services.access import identify as identify_verbs
from distributed_config.services.access import tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.token_format import new_token
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings, load, table
from tests.conftest import need
from tests.support.server import Server, free_port

WINDOW = 3
READS, WRITES = 40, 10
HOT_READS, HOT_LEASE = 120, 6
BUDGETS = {
    "limit_reads": f"{READS} per {WINDOW} seconds",
    "limit_writes": f"{WRITES} per {WINDOW} seconds",
}
_numbers = count()


def token_of(server: Server) -> str:
    """A token of its own, made beside the running server."""
    with opened.writing(load(server.environment)) as writer:

        def make(transaction: Transaction) -> str:
            rights = Grant("administrator")
            return tokens.create_machine(transaction, f"test {next(_numbers)}", rights).secret

        return writer.write(LOCAL_OPERATOR, make)


def bearing(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


def window_begins(seconds: int = WINDOW) -> None:
    """Waits for the begin of a window: they lie on the clock."""
    time.sleep(seconds - time.time() % seconds + 0.02)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process that counts strictly; each test has tokens of its own."""
    folder = tmp_path_factory.mktemp("limits") / "instance"
    with Server(folder, auth="token", workers=1, **BUDGETS) as running:
        running.api.put("web", {"a": 1}, headers=bearing(token_of(running)))
        yield running


def asked_through_flask(server: Server, token: str) -> httpx2.Response:
    """A read that is never answered from memory."""
    return server.api.get("web", min_revision=0, version="current", headers=bearing(token))


def test_reads_over_the_budget_are_refused_until_the_moment_that_is_told(
    counting: Server,
) -> None:
    token = token_of(counting)
    window_begins()

    answers = [asked_through_flask(counting, token) for _ in range(READS + 3)]

    assert [each.status_code for each in answers] == [200] * READS + [429] * 3
    assert answers[0].headers["RateLimit-Policy"] == f'"reads";q={READS};w={WINDOW}'
    refused = answers[-1]
    wait = int(refused.headers["Retry-After"])
    assert 1 <= wait <= WINDOW
    assert refused.headers["RateLimit"] == f'"reads";r=0;t={wait}'
    assert refused.headers["RateLimit-Policy"] == f'"reads";q={READS};w={WINDOW}'
    problem = refused.json()
    assert (problem["code"], problem["status"]) == ("too-many-requests", 429)
    assert "DISTCONF_LIMIT_READS" in problem["detail"]
    time.sleep(wait)
    assert asked_through_flask(counting, token).status_code == 200


def test_writes_have_a_budget_of_their_own_and_each_token_has_its_own(counting: Server) -> None:
    token, other = token_of(counting), token_of(counting)
    window_begins()

    writes = [
        counting.api.put("mine", {"n": n}, headers=bearing(token)).status_code
        for n in range(WRITES + 1)
    ]

    assert writes == [200] * WRITES + [429]
    assert asked_through_flask(counting, token).status_code == 200
    assert counting.api.put("mine", {"n": 99}, headers=bearing(other)).status_code == 200


def test_a_write_is_refused_before_its_body_is_looked_at(counting: Server) -> None:
    token = token_of(counting)
    window_begins()
    nonsense = bearing(token, **{"Content-Type": "application/json"})

    def send() -> int:
        return counting.api.http.put(
            "/config?service=x", content=b"{nonsense", headers=nonsense
        ).status_code

    assert [send() for _ in range(WRITES + 1)] == [422] * WRITES + [429]


def test_guessing_tokens_is_bounded_and_harms_no_good_token(counting: Server) -> None:
    good = token_of(counting)
    window_begins()

    guesses = [asked_through_flask(counting, new_token()) for _ in range(READS + 5)]
    malformed = counting.api.get("web", headers=bearing("nonsense"))

    assert [each.status_code for each in guesses] == [401] * READS + [429] * 5
    assert malformed.status_code == 429
    assert asked_through_flask(counting, good).status_code == 200
    assert counting.api.http.get("/api/docs.css").status_code == 200
    assert counting.api.http.get("/healthz").status_code == 200


def test_strangers_are_counted_by_address_and_probes_are_not(counting: Server) -> None:
    window_begins()

    pages = [counting.api.http.get("/api/docs.css").status_code for _ in range(READS + 2)]
    probes = [counting.api.http.get("/healthz").status_code for _ in range(READS + 2)]

    assert pages == [200] * READS + [429] * 2
    assert set(probes) == {200}


def test_held_questions_and_streams_are_counted_when_they_begin(counting: Server) -> None:
    token = token_of(counting)
    etag = counting.api.get("web", version="current", headers=bearing(token)).headers["ETag"]
    window_begins()

    held = bearing(token, **{"If-None-Match": etag, "Prefer": "wait=1"})
    waited = counting.api.get("web", version="current", headers=held)
    events = bearing(token, Accept="text/event-stream")
    with counting.api.http.stream("GET", "/api/v1/changes", headers=events) as stream:
        next(stream.iter_raw())
    answers = [asked_through_flask(counting, token).status_code for _ in range(READS - 1)]

    assert (waited.status_code, stream.status_code) == (304, 200)
    assert answers == [200] * (READS - 2) + [429]


def hot_reads(server: Server, token: str, number: int) -> Counter[tuple[int, bool]]:
    """How many of ``number`` reads over one connection had which status and were replayed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    seen: Counter[tuple[int, bool]] = Counter()
    for _ in range(number):
        connection.request("GET", "/config?service=web&version=current", headers=bearing(token))
        answer = connection.getresponse()
        answer.read()
        seen[answer.status, "-" in (answer.getheader("X-Request-ID") or "")] += 1
    connection.close()
    return seen


@pytest.mark.parametrize("workers", [1, 2])
def test_replayed_reads_are_counted(tmp_path: Path, workers: int) -> None:
    budget = f"{HOT_READS} per {2 * WINDOW} seconds"
    with Server(tmp_path / "instance", auth="token", workers=workers, limit_reads=budget) as server:
        token, other = token_of(server), token_of(server)
        server.api.put("web", {"a": 1}, headers=bearing(token))

        def fire() -> Counter[tuple[int, bool]]:
            """In one window, over several connections that all workers have some of."""
            window_begins(2 * WINDOW)
            with ThreadPoolExecutor(4) as threads:
                number = (HOT_READS // 2 - 24) * workers
                parts = threads.map(lambda _: hot_reads(server, token, number), range(4))
                return sum(parts, Counter())

        seen = fire()

        good = seen[200, True] + seen[200, False]
        # New here, the token has no lease from before: no read more than the budget.
        assert good <= workers * HOT_READS
        assert seen[200, True] > good * 0.8
        assert seen[429, False] > 0
        if workers == 1:
            assert good == HOT_READS
        assert hot_reads(server, other, 5)[200, True] > 0
        # And in each window after that, no more than what was lent before.
        again = fire()
        assert again[200, True] + again[200, False] <= workers * (HOT_READS + HOT_LEASE)
        assert set(again) <= {(200, True), (200, False), (429, False)}


# --- without a server


@pytest.fixture
def prepared(tmp_path: Path) -> Server:
    """The data of a server that does not run."""
    server = Server(tmp_path / "instance", auth="token")
    server.prepare()
    return server


def test_who_does_not_wait_is_refused_without_a_look_at_the_database(
    prepared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(prepared)
    app = create_app(load({**prepared.environment, "DISTCONF_LIMIT_READS": "2 per day"}))
    looks = 0
    identify = identify_verbs.identify

    def look(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return identify(*arguments)

    monkeypatch.setattr(auth.identify, "identify", look)
    client = app.test_client()

    answers = [client.get("/api/v1/services", headers=bearing(token)) for _ in range(6)]

    assert [each.status_code for each in answers] == [200, 200, 429, 429, 429, 429]
    assert looks == 3
    waits = {int(each.headers["Retry-After"]) for each in answers[2:]}
    assert len(waits) <= 2


def test_a_held_question_is_counted_once_on_a_plain_server_too(prepared: Server) -> None:
    token = token_of(prepared)
    app = create_app(load({**prepared.environment, "DISTCONF_LIMIT_READS": "3 per day"}))
    client = app.test_client()

    def ask(**query: Any) -> Any:
        return client.get("/api/v1/changes", query_string=query, headers=bearing(token))

    began = time.monotonic()
    held = ask(after=ask().json["revision"], wait=1)

    assert held.json["changes"] == []
    assert time.monotonic() - began > 0.9
    assert [ask().status_code for _ in range(2)] == [200, 429]


def test_a_dialect_tells_when_to_come_again(prepared: Server) -> None:
    token = token_of(prepared)
    app = create_app(load({**prepared.environment, "DISTCONF_LIMIT_READS": "1 per day"}))
    client = app.test_client()
    client.get("/api/v1/services", headers=bearing(token))

    path = next(
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("unified.") and "GET" in (rule.methods or ())
        if not rule.arguments
    )
    refused = client.get(path, headers=bearing(token))

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["RateLimit"].startswith('"reads";r=0;t=')


def test_nothing_is_limited_in_the_open_mode(prepared: Server) -> None:
    app = create_app(
        load({**prepared.environment, "DISTCONF_AUTH": "open", "DISTCONF_LIMIT_READS": "1 per day"})
    )

    answers = [app.test_client().get("/api/v1/services") for _ in range(5)]

    assert {each.status_code for each in answers} == {200}
    assert "RateLimit-Policy" not in answers[0].headers
    assert lender_of(app) is None


def test_attempts_to_log_in_lock_nobody_else_out() -> None:
    app = Flask("test")
    init_limits(app, Settings(auth="token", limit_logins="3 per day"))

    def attempts(address: str, name: str, number: int) -> int:
        """How many of them were let through."""
        passed = 0
        for _ in range(number):
            with app.test_request_context(environ_overrides={exchange.KEY: Exchange()}):
                try:
                    spend_login(address, name)
                    passed += 1
                except TooManyRequests:
                    continue
        return passed

    assert attempts("192.0.2.1", "ann@example.org", 5) == 3
    # Another way to write the same name is no other name.
    assert attempts("192.0.2.1", " Ann@Example.org", 1) == 0
    assert attempts("192.0.2.2", "ann@example.org", 5) == 3
    assert attempts("192.0.2.1", "bob@example.org", 5) == 3
    # Of one address, ten times as many over all names: 11 are spent.
    assert sum(attempts("192.0.2.1", f"guess {n}", 1) for n in range(40)) == 30 - 11
    # IPv6 is counted by network: an address of it costs nothing.
    assert attempts("2001:db8::1", "ann@example.org", 3) == 3
    assert attempts("2001:db8::2", "ann@example.org", 1) == 0
    assert attempts("2001:db8:0:1::2", "ann@example.org", 1) == 1
    assert attempts("::ffff:192.0.2.2", "ann@example.org", 1) == 0


def test_who_asks_while_a_lease_is_fetched_waits_for_the_same_one() -> None:
    left, fetched = 7, []

    def lend(asker: str) -> int:
        nonlocal left
        fetched.append(asker)
        time.sleep(0.05)
        some = 2 if left >= 2 else 0
        left -= some
        return some

    async def ask(number: int) -> list[bool]:
        with ThreadPoolExecutor(4) as threads:
            leases = QuotaLeases(QuotaSource(lend, 60, waits=True), threads)
            return await asyncio.gather(*(leases.renew("token:1") for _ in range(number)))

    assert asyncio.run(ask(10)).count(True) == 6
    assert fetched == ["token:1"] * 4
    assert left == 1


class FaultyStorage(MemoryStorage):
    """One that is away whenever ``away`` is set."""

    STORAGE_SCHEME = ["faulty"]  # noqa: RUF012  # as the library has it
    away = True

    def acquire_sliding_window_entry(self, *arguments: Any, **options: Any) -> bool:
        if self.away:
            raise ValueError("redis://:hunter2@host is away")
        return super().acquire_sliding_window_entry(*arguments, **options)


def test_nobody_is_refused_while_the_storage_is_away_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rate_limits, "_AWAY", 0.0)
    found = Limits(Settings(auth="token", limit_reads="1 per day", limit_storage="faulty://"))
    assert found.reads is not None
    app = Flask("test")

    with app.test_request_context(), caplog.at_level(logging.WARNING):
        for _ in range(5):
            found.spend(found.reads, "token:1")
        monkeypatch.setattr(FaultyStorage, "away", False)
        found.spend(found.reads, "token:1")
        with pytest.raises(TooManyRequests):
            found.spend(found.reads, "token:1")

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "DISTCONF_LIMIT_STORAGE" in told[0]
    assert "hunter2" not in told[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LIMIT_READS", "many"),
        ("LIMIT_READS", "0 per minute"),
        ("LIMIT_WRITES", "10 per fortnight"),
        ("LIMIT_LOGINS", "-1/second"),
        ("LIMIT_LOGINS", "1 per second; 2 per minute"),
        ("LIMIT_STORAGE", "memcached://:hunter2@host"),
    ],
)
def test_a_wrong_setting_is_one_sentence(name: str, text: str) -> None:
    with pytest.raises(CannotStart) as refused:
        load({f"DISTCONF_{name}": text})

    assert refused.value.detail.startswith(f"DISTCONF_{name}: ")
    assert len(refused.value.problems) == 1
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize("text", ["", "600 per minute", "5/second", "10 per 2 hours", "1 PER day"])
def test_limits_are_written_in_few_ways(text: str) -> None:
    settings = load({"DISTCONF_LIMIT_READS": text})
    lender = Limits(settings).lender

    assert (lender is None) == (text == "")


def test_the_storage_is_a_secret() -> None:
    assert "hunter2" not in str(table(Settings(limit_storage="redis://:hunter2@host"), {}))


# --- with Redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Redis server of the test's own."""
    program = shutil.which("redis-server")
    need(program is not None, "redis-server")
    assert program is not None
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


def test_all_processes_share_the_budgets_in_redis(
    tmp_path: Path, redis: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    url, process = redis
    budget = f"{HOT_READS} per day"
    with Server(
        tmp_path / "instance", auth="token", limit_reads=budget, limit_storage=url
    ) as server:
        token = token_of(server)
        server.api.put("web", {"a": 1}, headers=bearing(token))

        with ThreadPoolExecutor(4) as threads:
            parts = threads.map(lambda _: hot_reads(server, token, HOT_READS // 2), range(4))
            seen: Counter[tuple[int, bool]] = sum(parts, Counter())

        # What one worker has borrowed the other cannot spend.
        assert HOT_READS - HOT_LEASE <= seen[200, True] + seen[200, False] <= HOT_READS
        process.kill()
        process.wait()
        time.sleep(1)
        statuses = {asked_through_flask(server, token_of(server)).status_code for _ in range(5)}
        assert statuses == {200}
        assert 1 <= server.log.read_text().count("does not answer") <= 2


def test_without_its_package_redis_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)  # as if it were not installed

    with pytest.raises(CannotStart, match="DISTCONF_LIMIT_STORAGE: it takes a further") as refused:
        load({"DISTCONF_LIMIT_STORAGE": "redis://:hunter2@host"})

    assert "hunter2" not in refused.value.detail
