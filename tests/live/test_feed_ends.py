"""Streams when a token ends, a server stops, or a backup is restored."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from distributed_config.services.access.token_format import new_token
from tests.support.feed import Watch, fill, large, polling
from tests.support.server import Server
from tests.support.subscribers import PATH, WAYS, Ended, FramesReader, Watcher
from tests.support.waiting import until

pytestmark = pytest.mark.many


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
            until(lambda: all(each.heard > 3 for each in slow), 10)
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
