"""Who asks the change feed, is held, and hears of a commit."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.feed import (
    AWKWARD,
    SOON,
    Watch,
    both_ways,
    head_of,
    poll,
    polling,
    revision_of,
    revisions,
)
from tests.support.server import Api, Server
from tests.support.subscribers import PATH, WAYS, Watcher

pytestmark = pytest.mark.many


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
        api.put(name, AWKWARD)
        [found] = answers()

    assert found.body["changes"][-1]["document"] == AWKWARD


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
