"""What the change feed tells: the form of events, filters, documents, and what is refused."""

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest

from distributed_config.app import create_app
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from tests.support.feed import (
    AWKWARD,
    SOON,
    Watch,
    as_journal,
    both_ways,
    changeset,
    head_of,
    poll,
    polling,
    revision_of,
    revisions,
)
from tests.support.server import Api, Server
from tests.support.subscribers import _KEY, EVENTS, PATH, WAYS, Watcher

pytestmark = pytest.mark.many

_ACCEPT = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()


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


@both_ways
def test_no_document_splits_an_event(
    server: Server, api: Api, name: str, watch: Watch, way: str
) -> None:
    start = head_of(api)
    live = watch(server, way, include="document", service=name)
    api.put(name, AWKWARD, note="a note: \u2028 é")
    last = revision_of(api.put(name, {"after": 1}))

    asked = {"after": start, "service": name, "include": "document"}
    for watcher in (live, watch(server, way, **asked)):
        first, second = watcher.upto(last)
        assert first.changes[-1]["document"] == AWKWARD
        assert list(first.changes[-1]["document"]) == list(AWKWARD)
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
