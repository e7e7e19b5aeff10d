"""WebSockets that wait without a task, on gunicorn's protocol and real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from distributed_config.asgi.direct_events import CONNECTION
from distributed_config.asgi.event_streams import Streams
from distributed_config.asgi.frames import frame
from distributed_config.asgi.places import Place
from distributed_config.asgi.quick_protocol import QuickProtocol
from distributed_config.asgi.websocket import take_over
from distributed_config.asgi.wsgi_bridge import Receive, Scope, Send
from distributed_config.commands import schema
from distributed_config.live.feed import Feed, Subscription
from distributed_config.models.sqlite import writing_engine
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from tests.support.subscribers import FramesReader, frame_of, request_for

REQUEST = request_for("websocket", 80, {}, {})


class Site:
    """A process that serves nothing but streams over WebSockets."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.protocols: list[QuickProtocol] = []
        self.clients: list[Client] = []
        self.taken: list[bool] = []
        self.ended = 0
        self.port = 0
        # Called when the client may have spoken already, before the WebSocket is accepted.
        self.before: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if self.before is not None:
            await self.before()
        await send({"type": "websocket.accept"})
        subscription = Subscription(LOCAL_OPERATOR, 0, "epoch")
        direct = take_over(scope[CONNECTION], subscription)
        self.taken.append(direct is not None)
        if direct is None:
            return
        self.streams.take_on(
            subscription, None, Place("somebody"), direct=direct, on_end=self._count
        )
        raise asyncio.CancelledError

    def _count(self) -> None:
        self.ended += 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        worker = SimpleNamespace(
            cfg=Config(),
            log=logging.getLogger(__name__),
            asgi=self,
            loop=loop,
            nr=0,
            nr_conns=0,
            alive=True,
            max_requests=1 << 30,
        )

        def connected() -> QuickProtocol:
            self.protocols.append(QuickProtocol(worker, None))
            return self.protocols[-1]

        server = await loop.create_server(connected, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for client in self.clients:
                client.writer.transport.abort()
            await until(lambda: all(each._conn_lost_handled for each in self.protocols))


class Client:
    """One WebSocket, and what came on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.frames = FramesReader()
        self.writer = writer
        self._reader = reader

    async def until(self, seen: Callable[[FramesReader], Any]) -> None:
        async with asyncio.timeout(5):
            while not seen(self.frames):
                data = await self._reader.read(1 << 16)
                assert data, "the server closed the connection"
                self.frames.feed(data)

    async def closed(self) -> None:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(5):
            self.frames.feed(await self._reader.read())


async def connect(site: Site) -> Client:
    client = Client(*await asyncio.open_connection("127.0.0.1", site.port))
    site.clients.append(client)
    client.writer.write(REQUEST)
    return client


async def watch(site: Site) -> Client:
    """Return a client whose stream waits."""
    client = await connect(site)
    await client.until(lambda frames: frames.said)
    await until(lambda: all(each.resume is not None for each in site.streams._subscribers))
    return client


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    engine = writing_engine(settings.database_path, 5)
    with ThreadPoolExecutor(1) as threads:
        yield Site(Streams(Feed(engine), Watermarks(settings.database_path), threads))
    engine.dispose()


def in_loop(site: Site, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def opened() -> None:
        async with site.open():
            await run()

    asyncio.run(opened())


def test_websockets_that_wait_have_no_task(site: Site) -> None:
    async def run() -> None:
        await watch(site)
        before = asyncio.all_tasks()
        clients = [await watch(site) for _ in range(20)]
        await until(lambda: len(asyncio.all_tasks()) <= len(before))

        for number, client in enumerate(clients):
            client.writer.write(frame_of(0x1, b'{"ping": %d}' % number))
        for number, client in enumerate(clients):
            await client.until(lambda frames: len(frames.said) > 1)
            assert client.frames.said[1] == {"event": "pong", "pong": number}
        assert len(asyncio.all_tasks()) <= len(before)

    in_loop(site, run)


def test_a_client_that_leaves_ends_its_stream_once(site: Site) -> None:
    async def run() -> None:
        polite, rude = [await watch(site) for _ in range(2)]
        polite.writer.write(frame_of(0x8, b"\x03\xe8"))
        await polite.closed()
        rude.writer.transport.abort()
        await until(lambda: not site.streams)

        assert polite.frames.closed == (1000, "")
        assert site.ended == 2

    in_loop(site, run)


@pytest.mark.parametrize("answers", [True, False])
def test_the_server_closes_when_the_client_has_answered_or_should_have(
    site: Site, answers: bool
) -> None:
    async def run() -> None:
        client = await watch(site)
        [subscriber] = site.streams._subscribers
        subscriber.end()
        await client.until(lambda frames: frames.closed)
        began = asyncio.get_running_loop().time()
        client.writer.write(frame_of(0x9, b"still here?"))
        if answers:
            client.writer.write(frame_of(0x8, b"\x11\x31"))
        await client.closed()
        await until(lambda: site.ended == 1)
        lasted = asyncio.get_running_loop().time() - began

        assert client.frames.closed is not None
        assert client.frames.closed[0] == 4401
        assert client.frames.pongs == []
        assert lasted < 0.7 if answers else 0.7 < lasted < 3
        assert len(site.streams) == 0

    in_loop(site, run)


def test_a_stream_that_is_ended_before_its_request_is_over_says_so(site: Site) -> None:
    """The request ends a few turns of the loop after the stream was taken from it."""

    async def run() -> None:
        site.streams.close()
        client = await connect(site)
        await client.until(lambda frames: frames.closed)

        assert [said["event"] for said in client.frames.said] == ["hello"]
        assert client.frames.closed is not None
        assert client.frames.closed[0] == 1001

    in_loop(site, run)


def test_who_speaks_before_the_websocket_is_accepted_keeps_its_task(site: Site) -> None:
    """gunicorn's reader may be in the middle of a frame then."""

    async def run() -> None:
        async def speak() -> None:
            site.clients[0].writer.write(b"\x89")
            await until(lambda: site.protocols[0]._has_said_something)

        site.before = speak
        await connect(site)
        await until(lambda: site.taken)

        assert site.taken == [False]

    in_loop(site, run)


def test_who_does_not_read_the_answers_is_not_asked_for_more_questions(site: Site) -> None:
    ping = frame_of(0x9, bytes(125))
    sent = 0

    async def run() -> None:
        nonlocal sent
        client = await watch(site)
        [protocol] = site.protocols
        async with asyncio.timeout(20):
            while not protocol._reading_paused:
                client.writer.write(ping * 500)
                sent += 500
                await asyncio.sleep(0)
        held = protocol.transport.get_write_buffer_size()
        assert held < 1 << 20

        await client.until(lambda frames: len(frames.pongs) == sent)
        client.writer.write(frame_of(0x8, b"\x03\xe8"))
        await client.closed()

        assert client.frames.closed == (1000, "")

    in_loop(site, run)


def test_who_ends_a_stream_of_which_much_is_unread_gets_it_all_and_the_closing_frame(
    site: Site,
) -> None:
    async def run() -> None:
        client = await watch(site)
        [protocol] = site.protocols
        protocol.transport.write(frame(0xA, bytes(1 << 22)))

        client.writer.write(frame_of(0x8, b"\x03\xe8"))
        await until(lambda: site.ended == 1)
        await client.closed()

        assert [len(pong) for pong in client.frames.pongs] == [1 << 22]
        assert client.frames.closed == (1000, "")

    in_loop(site, run)
