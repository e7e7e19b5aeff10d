"""A server that goes away, comes back, or loses its service."""

import json
import statistics
import threading
import time
from collections import Counter
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Backoff, Client, Config
from tests.client.conftest import Configs
from tests.support.proxies import Proxy
from tests.support.scripts import in_thread, script
from tests.support.server import Api, Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


def test_reads_never_fail_while_the_server_is_away_and_then_it_catches_up(
    client: Client, configs: Configs, proxy: Proxy
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)
    for n, away in enumerate([proxy.refuse, proxy.cut, lambda: setattr(proxy, "silent", True)], 1):
        away()
        client.put({"n": n})
        assert cfg["n"] in (n - 1, n)
        assert cfg.get("n", "x") in (n - 1, n)
        proxy.resume()
        proxy.cut()
        assert cfg.wait_for(n, 5)
        assert (cfg["n"], cfg.get("n")) == (n, n)
    assert eventually(lambda: cfg.problem is None)


def test_forty_configurations_recover_from_a_restart_without_a_failed_read(
    own_server: Server,
) -> None:
    own_server.api.put("web", {"n": 0})
    backoff = Backoff(0.05, 0.5)
    made = [Config("web", url=own_server.url, snapshots=False, backoff=backoff) for _ in range(40)]
    stop = threading.Event()

    def read() -> set[int]:
        seen = set()
        while not stop.is_set():
            for cfg in made:
                seen |= {cfg["n"], cfg.get("n"), cfg.value["n"]}
            time.sleep(0.01)
        return seen

    thread, came = in_thread(read)
    try:
        own_server.kill()
        assert eventually(
            lambda: all(isinstance(cfg.problem, errors.Unreachable) for cfg in made), 15
        )
        own_server.start()
        own_server.api.put("web", {"n": 1})
        assert all(cfg.wait_for(1, 15) for cfg in made)
        assert eventually(lambda: not any(cfg.problem for cfg in made), 15)
    finally:
        stop.set()
        thread.join(5)
        for cfg in made:
            cfg.close()
    assert came == [{0, 1}]


def test_many_clients_come_back_from_a_restart_spread_over_the_window_and_none_is_refused(
    own_server: Server, drill: bool
) -> None:
    number, window = (1_000, 6.0) if drill else (100, 2.0)
    own_server.api.put("web", {"n": 0})
    backoff = Backoff(0.1, window)
    made = [
        Config("web", url=own_server.url, snapshots=False, backoff=backoff) for _ in range(number)
    ]
    back: dict[int, float] = {}

    def note_who_comes_back() -> None:
        while len(back) < number:
            now = time.monotonic()
            back.update({i: now for i, cfg in enumerate(made) if i not in back and not cfg.problem})
            time.sleep(window / 100)

    try:
        own_server.kill()
        assert eventually(lambda: all(cfg.problem for cfg in made), 30)
        time.sleep(2 * window)  # their pauses grow meanwhile
        start_of_log = own_server.log.stat().st_size
        thread, _ = in_thread(note_who_comes_back)
        own_server.start()
        thread.join(window + 30)
    finally:
        for cfg in made:
            cfg.close()

    assert len(back) == number
    # Each draws any moment of the window, so a fifth comes in the first tenth, and who came while
    # the server was starting; without that all do.
    first = min(back.values())
    tenths = Counter(int((came - first) / window * 10) for came in back.values())
    assert max(tenths.values()) < number * 3 / 4, tenths
    own_server.stop()
    told = [line for line in logged(own_server, start_of_log) if line.get("event") == "request"]
    assert {line["status"] for line in told} <= {200, 304}


def logged(server: Server, start: int) -> list[dict[str, Any]]:
    """What the log of ``server`` has behind ``start`` bytes."""
    lines = server.log.read_bytes()[start:].decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_attempts_of_many_clients_spread_over_a_window_that_grows_to_its_limit() -> None:
    backoff = Backoff(first=0.2, most=30.0)
    for number, limit in [(1, 0.2), (2, 0.4), (5, 3.2), (9, 30.0), (10_000, 30.0)]:
        drawn = sorted(backoff.seconds(number) for _ in range(1_000))
        assert drawn[0] >= 0
        assert drawn[-1] <= limit
        assert abs(statistics.mean(drawn) - limit / 2) < limit * 0.05
        # No tenth of the window has much more than its share of the thousand.
        tenths = [sum(i <= each / limit * 10 < i + 1 for each in drawn) for i in range(10)]
        assert max(tenths) < 160


def test_forked_processes_do_not_draw_the_same_pauses() -> None:
    text = """
import os
from distributed_config.client import Backoff
backoff = Backoff(); backoff.seconds(1)
child = os.fork()
os.write(1, f"{backoff.seconds(9)}\\n".encode())
if child: os.wait()
"""
    first, second = script(text).stdout.split()
    assert first != second


def delete_service(api: Api, name: str) -> None:
    for each in api.versions(name):
        api.enable(name, each["number"], False)
    assert api.delete(name).status_code == 200


def test_a_service_that_is_disabled_and_enabled_again_is_read_throughout(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()

    client.enable(0, False)
    assert eventually(lambda: isinstance(cfg.problem, errors.NoCurrentVersion))
    assert (cfg["n"], cfg.version, cfg.source) == (0, 0, "server")
    client.enable(0, True)
    client.put({"n": 1})
    assert cfg.wait_for(1, 5)
    assert eventually(lambda: cfg.problem is None)
    client.enable(1, False)
    assert eventually(lambda: cfg["n"] == 0)
    assert cfg.version == 0


@pytest.mark.parametrize("how", ["disabled", "away"])
def test_a_problem_that_has_passed_is_told_no_more_even_if_nothing_else_changed(
    client: Client, configs: Configs, proxy: Proxy, how: str
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)

    if how == "disabled":
        client.enable(0, False)
    else:
        proxy.refuse()
    assert eventually(lambda: cfg.problem)
    client.enable(0, True)
    proxy.resume()

    assert eventually(lambda: cfg.problem is None)


def test_a_service_that_is_deleted_and_made_anew_is_read_throughout(
    client: Client, configs: Configs, api: Api, name: str
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    cfg = configs()

    delete_service(api, name)
    assert eventually(lambda: isinstance(cfg.problem, errors.ServiceNotFound))
    assert (cfg["n"], cfg.version) == (1, 1)
    client.put({"n": 2})
    assert eventually(lambda: cfg["n"] == 2)
    assert (cfg.version, cfg.problem) == (0, None)


def test_a_service_that_comes_later_is_read_when_it_comes(client: Client, configs: Configs) -> None:
    cfg = configs(defaults={"n": -1})
    assert isinstance(cfg.problem, errors.ServiceNotFound)

    client.put({"n": 0})

    assert eventually(lambda: cfg["n"] == 0)
    assert cfg.source == "server"


def test_clocks_that_jump_change_nothing(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    for n, jump in enumerate([10 * 365 * 86_400.0, -20 * 365 * 86_400.0, 1e-9], 1):
        now = time.time()
        monkeypatch.setattr(time, "time", lambda now=now, jump=jump: now + jump)
        client.put({"n": n})
        assert cfg.wait_for(n, 5)
        assert not cfg.wait_for(99, 0.05)
        assert cfg.age is not None
        assert 0 <= cfg.age < 5
        assert not cfg.stale
        monkeypatch.undo()
