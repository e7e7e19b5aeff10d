"""``AsyncClient``: the calls of Client, cancelled and closed at any moment."""

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import AsyncClient, Client, InProcessTransport
from tests.client.conftest import QUICK, Run
from tests.support.proxies import Proxy
from tests.support.server import Server
from tests.support.stubs import Stub, document_response, problem_response
from tests.support.waiting import eventually


def call_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "distconf call"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    yield
    assert eventually(lambda: not call_threads())


def test_every_call_of_a_client_has_its_like() -> None:
    calls = {name for name in vars(Client) if not name.startswith("_")} - {"twin", "close"}

    for name in calls:
        assert inspect.signature(getattr(AsyncClient, name)) == inspect.signature(
            getattr(Client, name)
        )
    iterated = {"history", "changes"}
    awaited = {name for name in calls if inspect.iscoroutinefunction(getattr(AsyncClient, name))}
    assert calls - awaited == iterated


def test_calls_are_awaited_and_read_like_those_of_a_client(
    server: Server, name: str, run: Run
) -> None:
    async def work() -> None:
        async with AsyncClient(server.url, service=name) as client:
            written = await client.put({"n": 0}, note="first")
            await client.patch({"n": 1})
            assert (await client.get()).value == {"n": 1}
            assert (await client.get(version=0)).value == {"n": 0}
            assert await client.text(format="yaml") == '"n": 1\n'
            assert [each["number"] async for each in client.history()] == [1, 0]
            assert (await client.diff(0, 1))["patch"]
            assert (await client.rollback(0)).current == 2
            assert (await client.enable(2, False)).current == 1
            changes = client.changes(written.revision, services=[name])
            assert (await anext(changes)).changes[0]["service"] == name
            with pytest.raises(errors.ServiceNotFound):
                await client.get(f"{name}/no")

    run(work())


def test_calls_run_side_by_side_and_further_ones_wait_for_their_turn(
    server: Server, name: str, run: Run
) -> None:
    most = 0

    async def work() -> None:
        nonlocal most
        async with AsyncClient(server.url, service=name, calls=3) as client:
            await client.put({"n": 0})
            reads = [asyncio.create_task(client.get()) for _ in range(40)]
            while not all(read.done() for read in reads):
                most = max(most, len(call_threads()))
                await asyncio.sleep(0)
            assert {read.result()["n"] for read in reads} == {0}

    run(work())

    assert most == 3


def test_a_cancelled_call_frees_its_caller_and_its_thread_at_once(
    server: Server, name: str, proxy: Proxy, run: Run
) -> None:
    async def work() -> None:
        async with AsyncClient(proxy.url, service=name, calls=1) as client:
            await client.put({"n": 0})
            proxy.silent = True
            call = asyncio.create_task(client.get())
            await asyncio.sleep(0.2)
            began = time.monotonic()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert time.monotonic() - began < 0.5
            assert eventually(lambda: not call_threads(), 1)
            proxy.silent = False
            assert (await client.get())["n"] == 0

    run(work())


def test_a_cancelled_call_is_not_tried_again(run: Run) -> None:
    with closing(Stub(problem_response(503, "busy", Retry_After="1"))) as stub:

        async def work() -> None:
            async with AsyncClient(stub.url, service="web") as client:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.get(), 0.3)
                assert eventually(lambda: not call_threads(), 0.5)

        run(work())

        assert len(stub.requests) == 1


def test_a_call_that_is_cancelled_before_its_turn_is_never_made(run: Run) -> None:
    with closing(Stub(problem_response(503, "busy", Retry_After="30"))) as stub:

        async def work() -> None:
            async with AsyncClient(stub.url, service="web", calls=1) as client:
                first = asyncio.create_task(client.get())
                second = asyncio.create_task(client.put({}))
                await asyncio.sleep(0.2)
                second.cancel()
                await asyncio.sleep(0)
                first.cancel()
                await asyncio.wait([first, second])

        run(work())

        assert [request.split(b" ")[0] for request in stub.requests] == [b"GET"]


def test_closing_ends_calls_and_streams_at_once(proxy: Proxy, name: str, run: Run) -> None:
    async def read(changes: AsyncIterator[Any]) -> list[Any]:
        return [each async for each in changes]

    async def work() -> None:
        client = AsyncClient(proxy.url, service=name, backoff=QUICK)
        await client.put({"n": 0})
        proxy.silent = True
        call = asyncio.create_task(client.get())
        waiting = asyncio.create_task(client.get(), name="waiting for its turn")
        stream = asyncio.create_task(read(client.changes()))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await client.close()
        results = await asyncio.gather(call, waiting, stream, return_exceptions=True)
        assert time.monotonic() - began < 0.5
        assert [type(result) for result in results[:2]] == [errors.Unreachable] * 2
        assert results[2] == []
        with pytest.raises(errors.Unreachable, match="closed"):
            await client.get()
        await client.close()

    run(work())


def test_a_stream_that_nobody_reads_any_more_leaves_nothing(
    server: Server, name: str, run: Run
) -> None:
    async def work() -> None:
        async with AsyncClient(server.url, service=name) as client:
            written = await client.put({"n": 0})
            async with aclosing(client.changes(written.revision - 1)) as changes:
                async for revision in changes:
                    assert revision.changes
                    break
            pending = asyncio.create_task(anext(client.changes()))
            await asyncio.sleep(0.1)
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
            assert eventually(lambda: len(call_threads()) == 1)

    run(work())


def test_a_client_that_nobody_closed_leaves_no_threads(run: Run) -> None:
    with closing(Stub(document_response(b'{"n": 1}'))) as stub:

        async def work() -> None:
            assert (await AsyncClient(stub.url).get("web"))["n"] == 1

        run(work())


def test_the_loop_goes_on_while_a_call_waits(run: Run) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        time.sleep(0.3)
        start_response("200 OK", [("Config-Version", "0"), ("Config-Revision", "1")])
        return [b'{"n": 1}']

    async def work() -> int:
        turns = 0
        async with AsyncClient(transport=InProcessTransport(app)) as client:
            call = asyncio.create_task(client.get("web"))
            while not call.done():
                turns += 1
                await asyncio.sleep(0.01)
            assert call.result()["n"] == 1
        return turns

    assert run(work()) > 10
