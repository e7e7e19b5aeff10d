"""Streams that wait without a task end once, whatever happens at the same moment."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from distributed_config.asgi.direct_events import CHUNKS, Direct
from distributed_config.asgi.event_streams import Streams
from distributed_config.asgi.places import Place
from distributed_config.asgi.quick_protocol import QuickProtocol
from distributed_config.commands import schema
from distributed_config.live.feed import EncodedMessage, Feed, Subscription
from distributed_config.models.sqlite import writing_engine
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks


class Line:
    """A connection that takes everything."""

    def __init__(self) -> None:
        self.on_lost: Callable[[], None] = lambda: None
        self.has_ended = False

    def write_now(self, _data: bytes) -> bool:
        return True

    def detach(self, on_lost: Callable[[], None]) -> None:
        self.on_lost = on_lost

    async def send(self, data: bytes) -> None:
        self.write_now(data)

    def take_frames(self, _answer_to: Callable[[str], str | None]) -> bool:
        return False

    async def end(self, _last: bytes) -> None:
        self.has_ended = True

    def break_off(self) -> None:
        self.has_ended = True


async def _deliver(_revision: int, _message: EncodedMessage | None) -> None:
    raise AssertionError("there is nothing to deliver")


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    engine = writing_engine(settings.database_path, 5)
    with ThreadPoolExecutor(1) as threads:
        yield Streams(Feed(engine), Watermarks(settings.database_path), threads)
    engine.dispose()


async def _detached(streams: Streams, ends: list[str], service: str) -> Line:
    line = Line()
    subscription = Subscription(LOCAL_OPERATOR, 0, "epoch", services=frozenset({service}))
    has_ended = await streams.serve(
        subscription,
        _deliver,
        None,
        Place("somebody"),
        direct=Direct(line, CHUNKS),
        on_end=lambda: ends.append(service),
    )
    assert not has_ended
    return line


@pytest.mark.parametrize("first", ["lost", "ended"])
def test_a_stream_that_is_lost_while_it_gets_a_task_again_ends_once(
    streams: Streams, first: str
) -> None:
    ends: list[str] = []

    async def run() -> None:
        line = await _detached(streams, ends, "web")
        [subscriber] = streams._subscribers
        steps = [line.on_lost, subscriber.end]
        # In the same turn of the loop: the task has not made its first step.
        for step in steps if first == "lost" else reversed(steps):
            step()
        await asyncio.sleep(0.1)

    asyncio.run(run())

    assert ends == ["web"]
    assert len(streams) == 0


def test_a_stream_that_is_lost_before_its_own_task_has_begun_ends_once(streams: Streams) -> None:
    ends: list[str] = []

    async def run() -> None:
        line = Line()
        streams.take_on(
            Subscription(LOCAL_OPERATOR, 0, "epoch"),
            None,
            Place("somebody"),
            direct=Direct(line, CHUNKS),
            on_end=lambda: ends.append("ended"),
        )
        line.on_lost()
        await asyncio.sleep(0.1)

    asyncio.run(run())

    assert ends == ["ended"]
    assert len(streams) == 0


def test_subscriptions_go_with_their_subscribers(streams: Streams) -> None:
    ends: list[str] = []

    async def run() -> None:
        for number in range(20):
            line = await _detached(streams, ends, f"service-{number}")
            line.on_lost()

    asyncio.run(run())
    gc.collect()

    assert len(ends) == 20
    assert len(streams._wanted) == 0


def test_subscribers_who_want_the_same_share_a_subscription(streams: Streams) -> None:
    async def run() -> None:
        for _ in range(3):
            await _detached(streams, [], "web")

    asyncio.run(run())

    assert len({id(each.subscription) for each in streams._subscribers}) == 1


def test_a_connection_that_is_lost_before_it_is_detached_says_so() -> None:
    """gunicorn tells the request a turn or two of the loop later."""
    lost: list[str] = []

    async def run() -> None:
        protocol = QuickProtocol.__new__(QuickProtocol)
        protocol.worker = SimpleNamespace(loop=asyncio.get_running_loop())
        protocol._conn_lost_handled = True
        protocol.detach(lambda: lost.append("lost"))
        assert lost == []  # whoever detaches it is not ready for that yet
        await asyncio.sleep(0)

    asyncio.run(run())

    assert lost == ["lost"]
