"""The change feed over a real server: at once, held, as server-sent events, over WebSockets.

Two small clients are written out here, from the specifications and with sockets alone: one reads
server-sent events, one speaks WebSocket. They refuse whatever a strict client may refuse.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest

from distributed_config.app import create_app
from distributed_config.services import versions
from distributed_config.services.access.token_format import new_token
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer
from distributed_config.store.watermarks import Watermarks
from distributed_config.wire import DocumentLimits, make_document
from tests.support.needs import need
from tests.support.processes import workers_of
from tests.support.server import Api, Server
from tests.support.subscribers import (
    _KEY,
    EVENTS,
    PATH,
    WAYS,
    Ended,
    Event,
    FramesReader,
    Watcher,
    frame_of,
    reader_for,
    request_for,
)

pytestmark = pytest.mark.many

SOON = 1.8
"""Seconds. What is told at once comes in hundredths, but a machine that is shared may be late; what
is not told at once comes after two seconds (the patience of a watermark), or never."""

_ACCEPT = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()

both_ways = pytest.mark.parametrize("way", WAYS)


# --- the two clients: what they understand


# --- the two clients: how they are held


Watch = Callable[..., Watcher]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """``watch(server, way, …)`` begins to watch and hands over at the first event."""
    with ExitStack() as held:

        def begin(server: Server, way: str, *, quiet: bool = True, **rest: Any) -> Watcher:
            watcher = held.enter_context(closing(Watcher(server.port, way, **rest)))
            if quiet:
                first = watcher.next()
                assert first.name == "hello", first
            return watcher

        yield begin


# --- what tests have in common


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


def wait_until(holds: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def as_journal(events: list[Event]) -> list[dict[str, Any]]:
    return [change for event in events for change in event.changes]


# --- the form of events


def test_server_sent_events_begin_with_the_head_and_when_to_come_back(
    server: Server, api: Api, name: str, watch: Watch
) -> None:
    api.put(name, {"n": 0})
    seen = [watch(server, "events", quiet=False) for _ in range(12)]
    firsts = [watcher.next() for watcher in seen]

    head, epoch = head_of(api), api.http.get(PATH).json()["epoch"]
    for watcher, first in zip(seen, firsts, strict=True):
        headers = watcher.reader.headers
        assert watcher.reader.status == 200
        assert headers["content-type"].partition(";")[0] == EVENTS
        assert headers["cache-control"] == "no-store"
        assert "content-length" not in headers
        assert "x-request-id" in headers
        assert (first.name, first.revision) == ("hello", head)
        assert first.data == {"revision": head, "epoch": epoch}
        assert first.retry is not None
        assert 500 <= first.retry <= 5_000
    assert len({first.retry for first in firsts}) > 1


def test_a_websocket_begins_with_the_head(server: Server, api: Api, watch: Watch) -> None:
    watcher = watch(server, "websocket", quiet=False)
    first = watcher.next()

    assert watcher.reader.status == 101
    assert watcher.reader.headers["sec-websocket-accept"] == _ACCEPT
    epoch = api.http.get(PATH).json()["epoch"]
    head = head_of(api)
    assert first.data == {
        "event": "hello",
        "id": f"{head}.{epoch}",
        "revision": head,
        "epoch": epoch,
    }


@both_ways
def test_every_revision_is_one_event_that_says_what_the_journal_says(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    live = watch(server, way)
    api.put(f"{name}/a", {"n": 0}, note="why: \u2028 and \n and é")
    api.enable(f"{name}/a", 0, False)
    last = changeset(api, *({"service": f"{name}/{i}", "document": {"i": i}} for i in range(5)))

    transaction = api.changes(start)
    for watcher in (live, watch(server, way, after=start)):
        events = watcher.upto(last)
        assert revisions(events) == [start + 1, start + 2, start + 3]
        assert as_journal(events) == transaction
        assert len(events[-1].changes) == 10
        assert "document" not in events[-1].changes[0]


@both_ways
def test_a_stream_goes_on_behind_the_revision_that_is_named(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    made = [revision_of(api.put(name, {"n": i})) for i in range(4)]
    seen = {"Last-Event-ID": str(made[1])}

    by_query = watch(server, way, quiet=False, after=made[0], service=name)
    by_header = watch(server, way, quiet=False, headers=seen, service=name)
    header_first = watch(server, way, quiet=False, after=0, headers=seen, service=name)

    for watcher, began in ((by_query, 0), (by_header, 1), (header_first, 1)):
        hello = watcher.next()
        assert (hello.name, hello.revision) == ("hello", made[began])
        assert revisions(watcher.upto(made[-1])) == made[began + 1 :]


@both_ways
def test_a_stream_from_the_first_revision_tells_the_whole_journal(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    last = revision_of(api.put(name, {"n": 0}))

    events = watch(server, way, after=0).upto(last)

    assert revisions(events) == list(range(1, last + 1))
    assert as_journal(events) == api.changes()


@both_ways
@pytest.mark.parametrize(
    "elsewhere", [{"after": 10**12}, {"after": 2**63 - 1}, {"after": 0, "epoch": "00000000"}]
)
def test_a_past_that_cannot_be_continued_is_a_reset_at_the_head(
    server: Server, api: Api, name: str, watch: Watch, way: str, elsewhere: dict[str, Any]
) -> None:
    head = revision_of(api.put(name, {"n": 0}))
    watcher = watch(server, way, quiet=False, **elsewhere)

    first = watcher.next()
    assert (first.name, first.revision) == ("reset", head)
    assert first.data["epoch"] == api.http.get(PATH).json()["epoch"]
    following = revision_of(api.put(name, {"n": 1}))
    assert revisions(watcher.upto(following)) == [following]


@both_ways
def test_the_right_epoch_is_no_reset(server: Server, api: Api, watch: Watch, way: str) -> None:
    answer = api.http.get(PATH).json()

    watch(server, way, after=answer["revision"], epoch=answer["epoch"])


@pytest.mark.parametrize("seen", ["9" * 18, "9" * 19, "9" * 4_000, "-1", "1.0", "0x1", "1 2", "x"])
def test_an_id_that_was_never_given_is_a_reset_or_refused(
    server: Server, api: Api, watch: Watch, seen: str
) -> None:
    watcher = watch(server, "events", quiet=False, headers={"Last-Event-ID": seen})

    if seen in {"9" * 18, "1.0"}:  # beyond the head, and in another epoch
        assert watcher.next().name == "reset"
    else:
        assert watcher.problem()["status"] == 422


# --- filters


_LOOKALIKES = ("a/x", "a/x/y", "a", "a-b", "a.b", "a0", "A/x", "b/a/x", "aa/x", "_/x", "ab/x")


@both_ways
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["a/"], {"a/x", "a/x/y"}),
        (["a"], {"a"}),
        (["a/", "a"], {"a", "a/x", "a/x/y"}),
        (["a/x", "A/x", "none"], {"a/x", "A/x"}),
        (["_/", "a/x/"], {"_/x", "a/x/y"}),
        (["%/"], set()),
    ],
)
def test_a_filter_by_service_means_the_same_live_later_and_at_once(
    server: Server,
    api: Api,
    name: str,
    watch: Watch,
    way: str,
    wanted: list[str],
    found: set[str],
) -> None:
    start = head_of(api)
    services = [f"{name}/{each}" for each in [*wanted, "end"]]
    live = watch(server, way, service=services)
    for tail in _LOOKALIKES:
        api.put(f"{name}/{tail}", {"n": 0})
    last = revision_of(api.put(f"{name}/end", {}))

    expected = {f"{name}/{each}" for each in [*found, "end"]}
    for watcher in (live, watch(server, way, after=start, service=services)):
        told = as_journal(watcher.upto(last))
        assert {change["service"] for change in told} == expected
    answer = api.http.get(PATH, params={"after": start, "service": services}).json()
    assert {change["service"] for change in answer["changes"]} == expected


@both_ways
def test_filters_by_kind_and_by_service_hold_together(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    kinds = ["version.disabled", "service.deleted"]
    query = {"service": [f"{name}/a", f"{name}/b/"], "kind": kinds}
    start = head_of(api)
    live = watch(server, way, **query)
    for tail in ("a", "b/x", "c"):
        api.put(f"{name}/{tail}", {})
        api.enable(f"{name}/{tail}", 0, False)
    last = revision_of(api.delete(f"{name}/a"))

    for watcher in (live, watch(server, way, after=start, **query)):
        told = [(change["service"], change["kind"]) for change in as_journal(watcher.upto(last))]
        assert told == [
            (f"{name}/a", "version.disabled"),
            (f"{name}/b/x", "version.disabled"),
            (f"{name}/a", "service.deleted"),
        ]


@both_ways
def test_of_a_changeset_a_watcher_is_told_its_own_part(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    live = watch(server, way, service=f"{name}/mine/")
    all_of_it = watch(server, way, service=f"{name}/")
    steps = [f"{name}/{tail}" for tail in ("mine/1", "other", "mine/2")]
    made = changeset(api, *({"service": each, "document": {}} for each in steps))

    for watcher in (live, watch(server, way, after=start, service=f"{name}/mine/")):
        [event] = watcher.upto(made)
        services = [change["service"] for change in event.changes]
        assert services == [steps[0], steps[0], steps[2], steps[2]]
        assert [change["position"] for change in event.changes] == [0, 1, 4, 5]
    assert len(all_of_it.upto(made)[0].changes) == 6


@both_ways
def test_what_a_filter_leaves_out_does_not_leave_out_what_comes_later(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    live = watch(server, way, service=f"{name}/mine")
    wanted = []
    for i in range(60):
        tail = "mine" if i % 20 == 19 else "other"
        made = revision_of(api.put(f"{name}/{tail}", {"n": i}))
        if tail == "mine":
            wanted.append(made)

    assert revisions(live.upto(wanted[-1])) == wanted
    later = watch(server, way, after=start, service=f"{name}/mine")
    assert revisions(later.upto(wanted[-1])) == wanted
    following = revision_of(api.put(f"{name}/mine", {"n": "more"}))
    for watcher in (live, later):
        assert revisions(watcher.upto(following)) == [following]


@both_ways
@pytest.mark.parametrize("service", ["", "/", "\0", "\ufffd"])
def test_a_filter_that_nothing_passes_is_still_a_filter(
    server: Server, api: Api, name: str, watch: Watch, way: str, service: str
) -> None:
    watcher = watch(server, way, after=0, service=service)
    api.put(name, {})

    watcher.silence(0.3)


# --- documents inside the events


_AWKWARD = {
    "lines": "one\ntwo\r\nthree\rfour\n\nid: 5\nevent: reset\ndata: {}\n\n",
    "separators": "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e \x00 \x7f \ufeff",
    "scripts": "é ж 漢 🙂 \u200d \u202e",
    "\n\nkey: \u2028": {"": [None, True, 1e-7, 123456789012345678901234567890, "\\u2028 \\n"]},
    "colons": ": alive\n: alive",
}


@both_ways
def test_no_document_splits_an_event(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    live = watch(server, way, include="document", service=name)
    api.put(name, _AWKWARD, note="a note: \u2028 é")
    last = revision_of(api.put(name, {"after": 1}))

    asked = {"after": start, "service": name, "include": "document"}
    for watcher in (live, watch(server, way, **asked)):
        first, second = watcher.upto(last)
        assert first.changes[-1]["document"] == _AWKWARD
        assert list(first.changes[-1]["document"]) == list(_AWKWARD)
        assert second.changes[-1]["document"] == {"after": 1}
        assert as_journal([first, second]) == api.http.get(PATH, params=asked).json()["changes"]


def _document_of_size(size: int) -> dict[str, str]:
    """One whose stored form has this many bytes."""
    left = size - len(json.dumps({"text": ""}))
    return {"text": "é" * (left // 2) + "x" * (left % 2)}


@both_ways
def test_a_document_is_told_up_to_64_kib(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    query = {"include": "document", "service": f"{name}/"}
    live = watch(server, way, **query)
    fits = _document_of_size(65_536)
    assert len(json.dumps(fits, ensure_ascii=False).encode()) == 65_536
    api.put(f"{name}/fits", fits)
    last = revision_of(api.put(f"{name}/not", _document_of_size(65_537)))

    for watcher in (live, watch(server, way, after=start, **query)):
        events = watcher.upto(last)
        assert [event.changes[-1]["document"] for event in events] == [fits, None]
    answer = api.http.get(PATH, params={"after": start, **query}).json()
    told = [each["document"] for each in answer["changes"] if each["version"] == 0]
    assert told == [fits, None]


@both_ways
def test_the_document_is_the_one_that_became_current(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    live = watch(server, way, include="document", service=name)
    api.put(name, {"n": 0})
    api.put(name, {"n": 1})
    api.enable(name, 1, False)
    api.enable(name, 1, True)
    api.http.post("/api/v1/rollback", params={"service": name, "to": 0})
    api.enable(name, 0, False)
    api.enable(name, 1, False)
    last = revision_of(api.enable(name, 2, False))

    told = [event.changes[-1] for event in live.upto(last)]
    assert [(change["current"], change["document"]) for change in told] == [
        (0, {"n": 0}),
        (1, {"n": 1}),
        (0, {"n": 0}),
        (1, {"n": 1}),
        (2, {"n": 0}),
        (2, {"n": 0}),
        (2, {"n": 0}),
        (None, None),
    ]


# --- asking at once, and being held


def test_an_answer_at_once_names_where_to_go_on(api: Api, name: str) -> None:
    start = head_of(api)
    made = [revision_of(api.put(name, {"n": i})) for i in range(5)]
    asked = {"after": start, "service": name, "limit": 2}

    first = api.http.get(PATH, params=asked)
    rest = api.http.get(PATH, params={**asked, "after": made[0], "limit": 100}).json()

    assert (first.json()["revision"], first.json()["more"]) == (made[0], True)
    assert int(first.headers["Config-Revision"]) == made[-1]
    assert [change["revision"] for change in rest["changes"]] == made[1:]
    assert (rest["revision"], rest["more"]) == (made[-1], False)
    none = api.http.get(PATH, params={"after": 0, "service": f"{name}/none"}).json()
    assert (none["changes"], none["revision"], none["more"]) == ([], made[-1], False)


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
        wait_until(lambda: all(each.running() for each in asked), 5)
        time.sleep(0.3)  # whoever would be answered at once is answered by now
        assert not any(each.done() for each in asked)
        yield lambda: [each.result() for each in asked]


def test_a_commit_wakes_all_who_are_held_on_both_workers(
    server: Server, api: Api, name: str
) -> None:
    with polling(server, 16, after=head_of(api), wait=20, service=name) as answers:
        made = revision_of(api.put(name, {"n": 0}))
        done = time.monotonic()
        found = answers()

    assert [each.revisions for each in found] == [[made]] * 16
    assert max(each.at for each in found) - done < SOON


def test_a_preference_to_wait_is_a_wait(server: Server, api: Api, name: str) -> None:
    headers = {"Prefer": "respond-async, wait=20"}
    with polling(server, 4, after=head_of(api), headers=headers) as answers:
        made = revision_of(api.put(name, {"n": 0}))
        done = time.monotonic()
        found = answers()

    assert [each.revisions for each in found] == [[made]] * 4
    assert max(each.at for each in found) - done < SOON


@pytest.mark.parametrize("query", [{"service": "nobody"}, {"service": ["a", "b/"]}, {}])
def test_a_wait_ends_at_its_time_with_the_head(
    server: Server, api: Api, query: dict[str, Any]
) -> None:
    head = head_of(api)
    began = time.monotonic()
    found = poll(server, after=head, wait=1, **query)

    assert 0.9 < found.at - began < 2.5
    assert found.revisions == []
    assert (found.body["revision"], found.body["more"]) == (head, False)


def test_a_wait_is_over_at_once_where_there_is_something(
    server: Server, api: Api, name: str
) -> None:
    made = revision_of(api.put(name, {"n": 0}))
    began = time.monotonic()

    found = poll(server, after=made - 1, wait=20)

    assert found.revisions == [made]
    assert found.at - began < SOON


def test_a_wait_goes_on_over_what_its_filter_leaves_out(
    server: Server, api: Api, name: str
) -> None:
    query = {"service": [f"{name}/mine", f"{name}/ours/"], "kind": "version.created"}
    with polling(server, 4, after=head_of(api), wait=20, **query) as answers:
        for i in range(5):
            api.put(f"{name}/other", {"n": i})
        api.put(f"{name}/mine", {}, dry_run="true")
        made = revision_of(api.put(f"{name}/ours/x", {}))
        done = time.monotonic()
        found = answers()

    assert [each.revisions for each in found] == [[made]] * 4
    assert found[0].body["revision"] == made
    assert max(each.at for each in found) - done < SOON


def test_a_wait_may_ask_for_documents(server: Server, api: Api, name: str) -> None:
    query = {"service": name, "include": "document"}
    with polling(server, 1, after=head_of(api), wait=20, **query) as answers:
        api.put(name, _AWKWARD)
        [found] = answers()

    assert found.body["changes"][-1]["document"] == _AWKWARD


def test_a_revision_that_is_not_reached_is_refused_and_not_waited_for(server: Server) -> None:
    began = time.monotonic()
    found = poll(server, after=10**12, wait=20)

    assert (found.status, found.body["code"]) == (410, "epoch-changed")
    assert found.at - began < SOON


def test_who_is_held_again_and_again_misses_nothing(server: Server, api: Api, name: str) -> None:
    start = head_of(api)
    made: list[int] = []
    done = threading.Event()

    def follow(_: int) -> list[int]:
        after, seen = start, list[int]()
        while not (done.is_set() and after >= made[-1]):
            found = poll(server, after=after, wait=1, service=name)
            seen += found.revisions
            after = found.body["revision"]
        return seen

    with ThreadPoolExecutor(4) as pool:
        following = [pool.submit(follow, i) for i in range(4)]
        made += [revision_of(api.put(name, {"n": i})) for i in range(60)]
        done.set()
        found = [each.result() for each in following]

    assert found == [made] * 4


# --- who hears of a commit, and when


@both_ways
def test_a_commit_is_told_on_both_workers_at_once(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    watchers = [watch(server, way, service=name) for _ in range(12)]
    for i in range(5):
        made = revision_of(api.put(name, {"n": i}))
        done = time.monotonic()
        events = [watcher.news() for watcher in watchers]
        assert revisions(events) == [made] * 12
        assert time.monotonic() - done < SOON


def test_a_commit_of_another_process_is_told_to_all(
    server: Server, api: Api, name: str, watch: Watch, tmp_path: Path
) -> None:
    file = tmp_path / "import.json"
    file.write_text(json.dumps({f"{name}/{i}": {"n": i} for i in range(30)}))
    watchers = [watch(server, way, service=f"{name}/") for way in WAYS * 4]

    with polling(server, 6, after=head_of(api), wait=30, service=f"{name}/") as answers:
        done = server.run("import", str(file))
        ended = time.monotonic()
        assert done.returncode == 0, done.stderr
        events = [watcher.news() for watcher in watchers]
        assert time.monotonic() - ended < SOON
        found = answers()

    made = head_of(api)
    assert revisions(events) == [made] * 8
    assert all(len(event.changes) == 60 for event in events)
    assert [each.revisions for each in found] == [[made]] * 6
    assert max(each.at for each in found) - ended < SOON


@both_ways
def test_who_comes_at_the_very_moment_of_a_commit_misses_nothing(
    server: Server, api: Api, name: str, way: str, drill: bool
) -> None:
    stop = threading.Event()
    made: list[int] = []
    told: list[tuple[int, list[int]]] = []

    def write() -> None:
        for i in count():
            if stop.is_set():
                return
            made.append(revision_of(api.put(name, {"n": i})))

    def come(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(100 if drill else 10):
            with closing(Watcher(server.port, way, service=name)) as watcher:
                began = watcher.next().revision
                told.append((began, [watcher.news().revision for _ in range(choose.randint(1, 5))]))

    with ThreadPoolExecutor(7) as pool:
        writing = pool.submit(write)
        coming = [pool.submit(come, i) for i in range(6)]
        try:
            for each in coming:
                each.result()
        finally:
            stop.set()
        writing.result()

    assert len(told) == 600 if drill else 60
    for began, seen in told:
        first = next(i for i, revision in enumerate(made) if revision > began)
        assert seen == made[first : first + len(seen)], f"behind {began}"


# --- what is refused


@pytest.mark.parametrize(
    "query",
    [
        {"after": "x"},
        {"after": "-1"},
        {"after": 2**63},
        {"after": ["1", "2"]},
        {"kind": "nothing"},
        {"include": "documents"},
        {"limit": 0},
        {"what": 1},
        {"service": [str(i) for i in range(51)]},
    ],
    ids=str,
)
@both_ways
def test_a_bad_question_is_refused_before_a_stream_begins(
    server: Server, watch: Watch, way: str, query: dict[str, Any]
) -> None:
    watcher = watch(server, way, quiet=False, **query)
    [wrong] = query

    if way == "events":
        problem = watcher.problem()
        assert (problem["status"], problem["code"]) == (422, "invalid")
        assert {each["parameter"] for each in problem["problems"]} == {wrong}
    else:
        code, reason = watcher.close_code()
        assert code == 4422
        assert wrong in reason


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"},
    ],
    ids=str,
)
@both_ways
def test_another_site_gets_no_stream(
    server: Server, watch: Watch, way: str, headers: dict[str, str]
) -> None:
    watcher = watch(server, way, quiet=False, headers=headers, after=0)

    if way == "events":
        assert watcher.problem()["status"] == 403
    else:
        assert watcher.close_code()[0] == 4403


def test_a_page_of_this_server_gets_a_stream(server: Server, watch: Watch) -> None:
    headers = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}

    watch(server, "websocket", headers=headers)


@pytest.mark.parametrize("target", ["/api/v1/services", "/api/v1/nothing", "/healthz", "/"])
def test_there_is_no_websocket_elsewhere(server: Server, watch: Watch, target: str) -> None:
    watcher = watch(server, "websocket", quiet=False, target=target)

    assert watcher.close_code()[0] == 4404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_a_read_begins_a_stream(api: Api, method: str) -> None:
    refused = api.http.request(method, PATH, headers={"Accept": EVENTS}, content=b"{}")

    assert (refused.status_code, refused.json()["code"]) == (405, "method-not-allowed")


def test_asking_for_the_head_of_a_stream_gets_it_and_no_stream(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), 3)) as sock:
        lines = f"Host: localhost\r\nAccept: {EVENTS}\r\n\r\n"
        sock.sendall(f"HEAD {PATH} HTTP/1.1\r\n{lines}".encode())
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream, */*;q=0.1", True),
        ("Text/Event-Stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("*/*", False),
        ("text/event-stream;q=0, application/json", False),
    ],
)
def test_who_asks_for_events_gets_events_and_nobody_else(
    server: Server, accept: str, streams: bool
) -> None:
    headers = {"Accept": accept}
    with httpx2.stream("GET", f"{server.url}{PATH}", headers=headers, trust_env=False) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(EVENTS) == streams


def test_an_old_client_gets_events_until_it_goes(server: Server, api: Api, name: str) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), 5)) as sock:
        lines = f"Host: localhost\r\nAccept: {EVENTS}\r\n\r\n"
        sock.sendall(f"GET {PATH}?service={name} HTTP/1.0\r\n{lines}".encode())
        text = b""
        while b"event: hello" not in text:
            text += sock.recv(1 << 16)
        assert b"chunked" not in text
        made = revision_of(api.put(name, {}))
        while b"event: changes" not in text:
            text += sock.recv(1 << 16)
        assert f"\n\nid: {made}.".encode() in text


# --- a plain WSGI server


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name there
        """Says nothing."""


@pytest.fixture
def plain_url(server: Server) -> Iterator[str]:
    """The same data behind the standard library's WSGI server."""
    app = create_app(Settings(instance=server.instance))
    with make_server("127.0.0.1", 0, app, handler_class=_Silent) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}"
        finally:
            serving.shutdown()
            thread.join()
            app.extensions["distributed_config"].close()


def test_a_plain_server_refuses_a_stream_and_holds_a_question(
    api: Api, plain_url: str, name: str
) -> None:
    def ask(accept: str = "*/*", **query: Any) -> httpx2.Response:
        headers = {"Accept": accept, "Connection": "close"}
        with httpx2.Client(base_url=plain_url, timeout=20, trust_env=False) as http:
            return http.get(PATH, params=query, headers=headers)

    refused = ask(EVENTS)
    assert (refused.status_code, refused.json()["code"]) == (406, "not-representable")
    assert "distconf serve" in refused.json()["detail"]
    assert ask(EVENTS, after="x").status_code == 422
    assert ask().status_code == 200

    head, began = head_of(api), time.monotonic()
    assert ask(after=head, wait=1).json()["changes"] == []
    assert 0.9 < time.monotonic() - began < 5

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, after=head, wait=10)
        time.sleep(0.3)
        assert not held.done()
        made = revision_of(api.put(name, {}))
        done = time.monotonic()
        assert held.result().json()["revision"] == made
        assert time.monotonic() - done < SOON


# --- WebSockets


def test_pings_are_answered_with_what_they_say(server: Server, watch: Watch) -> None:
    watcher = watch(server, "websocket")

    for payload in (b"", b"here?", bytes(range(125))):
        watcher.send(0x9, payload)
        watcher.wait_for(lambda reader, wanted=payload: reader.pongs[-1:] == [wanted])
    for value in (1, "é\u2028", None, [1, {"a": "b"}]):
        watcher.say({"ping": value})
        answer = {"event": "pong", "pong": value}
        watcher.wait_for(lambda reader, wanted=answer: reader.said[-1] == wanted)


def test_a_message_in_parts_with_a_ping_between_them_is_one_message(
    server: Server, watch: Watch
) -> None:
    watcher = watch(server, "websocket")

    watcher.send(0x1, b'{"ping": ', end=False)
    watcher.send(0x9, b"between")
    watcher.send(0x0, b'"in p', end=False)
    watcher.send(0x0, b'arts"}')

    watcher.wait_for(lambda reader: reader.said[-1] == {"event": "pong", "pong": "in parts"})
    watcher.wait_for(lambda reader: reader.pongs == [b"between"])


_SAID = {
    "nothing": b"",
    "no JSON": b"not JSON",
    "a list": b"[1, 2]",
    "a word": b'"ping"',
    "an empty object": b"{}",
    "a huge integer": b'{"ping": ' + b"1" * 5_000 + b"}",
    "far too deep": b"[" * 60_000,
    "deep": b'{"ping": ' + b"[" * 900 + b"]" * 900 + b"}",
    "infinity": b'{"ping": 1e999}',
    "not a number": b'{"ping": NaN}',
    "half a pair": b'{"ping": "\\ud800"}',
    "another question": b'{"after": 0, "epoch": "x"}',
}


@pytest.mark.parametrize("said", _SAID.values(), ids=_SAID.keys())
def test_whatever_a_watcher_says_the_stream_goes_on(
    server: Server, api: Api, name: str, watch: Watch, said: bytes
) -> None:
    watcher = watch(server, "websocket", service=name)

    watcher.send(0x1, said)
    watcher.send(0x2, said)
    watcher.say({"ping": "then"})

    watcher.wait_for(lambda reader: reader.said[-1] == {"event": "pong", "pong": "then"})
    made = revision_of(api.put(name, {}))
    assert watcher.news().revision == made


_BROKEN = {
    "unmasked": (b"\x81\x02{}", 1002),
    "a reserved bit": (frame_of(0x1 | 0x40, b"{}"), 1002),
    "a reserved code": (frame_of(0x3, b"{}"), 1002),
    "no UTF-8": (frame_of(0x1, b"\xff\xfe"), 1007),
    "a ping in parts": (frame_of(0x9, b"", end=False), 1002),
    "too long": (b"\x81\xff" + (1 << 62).to_bytes(8) + b"mask", 1009),
    "more than a ping": (frame_of(0x1, b"x" * (1 << 20)), 1009),
}


@pytest.mark.parametrize(("raw", "code"), _BROKEN.values(), ids=_BROKEN.keys())
def test_who_breaks_the_protocol_is_told_so_and_let_go(
    server: Server, watch: Watch, raw: bytes, code: int
) -> None:
    watcher = watch(server, "websocket")

    watcher.sock.sendall(raw)
    watcher.rest(10)

    assert watcher.reader.closed is not None
    assert watcher.reader.closed[0] == code


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_is_answered_with_the_same_code(server: Server, watch: Watch, code: int) -> None:
    watcher = watch(server, "websocket")

    watcher.send(0x8, struct.pack("!H", code) + b"bye")
    watcher.rest()

    assert watcher.reader.closed is not None
    assert watcher.reader.closed[0] == code


# --- too many


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process that has room for two watchers."""
    with Server(tmp_path_factory.mktemp("small") / "instance", watchers=2, workers=1) as running:
        yield running


@pytest.fixture
def empty(small_server: Server) -> Server:
    """The same when nobody watches any more."""
    wait_until(lambda: _room_for(small_server, 2), 10)
    return small_server


def _room_for(server: Server, number: int) -> bool:
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


@both_ways
def test_one_watcher_too_many_is_told_to_come_again(empty: Server, watch: Watch, way: str) -> None:
    for each in WAYS:
        watch(empty, each)

    refused = watch(empty, way, quiet=False)

    if way == "events":
        assert refused.problem()["code"] == "too-many-watchers"
        assert refused.reader.status == 503
        assert int(refused.reader.headers["retry-after"]) > 0
    else:
        code, reason = refused.close_code()
        assert code == 4503
        assert "DISTCONF_WATCHERS" in reason


@pytest.mark.parametrize("leave", ["close", "reset", "half-close"])
@both_ways
def test_there_is_room_again_when_a_watcher_goes(
    empty: Server, watch: Watch, way: str, leave: str
) -> None:
    first, _ = watch(empty, way), watch(empty, way)
    assert not _room_for(empty, 1)

    if leave == "half-close":
        first.sock.shutdown(socket.SHUT_WR)
    else:
        if leave == "reset":
            first.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()

    wait_until(lambda: _room_for(empty, 1), 8)


def test_all_who_come_at_once_do_not_get_past_the_limit(empty: Server) -> None:
    with ExitStack() as held:
        came = [held.enter_context(closing(Watcher(empty.port, "events"))) for _ in range(30)]
        let_in = sum(watcher.status() == 200 for watcher in came)

    assert let_in == 2


def test_those_who_do_not_watch_are_answered_when_there_are_too_many_watchers(
    empty: Server, watch: Watch, name: str
) -> None:
    for _ in range(2):
        watch(empty, "websocket")
    empty.api.put(name, {"n": 0})

    accept = {"Accept": "application/json, text/event-stream"}
    assert empty.api.get(name, version="current", headers=accept).status_code == 200
    assert empty.api.http.get(PATH, headers=accept).status_code == 200
    assert poll(empty, after=0, wait=5).status == 200
    assert empty.api.http.post(PATH, headers={"Accept": EVENTS}).status_code == 405


# --- documents of what is gone, told later


Told = Callable[[Server, int, str], list[dict[str, Any]]]


def _told_at_once(server: Server, start: int, name: str) -> list[dict[str, Any]]:
    asked = {"after": start, "service": name, "include": "document"}
    found: list[dict[str, Any]] = server.api.http.get(PATH, params=asked).json()["changes"]
    return found


def _told_later(way: str) -> Told:
    def told(server: Server, start: int, name: str) -> list[dict[str, Any]]:
        last = _told_at_once(server, start, name)[-1]["revision"]
        asked: dict[str, Any] = {"after": start, "service": name, "include": "document"}
        with closing(Watcher(server.port, way, **asked)) as watcher:
            assert watcher.next().name == "hello"
            return as_journal(watcher.upto(last))

    return told


late = pytest.mark.parametrize(
    "told",
    [_told_at_once, *(_told_later(way) for way in WAYS)],
    ids=["at once", *WAYS],
)


@late
def test_a_service_made_anew_lends_its_documents_to_no_change_before(
    empty: Server, name: str, told: Told
) -> None:
    api = empty.api
    start = head_of(api)
    for life in ("first", "second"):
        api.put(name, {"life": life})
        api.enable(name, 0, False)
        api.delete(name)
    api.put(name, {"life": "third"})

    changes = [each for each in told(empty, start, name) if each["kind"] == "version.created"]
    found = [each["document"] for each in changes]
    assert found[0] in (None, {"life": "first"})
    assert found[1] in (None, {"life": "second"})
    assert found[2] == {"life": "third"}


@both_ways
def test_a_document_that_was_deleted_is_told_to_nobody_any_more(
    empty: Server, name: str, watch: Watch, way: str
) -> None:
    start = head_of(empty.api)
    live = watch(empty, "websocket", include="document", service=name)
    first = revision_of(empty.api.put(name, {"secret": 1}))
    assert live.upto(first)[0].changes[-1]["document"] == {"secret": 1}
    empty.api.put(name, {"n": 1})
    empty.api.enable(name, 0, False)
    last = revision_of(empty.api.delete(name, version=0))
    live.upto(last)

    later = watch(empty, way, after=start, include="document", service=name)
    told = [change["document"] for change in as_journal(later.upto(last)) if change["current"] == 0]
    assert told == [None]


def test_a_mark_that_was_raised_in_vain_keeps_nobody_waiting(
    empty: Server, name: str, watch: Watch
) -> None:
    head = head_of(empty.api)
    marks = Watermarks(empty.database)
    marks.raise_to(head + 3, [], affects_all=True)
    watchers = [watch(empty, way) for way in WAYS]

    began = time.monotonic()
    assert poll(empty, after=head, wait=1).revisions == []
    assert 0.9 < time.monotonic() - began < 5
    with polling(empty, 4, after=head, wait=20) as answers:
        marks.raise_to(head + 3, [], affects_all=True)
        made = revision_of(empty.api.put(name, {}))
        done = time.monotonic()
        assert [watcher.news().revision for watcher in watchers] == [made] * 2
        assert [each.revisions for each in answers()] == [[made]] * 4
        assert time.monotonic() - done < SOON


# --- the end of a server, and a restore


def test_a_websocket_says_whether_its_token_or_the_server_has_ended(tmp_path: Path) -> None:
    administrator = new_token()
    with Server(tmp_path / "instance", auth="token", admin_token=administrator) as own:
        chief = {"Authorization": f"Bearer {administrator}"}
        asked = {"name": "watching", "role": "reader"}
        made = own.api.http.post("/api/v1/tokens", json=asked, headers=chief).json()
        headers = [{"Authorization": f"Bearer {made['token']}"}, chief]
        with ExitStack() as held:
            watchers = [
                held.enter_context(closing(Watcher(own.port, "websocket", headers=each)))
                for each in headers
            ]
            assert [each.next().name for each in watchers] == ["hello", "hello"]
            own.api.http.delete("/api/v1/tokens", params={"id": made["id"]}, headers=chief)
            assert end_of(watchers[0]) == 4401
            own.stop()
            assert end_of(watchers[1]) == 1001


def end_of(watcher: Watcher) -> int:
    """The code that a WebSocket is closed with, after whatever it tells."""
    watcher.rest()
    assert isinstance(watcher.reader, FramesReader)
    assert watcher.reader.closed is not None
    return watcher.reader.closed[0]


def test_a_server_that_stops_ends_every_stream_cleanly(
    tmp_path: Path, name: str, watch: Watch
) -> None:
    def end(watcher: Watcher) -> float:
        assert watcher.rest(10) == []
        return time.monotonic()

    with Server(tmp_path / "instance") as own:
        own.api.put(name, {"n": 0})
        watchers = [watch(own, way) for way in WAYS * 6]
        watchers += [watch(own, way, after=0, service="nobody") for way in WAYS]
        with polling(own, 4, after=1, wait=30) as answers, ThreadPoolExecutor(20) as pool:
            ends = [pool.submit(end, each) for each in watchers]
            began = time.monotonic()
            code = own.stop()
            held = answers()
            ended = [each.result() for each in ends]

    assert code == 0
    assert max(ended) - began < 3
    for watcher in watchers:
        if watcher.way == "events":
            assert watcher.reader.complete, "the last chunk was not sent"
        else:
            assert watcher.reader.closed is not None
            assert watcher.reader.closed[0] == 1001
    assert [each.revisions for each in held] == [[]] * 4
    assert max(each.at for each in held) - began < 3
    assert "Traceback" not in own.log.read_text()


def test_a_server_that_stops_ends_what_is_read_slowly_and_leaves_what_is_not_read(
    tmp_path: Path, watch: Watch
) -> None:
    with Server(tmp_path / "instance", workers=1) as own:
        fill(own, 60, large)
        asked = {"after": 0, "include": "document", "buffer": 4096}
        for way in WAYS * 2:
            watch(own, way, **asked)
        slow = [watch(own, way, **asked) for way in WAYS]
        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(_read_slowly, each) for each in slow]
            wait_until(lambda: all(each.heard > 3 for each in slow), 10)
            began = time.monotonic()
            code = own.stop()
            took = time.monotonic() - began
            for each in reading:
                each.result()

    assert code == 0
    assert took < 12, "ten seconds are promised"
    assert slow[0].reader.complete, "the last chunk was not sent"
    assert slow[1].reader.closed is not None
    assert slow[1].reader.closed[0] == 1001


def _read_slowly(watcher: Watcher) -> None:
    """Reads at most some twenty events in a second, to the end."""
    with suppress(Ended):
        while True:
            watcher.next(20)
            time.sleep(0.05)


def test_after_a_restore_every_watcher_is_reset_and_goes_on(tmp_path: Path, watch: Watch) -> None:
    backup = tmp_path / "backup.db"
    with Server(tmp_path / "instance", workers=1) as own:
        for i in range(3):
            own.api.put("web", {"n": i})
        assert own.run("backup", str(backup)).returncode == 0
        for i in range(3):
            own.api.put("web", {"lost": i})
        before = own.api.http.get(PATH).json()
        assert before["revision"] == 6
        own.stop()
        done = own.run("restore", str(backup))
        assert done.returncode == 0, done.stderr
        own.start()

        now = own.api.http.get(PATH).json()
        assert now["epoch"] != before["epoch"]
        watchers = []
        for way in WAYS:
            seen = {"Last-Event-ID": "6"}
            watchers += [
                watch(own, way, quiet=False, after=6),
                watch(own, way, quiet=False, headers=seen),
                watch(own, way, quiet=False, after=1, epoch=before["epoch"]),
                watch(own, way, quiet=False, headers={"Last-Event-ID": "2"}, epoch=before["epoch"]),
            ]
        for watcher in watchers:
            first = watcher.next()
            assert (first.name, first.revision, first.data["epoch"]) == ("reset", 3, now["epoch"])
        own.api.put("web", {"n": "new"})
        for watcher in watchers:
            assert watcher.news().revision == 4
        for query in ({"after": 6}, {"after": 1, "epoch": before["epoch"]}):
            assert own.api.http.get(PATH, params={**query, "wait": 5}).status_code == 410
        for watcher in watchers:
            watcher.close()


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


def test_no_watcher_misses_a_revision_while_the_server_is_killed_again_and_again(
    tmp_path: Path, drill: bool
) -> None:
    watchers, commits, kills = (200, 2_000, 5) if drill else (40, 400, 2)
    with Server(tmp_path / "instance") as own:
        followers = [
            Follower(own.port, WAYS[i % 2], i, patience=(20, 400)) for i in range(watchers)
        ]
        storm = Storm(own.url, commits)
        ends = [_kill_a_worker, *[_kill_and_start] * kills]
        with following(followers), ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(storm.write, i) for i in range(4)]
            for number, end in enumerate(ends, 1):
                least = number * commits // (len(ends) + 1)
                wait_until(lambda least=least: len(storm.acknowledged) > least, 90)
                end(own)
            for each in writing:
                each.result()
            last = time.monotonic()
            head = head_of(own.api)
            wait_until(lambda: all(each.seen[-1:] == [head] for each in followers), 20)
        transaction = own.api.changes()

    whole = list(range(1, head + 1))
    assert sorted({change["revision"] for change in transaction}) == whole
    assert set(storm.acknowledged) <= set(whole)
    assert head >= commits
    assert [i for i, each in enumerate(followers) if each.seen != whole] == []
    assert max(each.at for each in followers) - last < 2
    assert min(each.came for each in followers) > kills


def _kill_a_worker(server: Server) -> None:
    os.kill(min(workers_of(server)), signal.SIGKILL)


def _kill_and_start(server: Server) -> None:
    server.kill()
    server.start()


_TAILS = ("a", "a/b", "a/b/c", "ab/c", "b", "b/a", "c")


def _random_write(api: Api, name: str, choose: random.Random, number: int) -> None:
    """Something that may change something, and may be refused."""
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


def _random_filter(name: str, choose: random.Random) -> dict[str, Any]:
    ends = [*_TAILS, "a/", "a/b/", "b/", "ab/", ""]
    services = [f"{name}/{end}" for end in choose.sample(ends, choose.randint(0, 3))]
    kinds = ["version.created", "version.enabled", "version.disabled", "service.deleted"]
    kinds += ["definition.created", "service.created", "version.deleted"]
    return {
        "service": services or None,
        "kind": choose.sample(kinds, choose.choice((0, 0, 1, 3))) or None,
        "include": choose.choice((None, "document")),
    }


def _passes(change: dict[str, Any], query: dict[str, Any]) -> bool:
    """What the filters mean, written a second time."""
    service, services = change["service"], query["service"]
    if query["kind"] is not None and change["kind"] not in query["kind"]:
        return False
    if services is None:
        return True
    return service is not None and any(
        service.startswith(each) if each.endswith("/") else service == each for each in services
    )


def _without_document(change: dict[str, Any]) -> dict[str, Any]:
    """The change alone, once its document is seen to be the right one."""
    document = change.pop("document", None)
    if document is not None and change["version"] == change["current"]:
        text = json.dumps(document, ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == change["digest"]
    return change


def test_whatever_the_filters_a_watcher_hears_what_the_journal_has(
    server: Server, api: Api, name: str, drill: bool
) -> None:
    start = head_of(api)
    choose = random.Random(20 if drill else 10)
    followers = [
        Follower(
            server.port,
            WAYS[i % 2],
            i,
            after=start,
            patience=(2, 30),
            **_random_filter(name, choose),
        )
        for i in range(60 if drill else 24)
    ]
    with following(followers):
        for number in range(1_500 if drill else 150):
            _random_write(api, name, choose, number)
        transaction = api.changes(start)
        expected = [
            [change for change in transaction if _passes(change, each.query)] for each in followers
        ]
        lengths = [len(each) for each in expected]
        wait_until(lambda: [len(each.told) for each in followers] == lengths, 20)

    assert sum(lengths) > 10 * len(followers)
    for each, changes in zip(followers, expected, strict=True):
        assert [_without_document(change) for change in each.told] == changes, each.query


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
        wait_until(lambda: all(each.seen[-1:] == [head] for each in followers), 60)

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
    wait_until(lambda: heard.events, 16)

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
    wait_until(lambda: any(event.name == "changes" for event in heard.events), 5)
