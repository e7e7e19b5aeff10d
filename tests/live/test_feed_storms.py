"""No watcher misses a revision, whatever happens to the server."""

import hashlib
import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.feed import Follower, Storm, following, head_of, random_filter, random_write
from tests.support.processes import workers_of
from tests.support.server import Api, Server
from tests.support.subscribers import WAYS
from tests.support.waiting import until

pytestmark = pytest.mark.many


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
                until(lambda least=least: len(storm.acknowledged) > least, 90)
                end(own)
            for each in writing:
                each.result()
            last = time.monotonic()
            head = head_of(own.api)
            until(lambda: all(each.seen[-1:] == [head] for each in followers), 20)
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
            **random_filter(name, choose),
        )
        for i in range(60 if drill else 24)
    ]
    with following(followers):
        for number in range(1_500 if drill else 150):
            random_write(api, name, choose, number)
        transaction = api.changes(start)
        expected = [
            [change for change in transaction if _passes(change, each.query)] for each in followers
        ]
        lengths = [len(each) for each in expected]
        until(lambda: [len(each.told) for each in followers] == lengths, 20)

    assert sum(lengths) > 10 * len(followers)
    for each, changes in zip(followers, expected, strict=True):
        assert [_without_document(change) for change in each.told] == changes, each.query
