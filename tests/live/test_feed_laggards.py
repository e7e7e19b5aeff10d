"""Watchers that are far behind, stop reading, or have nothing to hear."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.feed import (
    SOON,
    Follower,
    Storm,
    Watch,
    both_ways,
    fill,
    following,
    head_of,
    large,
    revision_of,
    revisions,
)
from tests.support.needs import need
from tests.support.processes import workers_of
from tests.support.server import Api, Server
from tests.support.subscribers import WAYS, Ended, Event, Watcher
from tests.support.waiting import until

pytestmark = pytest.mark.many


@pytest.fixture(scope="module")
def laden_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes with a journal of large documents, for tests of many watchers."""
    with Server(tmp_path_factory.mktemp("laden") / "instance") as running:
        fill(running, LADEN, large)
        yield running


LADEN = 150


def test_who_is_thousands_of_revisions_behind_catches_up_while_others_write(
    laden_server: Server, drill: bool
) -> None:
    behind, watchers = (10_000, 60) if drill else (2_000, 16)
    start = head_of(laden_server.api)
    fill(laden_server, behind)
    choose = random.Random(1)
    places = (0, start, start + 199, start + 200, start + 201, start + 999, start + behind - 1)
    starts = [choose.choice(places) for _ in range(watchers)]
    followers = [
        Follower(laden_server.port, WAYS[i % 2], i, after=after) for i, after in enumerate(starts)
    ]
    storm = Storm(laden_server.url, 150)
    with following(followers), ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(storm.write, i) for i in range(2)]:
            each.result()
        head = head_of(laden_server.api)
        until(lambda: all(each.seen[-1:] == [head] for each in followers), 60)

    assert head == start + behind + 150
    for after, each in zip(starts, followers, strict=True):
        assert each.seen == list(range(after + 1, head + 1)), f"behind {after}"


# --- readers that stop reading


def memory_of(server: Server) -> int:
    """What the server's processes take of the memory, in bytes; what they share counts once."""
    assert server.process is not None
    total = 0
    for pid in [server.process.pid, *workers_of(server)]:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        [line] = [line for line in rollup.splitlines() if line.startswith("Pss:")]
        total += int(line.split()[1]) << 10
    return total


def read_on(server: Server, watcher: Watcher, began: int, last: int) -> tuple[list[int], int]:
    """Every revision up to ``last``, and how often the watcher had to come back for them."""
    found, came_back = [began], 0
    with ExitStack() as held:
        while found[-1] < last:
            try:
                found.append(watcher.news(20).revision)
            except Ended:
                came_back += 1
                asked = {"after": found[-1], "include": "document", "service": "large"}
                watcher = held.enter_context(closing(Watcher(server.port, watcher.way, **asked)))
                assert watcher.next().name == "hello"
    return found[1:], came_back


def test_readers_that_stop_reading_cost_others_nothing_and_lose_nothing(
    laden_server: Server, watch: Watch, drill: bool
) -> None:
    need(Path("/proc/self/smaps_rollup").exists(), "/proc/self/smaps_rollup")
    number, commits = (100, 300) if drill else (30, 120)
    own, start = laden_server, head_of(laden_server.api)
    asked = {"include": "document", "service": "large"}
    healthy = [watch(own, way, **asked) for way in WAYS * 2]
    deaf = [watch(own, WAYS[i % 2], buffer=4096, **asked) for i in range(number)]
    before = memory_of(own)
    made: list[int] = []
    slowest = 0.0
    for i in range(commits):
        if i % 2:
            own.api.put("not-large", {"n": i})
        made.append(revision_of(own.api.put("large", large(i))))
        done = time.monotonic()
        assert [each.news().revision for each in healthy] == [made[-1]] * len(healthy)
        slowest = max(slowest, time.monotonic() - done)
    own.api.put("not-large", {"n": "last"})
    grown = memory_of(own) - before
    if drill:
        time.sleep(45)  # half a minute is what they are given, and then it has to be noticed
    for watcher in deaf[: number // 2]:
        watcher.close()
    found = [read_on(own, watcher, start, made[-1]) for watcher in deaf[number // 2 :]]

    assert slowest < SOON
    assert grown < 100 << 20, f"{grown >> 20} MiB for {number} who do not read"
    assert [i for i, (read, _) in enumerate(found) if read != made] == []
    if drill:
        assert [came_back for _, came_back in found] == [1] * len(found)


def test_readers_that_come_from_far_behind_and_do_not_read_cost_little_memory(
    laden_server: Server, drill: bool
) -> None:
    need(Path("/proc/self/smaps_rollup").exists(), "/proc/self/smaps_rollup")
    number, own = 100 if drill else 30, laden_server
    asked = {"after": 0, "include": "document", "buffer": 4096}
    with ExitStack() as held:
        before = memory_of(own)
        for i in range(number):
            deaf = held.enter_context(closing(Watcher(own.port, WAYS[i % 2], **asked)))
            assert deaf.next().name == "hello"
        healthy = [held.enter_context(closing(Watcher(own.port, way))) for way in WAYS * 4]
        assert [each.next(10).name for each in healthy] == ["hello"] * len(healthy)
        for _ in range(5):
            made = revision_of(own.api.put("many/0", {"again": time.time()}))
            assert [each.news(10).revision for each in healthy] == [made] * len(healthy)
        grown = memory_of(own) - before

    assert grown < number * 3 << 20, f"{grown >> 20} MiB for {number} who do not read"


# --- what takes its time


@dataclass
class Quiet:
    """A watcher who wants what never comes, and what it heard instead."""

    began: float
    wanted: str
    revision: int
    events: list[Event]


@pytest.fixture(scope="module", autouse=True)
def quiet(server: Server) -> Iterator[dict[str, Quiet]]:
    """Watches from the beginning of this file, so that nobody has to wait at its end."""
    over = threading.Event()
    found: dict[str, Quiet] = {}

    def listen(watcher: Watcher, heard: list[Event]) -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                heard.append(watcher.next(0.2))

    with ExitStack() as held, ThreadPoolExecutor(len(WAYS)) as pool:
        for way in WAYS:
            wanted = f"quiet-{way}"
            watcher = held.enter_context(closing(Watcher(server.port, way, service=wanted)))
            assert watcher.next().name == "hello"
            made = revision_of(server.api.put(f"other-{way}", {"n": time.time()}))
            found[way] = Quiet(time.monotonic(), wanted, made, [])
            pool.submit(listen, watcher, found[way].events)
        try:
            yield found
        finally:
            over.set()


@both_ways
def test_a_stream_without_news_says_that_it_is_alive_and_where_it_is(
    server: Server, api: Api, quiet: dict[str, Quiet], watch: Watch, way: str
) -> None:
    heard = quiet[way]
    until(lambda: heard.events, 16)

    assert {event.name for event in heard.events} == {"alive"}
    times = [heard.began, *(event.at for event in heard.events), time.monotonic()]
    assert max(later - earlier for earlier, later in pairwise(times)) < 15
    ids = revisions(heard.events)
    assert ids == sorted(ids)
    assert ids[0] >= heard.revision

    # Who comes back with such an id has lost nothing.
    made = revision_of(api.put(heard.wanted, {"n": time.time()}))
    headers = {"Last-Event-ID": str(ids[-1])}
    later = watch(server, way, headers=headers, service=heard.wanted)
    assert later.news().revision == made
    until(lambda: any(event.name == "changes" for event in heard.events), 5)
