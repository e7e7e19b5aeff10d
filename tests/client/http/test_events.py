"""Following the journal over a stream that is cut."""

from collections.abc import Iterator
from contextlib import closing

import pytest

import distributed_config.client.http.events as events_module
from distributed_config.client import Backoff, Client, Revision
from tests.client.conftest import QUICK
from tests.support.proxies import Plan, Proxy
from tests.support.scripts import in_thread
from tests.support.stubs import Stub
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


def numbered(revisions: Iterator[Revision], count: int) -> list[int]:
    """The values n of the next ``count`` changes."""
    found: list[int] = []
    for revision in revisions:
        assert not revision.reset
        found += [change["document"]["n"] for change in revision.changes]
        if len(found) >= count:
            break
    return found


def test_changes_are_told_once_and_in_order_however_often_the_stream_is_cut(
    client: Client, proxy: Proxy, name: str
) -> None:
    start = client.put({"n": 0}).revision
    for n in range(1, 11):
        client.put({"n": n})
    proxy.plans += [Plan(after=size) for size in range(100, 3_100, 150)]

    with Client(proxy.url, backoff=Backoff(0.002, 0.01)) as through:
        told = through.changes(start, services=[name], documents=True)
        first = numbered(told, 10)
        client.put({"n": 11})
        proxy.cut()
        client.put({"n": 12})
        rest = numbered(told, 2)

    assert first + rest == list(range(1, 13))
    assert proxy.connections > 5


def test_changes_of_other_services_and_kinds_are_left_out(client: Client, name: str) -> None:
    start = client.put({"n": 0}).revision
    client.put({"n": 1}, f"{name}/other")
    client.enable(0, False)
    client.enable(0, True)

    [kind] = next(client.changes(start, services=[name])).changes
    later = next(client.changes(start, services=[name], kinds=["version.enabled"]))

    assert kind["kind"] != "version.enabled"
    assert [each["kind"] for each in later.changes] == ["version.enabled"]


def test_a_stream_that_falls_silent_is_taken_up_again(
    client: Client, proxy: Proxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_SILENCE", 0.5)
    start = client.put({"n": 0}).revision
    client.put({"n": 1})

    with Client(proxy.url, backoff=QUICK) as through:
        told = through.changes(start, services=[name], documents=True)
        assert numbered(told, 1) == [1]
        proxy.silent = True
        client.put({"n": 2})
        thread, came = in_thread(lambda: numbered(told, 1))
        assert eventually(lambda: proxy.connections > 2)
        proxy.resume()
        thread.join(5)

    assert came == [[2]]


def test_a_server_that_ends_each_stream_at_once_is_asked_less_and_less_often() -> None:
    with (
        closing(Stub(stream())) as stub,
        closing(Client(stub.url, backoff=Backoff(first=0.01, most=10.0))) as client,
    ):
        in_thread(lambda: list(client.changes()))
        crowded = eventually(lambda: len(stub.requests) > 40, 1.0)

    assert not crowded


def test_closing_ends_the_changes_in_another_thread(client: Client, proxy: Proxy) -> None:
    through = Client(proxy.url, backoff=QUICK)
    thread, came = in_thread(lambda: list(through.changes()))
    assert eventually(lambda: proxy.connections)

    through.close()
    thread.join(3)

    assert not thread.is_alive()
    assert came == [[]]


def stream(*lines: str) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    return (head + "".join(f"{line}\n" for line in lines)).encode()


HELLO = ("event: hello", "id: 7", 'data: {"revision": 7, "epoch": "e"}', "")
GARBLED = {
    "no JSON": stream(*HELLO, "event: changes", "id: 8", "data: {]", ""),
    "no changes": stream(*HELLO, "event: changes", "id: 8", "data: {}", ""),
    "no epoch": stream("event: hello", "id: 7", "data: {}", ""),
    "half an event": stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [1'),
    "no UTF-8": stream(*HELLO) + b"event: \xff\n\n",
}


@pytest.mark.parametrize("garbled", GARBLED.values(), ids=GARBLED)
def test_a_garbled_stream_is_taken_up_again_behind_what_was_told(garbled: bytes) -> None:
    good = stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [{"n": 1}]}', "")
    with closing(Stub(garbled, good)) as stub, Client(stub.url, backoff=QUICK) as client:
        revision = next(client.changes(7))

    assert (revision.number, revision.changes) == (8, ({"n": 1},))
    assert b"after=7" in stub.requests[-1]


def test_a_comment_at_the_start_of_a_stream_does_not_start_the_journal_anew() -> None:
    good = stream(*HELLO, "event: changes", "id: 8", 'data: {"changes": [{"n": 1}]}', "")
    with (
        closing(Stub(stream(": a proxy says hello", ""), good)) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        next(client.changes(7))

    assert b"after=7" in stub.requests[-1]
