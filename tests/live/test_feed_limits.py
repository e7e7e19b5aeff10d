"""More watchers than the server has room for."""

import socket
import struct
from contextlib import ExitStack, closing

import pytest

from tests.support.feed import Watch, both_ways, has_room_for, poll
from tests.support.server import Server
from tests.support.subscribers import EVENTS, PATH, WAYS, Watcher
from tests.support.waiting import until

pytestmark = pytest.mark.many


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
    assert not has_room_for(empty, 1)

    if leave == "half-close":
        first.sock.shutdown(socket.SHUT_WR)
    else:
        if leave == "reset":
            first.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()

    until(lambda: has_room_for(empty, 1), 8)


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
