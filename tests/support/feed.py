"""What tests of the change feed have in common."""

import asyncio
import json
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer
from distributed_config.wire import DocumentLimits, make_document
from tests.support.server import Api, Server
from tests.support.subscribers import PATH, WAYS, Ended, Event, Watcher, reader_for, request_for
from tests.support.waiting import until

SOON = 1.8
"""Seconds. What is told at once comes in hundredths, but a machine that is shared may be late; what
is not told at once comes after two seconds (the patience of a watermark), or never."""

both_ways = pytest.mark.parametrize("way", WAYS)


Watch = Callable[..., Watcher]


def head_of(api: Api) -> int:
    return int(api.http.get(PATH).headers["Config-Revision"])


def revision_of(response: httpx2.Response) -> int:
    """The revision of a write that was done."""
    assert response.status_code == 200, response.text
    return int(response.headers["Config-Revision"])


def changeset(api: Api, *changes: dict[str, Any]) -> int:
    return revision_of(api.http.post("/api/v1/changesets", json={"changes": changes}))


def revisions(events: list[Event]) -> list[int]:
    return [event.revision for event in events]


def as_journal(events: list[Event]) -> list[dict[str, Any]]:
    return [change for event in events for change in event.changes]


AWKWARD = {
    "lines": "one\ntwo\r\nthree\rfour\n\nid: 5\nevent: reset\ndata: {}\n\n",
    "separators": "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e \x00 \x7f \ufeff",
    "scripts": "é ж 漢 🙂 \u200d \u202e",
    "\n\nkey: \u2028": {"": [None, True, 1e-7, 123456789012345678901234567890, "\\u2028 \\n"]},
    "colons": ": alive\n: alive",
}


def has_room_for(server: Server, number: int) -> bool:
    """Whether so many more can watch, one after another. They are gone when this returns."""
    with ExitStack() as held:
        came = []
        for _ in range(number):
            came.append(held.enter_context(closing(Watcher(server.port, "websocket"))))
            with suppress(Ended):
                came[-1].next()
        for watcher in came:
            if watcher.reader.closed is None:
                watcher.send(0x8, struct.pack("!H", 1000))
            watcher.rest()
    return all(watcher.reader.closed == (1000, "") for watcher in came)


@dataclass
class Polled:
    """What came of a held request, and when."""

    status: int
    body: dict[str, Any]
    at: float

    @property
    def revisions(self) -> list[int]:
        assert self.status == 200, self.body
        return sorted({change["revision"] for change in self.body["changes"]})


def poll(server: Server, headers: dict[str, str] | None = None, **query: Any) -> Polled:
    """One held request, on a connection of its own: either worker may take it."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=40)) as connection:
        connection.request("GET", f"{PATH}?{urlencode(query, doseq=True)}", headers=headers or {})
        answer = connection.getresponse()
        return Polled(answer.status, json.loads(answer.read()), time.monotonic())


@contextmanager
def polling(server: Server, number: int, **query: Any) -> Iterator[Callable[[], list[Polled]]]:
    """So many held requests at once; hands over when all are asked and none is answered."""
    with ThreadPoolExecutor(number) as pool:
        asked = [pool.submit(poll, server, **query) for _ in range(number)]
        until(lambda: all(each.running() for each in asked), 5)
        time.sleep(0.3)  # whoever would be answered at once is answered by now
        assert not any(each.done() for each in asked)
        yield lambda: [each.result() for each in asked]


# --- storms


class Follower:
    """One that watches and comes back by itself, from where it was; most leave now and then."""

    def __init__(
        self,
        port: int,
        way: str,
        seed: int,
        *,
        after: int = 0,
        patience: tuple[int, int] | None = None,
        **query: Any,
    ) -> None:
        self.way = way
        self.query = query
        self.seen: list[int] = []
        self.told: list[dict[str, Any]] = []
        self.at = 0.0
        self.came = 0
        self._port = port
        self._id = self._after = after
        self._choose = random.Random(seed)
        self._patience = patience

    async def follow(self) -> None:
        while True:
            with suppress(OSError):
                await self._watch_once()
            await asyncio.sleep(self._choose.uniform(0.02, 0.2))

    async def _watch_once(self) -> None:
        incoming, outgoing = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            reader = reader_for(self.way)
            outgoing.write(self._request())
            left = self._choose.randint(*self._patience) if self._patience else 10**9
            while left > 0 and (data := await incoming.read(1 << 16)):
                for event in reader.feed(data):
                    self._take(event)
                    left -= 1
        finally:
            outgoing.close()

    def _request(self) -> bytes:
        if self.way == "events":
            headers = {"Last-Event-ID": str(self._id)} if self.came else {}
            query = {"after": self._after, **self.query}
            return request_for(self.way, self._port, query, headers)
        return request_for(self.way, self._port, {"after": self._id, **self.query}, {})

    def _take(self, event: Event) -> None:
        if event.name == "changes":
            assert {change["revision"] for change in event.changes} == {event.revision}
            self.seen.append(event.revision)
            if self.query:
                self.told += event.changes
        elif event.name == "alive":
            assert event.revision >= self._id
        else:
            assert (event.name, event.revision) == ("hello", self._id)
            self.came += 1
        self._id = event.revision
        self.at = event.at


@contextmanager
def following(followers: list[Follower]) -> Iterator[None]:
    """Lets all of them follow, in a thread of their own; whatever they object to is raised."""
    over = threading.Event()

    async def follow_all() -> list[Any]:
        tasks = [asyncio.create_task(each.follow()) for each in followers]
        while not over.is_set() and not any(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # connections are closed by the loop, in its next rounds
        return [end for end in ends if not isinstance(end, asyncio.CancelledError)]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, follow_all())
        try:
            yield
        finally:
            over.set()
            failures = running.result()
        for failure in failures:
            raise failure


class Storm:
    """Writers that do not give up: each write is repeated until it is acknowledged."""

    def __init__(self, url: str, commits: int) -> None:
        self.acknowledged: list[int] = []
        self._url = url
        self._numbers = iter(range(commits))
        self._take_turns = threading.Lock()

    def write(self, _writer: int) -> None:
        with httpx2.Client(base_url=self._url, timeout=10, trust_env=False) as http:
            while (number := self._next()) is not None:
                while not self._acknowledged(http, number):
                    time.sleep(0.05)

    def _next(self) -> int | None:
        with self._take_turns:
            return next(self._numbers, None)

    def _acknowledged(self, http: httpx2.Client, number: int) -> bool:
        services = [f"storm/{(number + i) % 20}" for i in range(3 if number % 10 == 0 else 1)]
        steps = [{"service": each, "document": {"n": number}} for each in services]
        try:
            answer = http.post("/api/v1/changesets", json={"changes": steps})
        except httpx2.TransportError:
            return False
        if answer.status_code != 200:
            return False
        self.acknowledged.append(int(answer.headers["Config-Revision"]))
        return True


def small(number: int) -> dict[str, Any]:
    return {"n": number}


def large(number: int) -> dict[str, Any]:
    return {"text": f"{number} {'x' * 60_000}"}


def fill(server: Server, wanted: int, document: Callable[[int], dict[str, Any]] = small) -> None:
    """Adds so many revisions, as one more process on the database."""

    def put(number: int) -> None:
        service = f"many/{number % 20}"
        made = make_document(document(number), DocumentLimits(), service)
        writer.write(
            LOCAL_OPERATOR, lambda transaction: versions.put(transaction, Series(service), made)
        )

    with ExitStack() as held:
        writer = held.enter_context(open_writer(Settings(instance=server.instance)))
        pool = held.enter_context(ThreadPoolExecutor(32))
        list(pool.map(put, range(wanted)))


_TAILS = ("a", "a/b", "a/b/c", "ab/c", "b", "b/a", "c")


def random_write(api: Api, name: str, choose: random.Random, number: int) -> None:
    """Do something that may change something, and may be refused."""
    services = [f"{name}/{tail}" for tail in choose.sample(_TAILS, choose.randint(1, 4))]
    service, version = services[0], choose.randint(0, 3)
    document = {"n": number, "text": "é\u2028\n" * choose.randint(0, 3)}
    match choose.randrange(8):
        case 0 | 1:
            api.put(service, document)
        case 2:
            steps = [{"service": each, "document": document} for each in services]
            api.http.post("/api/v1/changesets", json={"changes": steps})
        case 3 | 4:
            api.enable(service, version, choose.random() < 0.5)
        case 5:
            api.delete(service, version=version)
        case 6:
            for each in range(8):
                api.enable(service, each, False)
            api.delete(service)
        case _:
            api.define(f"{name}/{choose.choice(_TAILS)}", {"title": str(number)})


def random_filter(name: str, choose: random.Random) -> dict[str, Any]:
    """Return filters for services that ``random_write`` writes."""
    ends = [*_TAILS, "a/", "a/b/", "b/", "ab/", ""]
    services = [f"{name}/{end}" for end in choose.sample(ends, choose.randint(0, 3))]
    kinds = ["version.created", "version.enabled", "version.disabled", "service.deleted"]
    kinds += ["definition.created", "service.created", "version.deleted"]
    return {
        "service": services or None,
        "kind": choose.sample(kinds, choose.choice((0, 0, 1, 3))) or None,
        "include": choose.choice((None, "document")),
    }
