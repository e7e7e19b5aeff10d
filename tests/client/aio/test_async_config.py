"""``AsyncConfig``: read without waiting, and followed on an event loop."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import distributed_config.client.live.config as config_module
from distributed_config import errors
from distributed_config.client import AsyncConfig, Client, Config
from tests.client.conftest import QUICK, Run
from tests.support.proxies import Proxy
from tests.support.scripts import threads_of
from tests.support.server import Server
from tests.support.stubs import unresponsive_address
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _no_thread_is_left(name: str) -> Iterator[None]:
    yield
    assert eventually(lambda: not threads_of(name))


@asynccontextmanager
async def opened(server: Server, name: str, **options: Any) -> AsyncIterator[AsyncConfig]:
    options = {"url": server.url, "snapshots": False, "backoff": QUICK, **options}
    async with await AsyncConfig.open(name, **options) as config:
        yield config


@dataclass
class Numbers:
    n: int


def test_it_reads_as_a_configuration_does(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0, "db": {"host": "a"}})

    async def work() -> None:
        async with opened(server, name) as config:
            assert (config["n"], config.get("db.host"), len(config)) == (0, "a", 2)
            assert (config.version, config.source, config.problem) == (0, "server", None)
            assert (config.environment, config.stale) == ("default", False)
            assert config.age is not None
            assert config == config.config == {"n": 0, "db": {"host": "a"}}
            assert repr(config) == f"<AsyncConfig {name!r} version 0 from server>"
            bound = config.bind(Numbers)
            await asyncio.to_thread(client.put, {"n": 1})
            assert await config.wait_for(1, 5)
            assert bound.value == Numbers(1)

    run(work())


def test_a_version_is_waited_for_until_it_comes_or_the_time_is_over_or_the_end(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})

    async def work() -> None:
        async with opened(server, name) as config:
            waiting = [asyncio.create_task(config.wait_for(version)) for version in (0, 1, 1, 9)]
            assert await config.wait_for(1, 0.05) is False
            await asyncio.to_thread(client.put, {"n": 1})
            assert await asyncio.gather(*waiting[:3]) == [True] * 3
            assert not waiting[3].done()
        assert await waiting[3] is False
        assert await config.wait_for(9) is False
        assert config["n"] == 1

    run(work())


def test_changes_are_iterated_where_they_are_and_end_with_the_configuration(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0, "other": 0})
    told: list[Any] = []

    async def follow(changes: AsyncIterator[tuple[Any, Any]]) -> None:
        async for new, old in changes:
            told.append((new, old))

    async def work() -> None:
        async with opened(server, name) as config:
            # Followed from here on, though nothing iterates yet.
            changes = config.changes("/n")
            await asyncio.to_thread(client.put, {"n": 1, "other": 0})
            await config.wait_for(1)
            following = asyncio.create_task(follow(changes))
            await asyncio.to_thread(client.put, {"n": 1, "other": 1})
            await config.wait_for(2)
            await asyncio.to_thread(client.put, {"other": 1})
            await config.wait_for(3)
            await asyncio.sleep(0.05)
        await following

    run(work())

    assert told == [(1, 0), (None, 1)]


def test_changes_that_come_while_the_body_runs_are_one(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})

    async def work() -> None:
        async with opened(server, name) as config:
            changes = config.changes("/n")
            for n in (1, 2, 3):
                await asyncio.to_thread(client.put, {"n": n})
                await config.wait_for(n)
            assert await anext(changes) == (3, 0)

    run(work())


def test_listeners_are_called_on_the_loop_until_they_are_removed(
    client: Client, server: Server, name: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    told: list[Any] = []

    def tell(new: Any, old: Any) -> None:
        told.append((new, old, threading.get_ident()))

    async def work() -> None:
        async with opened(server, name) as config:
            end = config.on_change(
                lambda *change: told.append((*change, threading.get_ident())), "/n"
            )
            await asyncio.to_thread(client.put, {"n": 1})
            await config.wait_for(1)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(client.put, {"n": 2})
            while config.config["n"] != 2:
                time.sleep(0.001)
            time.sleep(0.05)  # the call is on its way to the loop
            end()
            await asyncio.sleep(0.05)

    with caplog.at_level(logging.ERROR, "asyncio"):  # it warns of the loop that was blocked
        run(work())

    assert told == [(1, 0, threading.get_ident())]


def test_mistakes_in_a_call_are_told_at_once(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})

    async def listener(new: Any, old: Any) -> None:
        """Never called."""

    async def work() -> None:
        async with opened(server, name) as config:
            with pytest.raises(errors.Invalid, match="async for"):
                config.on_change(listener)  # type: ignore[arg-type]  # that is the mistake
            with pytest.raises(errors.Invalid, match="called"):
                config.on_change(3)  # type: ignore[arg-type]  # that is the mistake
            for wrong in (config.changes, lambda pointer: config.on_change(print, pointer)):
                with pytest.raises(errors.Invalid, match="pointer"):
                    wrong("n")
        with pytest.raises(errors.Invalid):
            await AsyncConfig.open(name, defaults=3)

    run(work())


def test_a_start_without_a_server_fails_or_falls_back_as_a_configuration_does(
    nowhere: str, name: str, tmp_path: Path, run: Run
) -> None:
    async def work() -> None:
        given = {"url": nowhere, "snapshots": tmp_path, "deadline": 0.1}
        with pytest.raises(errors.NeverLoaded):
            await AsyncConfig.open(name, **given)
        async with await AsyncConfig.open(name, **given, defaults={"n": 1}) as config:
            assert (config["n"], config.source) == (1, "defaults")

    run(work())


def test_a_start_that_is_cancelled_frees_its_caller_and_leaves_nothing(name: str, run: Run) -> None:
    with unresponsive_address() as url:

        async def work() -> None:
            began = time.monotonic()
            given = {"url": url, "snapshots": False, "defaults": {}, "deadline": 0.5}
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(AsyncConfig.open(name, **given), 0.1)
            assert time.monotonic() - began < 0.4
            assert threads_of(name)

        run(work())

        # Only the kernel can end the connection that the background had begun.
        assert eventually(lambda: all(config.closed for config in configs_of(name)))


def configs_of(name: str) -> list[Config]:
    return [each for each in gc.get_objects() if type(each) is Config and each.service == name]


def test_closing_ends_a_held_request_at_once(
    client: Client, proxy: Proxy, name: str, run: Run
) -> None:
    client.put({"n": 0})

    async def work() -> float:
        config = await AsyncConfig.open(name, url=proxy.url, snapshots=False)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await config.close()
        assert not threads_of(name)
        await config.close()
        return time.monotonic() - began

    assert run(work()) < 0.4


def test_a_configuration_that_nobody_refers_to_ends(
    client: Client, server: Server, name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server answers a held request after whole seconds.
    monkeypatch.setattr(config_module, "_LONG_POLL", 1.0)
    client.put({"n": 0})

    async def work() -> None:
        config = await AsyncConfig.open(name, url=server.url, snapshots=False)
        assert config["n"] == 0

    run(work())


def test_news_after_the_loop_has_ended_do_no_harm(
    client: Client, server: Server, name: str, run: Run
) -> None:
    client.put({"n": 0})

    async def work() -> AsyncConfig:
        config = await AsyncConfig.open(name, url=server.url, snapshots=False)
        config.on_change(print)
        return config

    config = run(work())
    with closing(config.config):
        client.put({"n": 1})
        assert config.config.wait_for(1, 5)
        assert config["n"] == 1
        client.put({"n": 2})
        assert config.config.wait_for(2, 5)
        assert config.problem is None
