"""Many requests at once, over two workers: writes happen once and in order, no read is stale."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

import httpx2
import pytest

from distributed_config.asgi.response_cache import ResponseCache
from distributed_config.asgi.wsgi_bridge import WsgiResponse
from distributed_config.commands import schema
from distributed_config.live.exchange import Validity
from distributed_config.models.sqlite import raw_connection, writing_engine
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks, word_of
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, digest_of
from tests.support.server import JSON, Api, Server, free_port

T = TypeVar("T")

_ORGANISATION = LOCAL_OPERATOR.organisation


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """Return what the calls return, in their order; each has a thread, and all begin together."""
    ready = threading.Barrier(len(calls))

    def start(call: Callable[[], T]) -> T:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def times(number: int, call: Callable[[int], T]) -> list[T]:
    """Return what ``call`` returns for 0, 1, …, all at once."""
    return at_once([lambda i=i: call(i) for i in range(number)])


# --- writes


def test_sixty_services_created_at_once_are_each_answered_with_their_own(
    api: Api, name: str
) -> None:
    answers = times(60, lambda i: api.post(f"{name}/{i}", {"own": i}))

    assert [answer.status_code for answer in answers] == [200] * 60
    for i, answer in enumerate(answers):
        assert answer.json()["service"] == f"{name}/{i}"
        assert answer.json()["serviceJSONconf"] == f'{{"own": {i}}}'
        assert api.get(f"{name}/{i}").text == f'{{"own": {i}}}'
    assert len({answer.json()["ID"] for answer in answers}) == 60


def test_of_sixteen_creations_of_one_service_exactly_one_wins(api: Api, name: str) -> None:
    answers = times(16, lambda i: api.post(name, {"by": i}))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    lost = [answer for i, answer in enumerate(answers) if i != won]
    assert {(answer.status_code, answer.json()["code"]) for answer in lost} == {
        (422, "service-exists")
    }
    assert api.get(name).json() == {"by": won}
    assert len(api.versions(name)) == 1


def test_forty_versions_sent_at_once_get_forty_numbers_without_a_gap(api: Api, name: str) -> None:
    api.post(name, {"by": None})

    answers = times(40, lambda i: api.patch(name, {"by": i}))

    numbers = [answer.json()["version"] for answer in answers]
    assert sorted(numbers) == list(range(1, 41))
    assert [answer.headers["Config-Version"] for answer in answers] == list(map(str, numbers))
    stored = {version["number"]: version["document"]["by"] for version in api.versions(name)}
    assert stored == {0: None, **{number: i for i, number in enumerate(numbers)}}


_CONDITIONAL: dict[str, Callable[[Api, str, int, str], httpx2.Response]] = {
    "PATCH": lambda api, name, i, tag: api.patch(name, {"by": i}, headers={"If-Match": tag}),
    "PUT": lambda api, name, i, tag: api.put(name, {"by": i}, headers={"If-Match": tag}),
    "merge patch": lambda api, name, i, tag: api.patch(
        name,
        {"by": i},
        headers={"If-Match": tag, "Content-Type": "application/merge-patch+json"},
    ),
    "JSON patch": lambda api, name, i, tag: api.patch(
        name,
        [{"op": "replace", "path": "/by", "value": i}],
        headers={"If-Match": tag, "Content-Type": "application/json-patch+json"},
    ),
}


@pytest.mark.parametrize("write", _CONDITIONAL.values(), ids=_CONDITIONAL.keys())
def test_of_twelve_writers_with_one_tag_exactly_one_wins(
    api: Api, name: str, write: Callable[[Api, str, int, str], httpx2.Response]
) -> None:
    tag = api.put(name, {"by": None}).headers["ETag"]

    answers = times(12, lambda i: write(api, name, i, tag))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 11
    assert [version["document"] for version in api.versions(name)] == [{"by": None}, {"by": won}]
    assert api.get(name, version="current").headers["ETag"] == answers[won].headers["ETag"]


def test_of_twelve_that_expect_nothing_to_be_there_exactly_one_wins(api: Api, name: str) -> None:
    answers = times(12, lambda i: api.put(name, {"by": i}, headers={"If-None-Match": "*"}))

    [won] = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 11
    assert api.get(name).json() == {"by": won}


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_a_write_sent_sixteen_times_with_one_key_happens_once(
    api: Api, name: str, method: str
) -> None:
    if method == "patch":
        api.post(name, {"first": True})
    before = len(api.changes())
    send = getattr(api, method)
    key = {"Idempotency-Key": f"key of {name}"}

    answers = times(16, lambda _: send(name, {"once": True}, headers=key))
    later = send(name, {"once": True}, headers=key)

    assert {answer.status_code for answer in [*answers, later]} == {200}
    assert len({answer.content for answer in [*answers, later]}) == 1
    assert len({answer.headers["Config-Revision"] for answer in [*answers, later]}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    created = [version for version in api.versions(name) if version["document"] == {"once": True}]
    assert len(created) == 1
    changes = [change for change in api.changes()[before:] if change["service"] == name]
    revisions = {change["revision"] for change in changes}
    assert len(revisions) == 1


def test_one_key_with_two_bodies_serves_only_the_body_that_came_first(api: Api, name: str) -> None:
    api.post(name, {"first": True})
    key = {"Idempotency-Key": f"key of {name}"}

    answers = times(16, lambda i: api.patch(name, {"body": i % 2}, headers=key))

    [_, written] = api.versions(name)
    first = written["document"]["body"]
    for i, answer in enumerate(answers):
        if i % 2 == first:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


def test_a_watcher_never_sees_half_a_changeset(api: Api, name: str) -> None:
    services = [f"{name}/{letter}" for letter in "abcde"]
    for service in services:
        api.post(service, {})
    start = api.changes()[-1]["revision"]
    ended = threading.Event()

    def publish(publisher: int) -> None:
        random = Random(publisher)
        for i in range(15):
            chosen = random.sample(services, random.randint(2, 5))
            answer = _publish(api, chosen, {"publisher": publisher, "i": i}, " ".join(chosen))
            assert answer.status_code == 200, answer.text

    def watch(limit: int) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        after = start
        while True:
            last = ended.is_set()
            page = _changes(api, after, limit)
            _assert_whole(page["changes"], services)
            seen += page["changes"]
            after = page["revision"]
            if last and not page["more"]:
                return seen

    with ThreadPoolExecutor(3) as watchers:
        watching = [watchers.submit(watch, limit) for limit in (1, 3, 500)]
        try:
            times(4, publish)
        finally:
            ended.set()
        journals = [future.result() for future in watching]

    mine = [[change for change in seen if change["service"] in services] for seen in journals]
    assert mine[0] == mine[1] == mine[2]
    assert len({change["revision"] for change in mine[0]}) == 4 * 15


def test_changesets_that_expect_the_same_version_leave_no_half_behind(api: Api, name: str) -> None:
    pair = [f"{name}/left", f"{name}/right"]
    tag = [api.post(service, {}).headers["ETag"] for service in pair][1]

    def publish(i: int) -> int:
        changes = [
            {"service": pair[0], "document": {"by": i}},
            {"service": pair[1], "document": {"by": i}, "if_match": tag},
        ]
        return api.http.post("/api/v1/changesets", json={"changes": changes}).status_code

    statuses = times(8, publish)

    assert sorted(statuses) == [200] + [412] * 7
    left, right = (api.versions(service) for service in pair)
    assert [version["document"] for version in left] == [{}, {"by": statuses.index(200)}]
    for key, start in (("document", 0), ("revision", 1)):
        assert [version[key] for version in right[start:]] == [
            version[key] for version in left[start:]
        ]


def _publish(api: Api, services: list[str], document: Any, note: str) -> httpx2.Response:
    changes = [{"service": service, "document": document} for service in services]
    return api.http.post("/api/v1/changesets", json={"changes": changes}, params={"note": note})


def _changes(api: Api, after: int, limit: int) -> dict[str, Any]:
    answer = api.http.get("/api/v1/changes", params={"after": after, "limit": limit})
    page: dict[str, Any] = answer.json()
    return page


def _assert_whole(changes: list[dict[str, Any]], services: list[str]) -> None:
    """Check that each revision has a change of every service that its note names."""
    revisions: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for change in changes:
        if change["service"] in services:
            revisions[change["revision"]].append(change)
    for revision in revisions.values():
        assert [change["service"] for change in revision] == revision[0]["note"].split()
        assert [change["position"] for change in revision] == list(range(len(revision)))


# --- stale reads


class RawConnection:
    """One raw keep-alive connection, many times quicker than a client library."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def read(self, service: str, tag: str = "") -> tuple[int, str, bytes]:
        """Return status, entity tag and body of the current document."""
        known = f"If-None-Match: {tag}\r\n" if tag else ""
        self._socket.sendall(
            f"GET /config?service={service}&version=current HTTP/1.1\r\n"
            f"Host: 127.0.0.1\r\n{known}\r\n".encode()
        )
        status = int(self._reader.readline().split()[1])
        length, etag = 0, ""
        while (line := self._reader.readline()) != b"\r\n":
            field, _, value = line.partition(b":")
            if field.lower() == b"content-length":
                length = int(value)
            elif field.lower() == b"etag":
                etag = value.strip().decode()
        return status, etag, b"" if status == 304 else self._reader.read(length)


class Counter:
    """A service whose document counts up; ``known`` is the highest count that anybody has seen.

    A count is known once its write was acknowledged or a read has returned it: no read that
    begins later may return a lower one.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.known = 0
        self._lock = threading.Lock()

    def saw(self, n: int) -> None:
        with self._lock:
            self.known = max(self.known, n)


def test_no_read_returns_what_was_outdated_before_it_began(
    server: Server, api: Api, name: str, drill: bool
) -> None:
    series = [Counter(f"{name}-{i}") for i in range(3)]
    for counter in series:
        api.post(counter.service, {"n": 0})
    replayed = _replayed(api)
    ended = threading.Event()
    with ThreadPoolExecutor(3) as writers:
        writing = [writers.submit(_count_up, server.url, counter, ended) for counter in series]
        try:
            stale = times(6, lambda i: _read_on(server, series, i, 25_000 if drill else 3_000))
        finally:
            ended.set()
        for future in writing:
            future.result()

    assert stale == [[]] * 6
    assert _replayed(api) - replayed > 500, (
        "hardly any answer was replayed, so this has shown nothing"
    )


def _count_up(url: str, series: Counter, ended: threading.Event) -> None:
    with closing(Api(url)) as api:
        for n in count(1):
            answer = api.patch(series.service, {"n": n})
            assert answer.status_code == 200, answer.text
            series.saw(n)
            if ended.is_set():
                return


def _read_on(server: Server, all_series: list[Counter], reader: int, reads: int) -> list[str]:
    """Make a sixth of ``reads``, and more until every service changed often enough to show it.

    Returns those that were older than they may be.
    """
    random = Random(reader)
    stale = []
    held: dict[str, tuple[str, int]] = {}
    with RawConnection(server.port) as connection:
        deadline = time.monotonic() + 60
        for number in count():
            if number >= reads // 6 and min(each.known for each in all_series) > 50:
                break
            assert time.monotonic() < deadline, "the writers hardly write"
            series = random.choice(all_series)
            tag, n_of_tag = held.get(series.service, ("", 0))
            if random.random() < 0.5:
                tag = ""
            known = series.known
            status, etag, body = connection.read(series.service, tag)
            if status == 304:
                assert etag == tag
                n = n_of_tag
            else:
                assert status == 200, body
                n = json.loads(body)["n"]
                held[series.service] = (etag, n)
            if n < known:
                stale.append(f"{series.service}: {n} ({status}) after {known} was known")
            series.saw(n)
    return stale


def _replayed(api: Api) -> float:
    lines = api.http.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith("distconf_replayed_reads_total")
    )


def test_no_two_responses_share_a_request_id_across_workers(own_server: Server, name: str) -> None:
    """Right after the start the workers count from the same number on."""
    with closing(Api(own_server.url)) as api:
        api.http.headers["Connection"] = "close"
        api.put(name, {"n": 0})
        answers = [api.get(name, version="current") for _ in range(60)]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 60


_WEB = word_of(_ORGANISATION, "web")


@pytest.mark.parametrize(
    ("revision", "services", "everything", "replayed"),
    [
        pytest.param(6, ["web"], False, False, id="its service changed"),
        pytest.param(6, ["other", "web"], False, False, id="its service changed with another"),
        pytest.param(6, [], True, False, id="something changed that counts for all"),
        pytest.param(6, ["other"], False, True, id="another service changed"),
        pytest.param(5, ["web"], False, True, id="the response was loaded after the change"),
    ],
)
@pytest.mark.parametrize("cached_first", [True, False], ids=["cached before", "cached after"])
def test_a_response_is_replayed_only_while_it_is_valid(
    tmp_path: Path,
    revision: int,
    services: list[str],
    everything: bool,
    replayed: bool,
    cached_first: bool,
) -> None:
    """A response loaded before a commit and cached after it could otherwise stay for ever."""
    watermarks = Watermarks(tmp_path / "distconf.db")
    cache = ResponseCache(watermarks, 1_000_000)
    key = ("GET", b"/config", b"service=web", ())
    answer = WsgiResponse(200, [(b"content-type", b"application/json")], b'{"n": 5}')
    steps = [
        lambda: cache.put(key, answer, Validity((_WEB,), 5), "", ("GET", "/config", "200")),
        lambda: watermarks.raise_to(
            revision, [(_ORGANISATION, service, "default") for service in services], everything
        ),
    ]

    for step in steps if cached_first else reversed(steps):
        step()

    cached = cache.find(key)
    assert (cached is not None) is replayed
    assert cached is None or cached.body["body"] == answer.body


def test_a_watermark_raised_by_another_process_outdates_a_response(
    tmp_path: Path,
) -> None:
    database = tmp_path / "distconf.db"
    cache = ResponseCache(Watermarks(database), 1_000_000)
    key = ("GET", b"/config", b"service=web", ())
    cache.put(
        key, WsgiResponse(200, [], b"{}"), Validity((_WEB,), 5), "", ("GET", "/config", "200")
    )
    assert cache.find(key) is not None

    raising = (
        "import sys; from pathlib import Path\n"
        "from distributed_config.store.watermarks import Watermarks\n"
        f"Watermarks(Path(sys.argv[1])).raise_to(6, [({_ORGANISATION}, 'web', 'default')], False)"
    )
    subprocess.run([sys.executable, "-c", raising, str(database)], check=True, timeout=30)

    assert cache.find(key) is None


def test_watermarks_are_raised_before_a_commit_is_visible(tmp_path: Path) -> None:
    """Otherwise a response from before the commit could be replayed after it."""
    settings = Settings(instance=tmp_path)
    schema.upgrade(settings)
    path = settings.database_path
    seen: list[tuple[int, int]] = []

    class Watching(Watermarks):
        def raise_to(self, revision: int, *rest: Any) -> None:
            with raw_connection(path) as connection:
                [(committed,)] = connection.execute("SELECT revision FROM head").fetchall()
            seen.append((revision, committed))
            super().raise_to(revision, *rest)

    watermarks = Watching(path)
    writer = Writer(writing_engine(path, 5), watermarks, 5)
    try:
        for n in range(3):
            document = Document(text := f'{{"n": {n}}}', digest_of(text))
            writer.write(
                LOCAL_OPERATOR,
                lambda transaction, d=document: versions.put(transaction, Series("web"), d),
            )
            assert watermarks.head == n + 1
            assert not watermarks.covers((_WEB,), n)
            assert watermarks.covers((_WEB,), n + 1)
    finally:
        writer.stop()
    assert seen == [(1, 0), (2, 1), (3, 2)]


# --- held reads


@contextmanager
def _plain_wsgi(instance: Path) -> Iterator[Api]:
    """Serve the application with Flask's own server: threads, and no gateway before it."""
    port = free_port()
    server = Server(instance, port)
    assert server.run("db", "upgrade").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", str(port)],
        cwd=Path(__file__).parents[2],
        env=server.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with closing(Api(server.url)) as api:
            _wait_until_it_answers(port)
            yield api
    finally:
        process.terminate()
        process.wait(15)


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as probe:
                probe.request("GET", "/healthz")
                assert probe.getresponse().status == 200
                return
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module", params=["gateway", "plain WSGI"])
def either(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """Requests to a server behind the gateway, and to one on plain WSGI."""
    if request.param == "gateway":
        with closing(Api(server.url)) as api:
            yield api
    else:
        with _plain_wsgi(tmp_path_factory.mktemp("plain") / "instance") as api:
            yield api


def _hold(api: Api, name: str, tag: str, wait: int = 10) -> tuple[httpx2.Response, float]:
    """Return the response, and the time when it came."""
    headers = {"If-None-Match": tag, "Prefer": f"wait={wait}"}
    answer = api.get(name, version="current", headers=headers)
    return answer, time.monotonic()


def test_twenty_held_reads_get_the_new_document_soon_after_its_commit(
    either: Api, name: str
) -> None:
    tag = either.put(name, {"n": 0}).headers["ETag"]
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(_hold, either, name, tag) for _ in range(20)]
        time.sleep(0.5)
        assert not any(future.done() for future in waiting)
        written = either.patch(name, {"n": 1})
        committed = time.monotonic()
        answers = [future.result() for future in waiting]

    for answer, came in answers:
        assert (answer.status_code, answer.json()) == (200, {"n": 1})
        assert answer.headers["ETag"] == written.headers["ETag"]
        assert came - committed < 2  # not when the time was up


def test_a_held_read_ends_when_the_current_version_is_disabled(either: Api, name: str) -> None:
    either.put(name, {"n": 0})
    tag = either.put(name, {"n": 1}).headers["ETag"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_hold, either, name, tag)
        time.sleep(0.2)
        either.enable(name, 1, False)
        answer, _ = waiting.result()
    assert (answer.status_code, answer.json()) == (200, {"n": 0})


def test_a_read_with_an_old_tag_is_not_held(either: Api, name: str) -> None:
    old = either.put(name, {"n": 0}).headers["ETag"]
    either.put(name, {"n": 1})
    began = time.monotonic()
    answer, came = _hold(either, name, old)
    assert (answer.status_code, answer.json()) == (200, {"n": 1})
    assert came - began < 5


def test_a_held_read_without_news_ends_with_304_every_time(either: Api, name: str) -> None:
    tag = either.put(name, {"n": 0}).headers["ETag"]
    for _ in range(3):
        began = time.monotonic()
        answer, came = _hold(either, name, tag, wait=1)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert 0.9 < came - began < 5


def test_a_held_read_goes_on_over_changes_that_are_no_news(either: Api, name: str) -> None:
    """Such are a commit to a service with the same watermark, and a write without a change."""
    tag = either.put(name, {"n": 0}).headers["ETag"]
    word = word_of(_ORGANISATION, name)
    other = next(other for i in count() if word_of(_ORGANISATION, other := f"{name}-{i}") == word)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_hold, either, name, tag)
        time.sleep(0.2)
        either.put(other, {"n": 0})
        time.sleep(0.2)
        either.put(name, {"n": 0})
        time.sleep(0.2)
        assert not waiting.done()
        either.put(name, {"n": 1})
        answer, _ = waiting.result()
    assert (answer.status_code, answer.json()) == (200, {"n": 1})


def test_a_read_waits_for_its_min_revision(either: Api, name: str) -> None:
    revision = int(either.put(name, {"n": 0}).headers["Config-Revision"])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(either.get, name, version="current", min_revision=revision + 1)
        time.sleep(0.3)
        assert not waiting.done()
        either.patch(name, {"n": 1})
        answer = waiting.result()
    assert (answer.status_code, answer.json()) == (200, {"n": 1})


def test_config_works_with_the_gateway_and_without(either: Api, name: str) -> None:
    api = either
    assert api.post(name, {"n": 0}).json()["success"] is True
    assert api.post(name, {"n": 0}).status_code == 422
    assert api.patch(name, {"n": 1}).json()["version"] == 1
    assert api.put(name, {"n": 1}).json()["changed"] is False
    merge = {"Content-Type": "application/merge-patch+json"}
    assert api.patch(name, {"m": 2}, headers=merge).json()["version"] == 2
    assert api.get(name).json() == {"0": '{"n": 0}', "1": '{"n": 1}', "2": '{"n": 1, "m": 2}'}
    current = api.get(name, version="current")
    assert current.text == '{"n": 1, "m": 2}'
    known = {"If-None-Match": current.headers["ETag"]}
    assert api.get(name, version="current", headers=known).status_code == 304
    assert api.patch(name, {}, headers={"If-Match": '"0.no"'}).status_code == 412
    assert api.http.put(f"/config?service={name}", content="{", headers=JSON).status_code == 422
    assert api.get(name, version=0, format="toml").text == "n = 0\n"
    assert api.delete(name).status_code == 409
    for number in range(3):
        assert api.enable(name, number, False).status_code == 200
    assert api.delete(name).json()["success"] is True
    assert api.get(name).status_code == 404
