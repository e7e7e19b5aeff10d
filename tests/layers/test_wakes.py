"""A commit to any layer wakes those who rest on it, and nobody reads an older document after it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from random import Random
from typing import Any

import httpx2
import pytest

from tests.support.feed import SOON, poll, revisions
from tests.support.layers_api import LayersApi, revision_of
from tests.support.server import Api, Server
from tests.support.subscribers import Watcher


@pytest.fixture(scope="module")
def layered_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("layered") / "instance", workers=2) as running:
        yield running


@pytest.fixture
def layers(layered_server: Server) -> LayersApi:
    return LayersApi(layered_server.api)


class House:
    """A service ``web`` in ``prod``, with a layer of every kind; and what it does not rest on.

    It extends ``base``, which refers to ``source``, which extends ``deep``. Its own documents
    refer to ``used``.
    """

    def __init__(self, layers: LayersApi, name: str) -> None:
        self.layers = layers
        self.name = name
        self.prod, self.side, self.other = (f"{name}.{each}" for each in ("prod", "side", "other"))
        for environment in (self.side, self.prod, self.other):
            assert layers.environment(environment).status_code == 200
        self._count = 0
        for service in ("deep", "source", "used", "apart", "more"):
            self.write(service)
        self.extend("source", "deep")
        self.write("base", source={"$use": f"{self.of('source')}#"})
        self.write("web", used={"$use": f"{self.of('used')}#/n"})
        self.extend("web", "base")
        self.write("web", self.prod)
        self.write("base", self.side)

    def of(self, service: str) -> str:
        return f"{self.name}/{service}"

    def write(self, service: str, environment: str = "default", **more: Any) -> int:
        """Put a document that is another one each time, with a key that only this series has."""
        self._count += 1
        if not more:
            more = self._kept(service, environment)
        own = f"{service} {environment}"
        document = {"n": self._count, own: self._count, **more}
        return revision_of(self.layers.put(self.of(service), document, environment))

    def _kept(self, service: str, environment: str) -> dict[str, Any]:
        query = {"service": self.of(service), "environment": environment, "version": "current"}
        response = self.layers.http.get("/config", params=query)
        known = response.json() if response.status_code == 200 else {}
        return {key: value for key, value in known.items() if isinstance(value, dict | str)} | (
            {"used": known["used"]} if "used" in known else {}
        )

    def extend(self, service: str, *targets: str) -> int:
        return revision_of(self.layers.extend(self.of(service), *map(self.of, targets)))

    def inherit(self, parent: str | None) -> int:
        return revision_of(self.layers.inherit(self.prod, parent))

    def enable(self, service: str, environment: str, version: int, enabled: bool) -> int:
        query = {"service": self.of(service), "environment": environment, "version": version}
        query["enabled"] = str(enabled).lower()
        return revision_of(self.layers.http.patch("/config", params=query))

    def promote(self) -> int:
        return revision_of(self.layers.promote([self.of("base")], "default", self.prod))

    def changeset(self) -> int:
        steps = [
            {"service": self.of(service), "merge": {f"{service} default": "changed"}}
            for service in ("apart", "deep")
        ]
        return revision_of(self.layers.changeset(*steps))

    def delete_series(self) -> int:
        self.enable("base", self.prod, 0, False)
        return revision_of(self.layers.delete(self.of("base"), self.prod))

    def changes_of_layers(self) -> list[tuple[str, Callable[[], int]]]:
        """Return what changes the resolved document of ``web`` in ``prod``, each time."""
        write, prod = self.write, self.prod
        return [
            ("its own document", partial(write, "web", prod)),
            ("its document in an inherited environment", partial(write, "web")),
            ("a document of what it extends", partial(write, "base")),
            ("the first document of what it extends there", partial(write, "base", prod)),
            ("what its document refers to", partial(write, "used")),
            ("what what it extends refers to", partial(write, "source")),
            ("what that extends", partial(write, "deep", prod)),
            ("a changeset with one of its layers", self.changeset),
            ("another extension", partial(self.extend, "web", "more", "base")),
            ("a document of that", partial(write, "more")),
            ("an extension of what is referred to", partial(self.extend, "source")),
            ("another environment to inherit", partial(self.inherit, self.side)),
            ("a document there", partial(write, "base", self.side)),
            ("an environment without a parent, and back", partial(self.inherit, "default")),
            ("a disabled version", partial(self.enable, "base", prod, 0, False)),
            ("an enabled version", partial(self.enable, "base", prod, 0, True)),
            ("a promoted layer", self.promote),
        ]

    def changes_of_others(self) -> list[Callable[[], Any]]:
        write = self.write
        return [
            partial(write, "apart"),
            partial(write, "apart", self.prod),
            partial(write, "web", self.other),
            partial(write, "base", self.other),
            partial(write, "used", self.other),
            partial(write, "fresh", self.prod),
        ]


def test_a_held_read_is_answered_by_a_change_of_any_layer_and_of_no_other(
    layered_server: Server, layers: LayersApi, name: str
) -> None:
    house = House(layers, name)
    web = house.of("web")

    def held(tag: str, seconds: int) -> tuple[httpx2.Response, float]:
        with closing(Api(layered_server.url)) as api:
            headers = {"If-None-Match": tag, "Prefer": f"wait={seconds}"}
            return LayersApi(api).resolved(web, house.prod, headers=headers), time.monotonic()

    def hold(pool: ThreadPoolExecutor, seconds: int) -> Any:
        tag = layers.resolved(web, house.prod).headers["ETag"]
        waiting = [pool.submit(held, tag, seconds) for _ in range(3)]
        time.sleep(0.15)
        return waiting

    with ThreadPoolExecutor(3) as pool:
        for what, change in house.changes_of_layers():
            waiting = hold(pool, 20)
            revision, done = change(), time.monotonic()
            for each in waiting:
                response, at = each.result()
                assert response.status_code == 200, what
                assert at - done < SOON, what
                assert int(response.headers["Config-Revision"]) >= revision, what
                assert response.json() == layers.value(web, house.prod), what
        waiting = hold(pool, 2)
        for change_other in house.changes_of_others():
            change_other()
        assert [each.result()[0].status_code for each in waiting] == [304] * 3


def test_every_way_to_watch_tells_each_change_of_a_layer_once_and_of_no_other(
    layered_server: Server, layers: LayersApi, name: str
) -> None:
    house = House(layers, name)
    query = {"service": house.of("web"), "environment": house.prod, "resolved": "true"}
    start = int(layers.resolved(house.of("web"), house.prod).headers["Config-Revision"])
    changed: list[int] = []
    polled: list[int] = []
    with ExitStack() as held, ThreadPoolExecutor(1) as pool:
        watchers = [
            held.enter_context(closing(Watcher(layered_server.port, way, after=start, **query)))
            for way in ("events", "websocket") * 2
        ]
        for watcher in watchers:
            assert watcher.next().name == "hello"
        at = start
        others = iter([*house.changes_of_others()] * 3)
        for what, change in house.changes_of_layers():
            next(others)()
            waiting = pool.submit(poll, layered_server, after=at, wait=10, **query)
            changed.append(change())
            answer = waiting.result()
            assert answer.status == 200, what
            assert answer.revisions[-1:] == changed[-1:], (what, answer)
            polled += answer.revisions
            at = answer.body["revision"]
        assert polled == changed
        for watcher in watchers:
            assert revisions(watcher.upto(changed[-1])) == changed
        for change_other in house.changes_of_others():
            change_other()
        for watcher in watchers:
            watcher.silence(0.2)
    # And afterwards: the list, in pages of any size.
    for limit in (1, 3, 500):
        listed, after = [], start
        while True:
            page = poll(layered_server, after=after, limit=limit, **query).body
            listed += [change["revision"] for change in page["changes"]]
            after = page["revision"]
            if not page["more"]:
                break
        assert set(listed) <= set(changed)
        assert len(listed) == len(set(listed))


# --- readers against writers


STEPS = 24


class Storm:
    """Writers of every layer, each with a counter of its own that only grows.

    ``counters`` are those that were acknowledged, by their key in the resolved document.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self.over = threading.Event()
        self.counters: dict[str, int] = {}
        self.revision = 0
        self.failures: list[str] = []
        self.reads = 0
        self.hits: set[str] = set()

    def of(self, service: str) -> str:
        return f"{self._name}/{service}"

    @property
    def prod(self) -> str:
        return f"{self._name}.prod"

    def prepare(self) -> None:
        layers = LayersApi(self._server.api)
        layers.environment(self.prod)
        documents = {self.of(f"extended/{step}"): {"extends": step} for step in range(STEPS)}
        layers.http.post("/api/v1/import", json=documents)
        for step in range(STEPS):
            layers.environment(f"{self._name}.{step}")
            layers.put(self.of("web"), {"inherits": step}, f"{self._name}.{step}")
        for service in ("source", "base", "web"):
            for environment in ("default", self.prod):
                self.write(layers, service, environment, 0)
        layers.extend(self.of("web"), self.of("base"))
        # Until now the keys were those of layers that are not all together.
        self.counters.clear()

    def write(self, layers: LayersApi, service: str, environment: str, number: int) -> None:
        """Put the next document of a series, and remember that it was acknowledged."""
        place = "prod" if environment == self.prod else "default"
        key = f"{service} {place}"
        document: dict[str, Any] = {key: number}
        if service == "source":
            document = {place: number}
        elif service == "base" and place == "default":
            document["source"] = {"$use": f"{self.of('source')}#"}
        self._acknowledge(layers.put(self.of(service), document, environment), key, number)

    def write_series(self, turn: int, service: str, environment: str) -> None:
        """Write a series again and again, in turns with the others.

        Writes to one layer would hide that a write to another one has woken nobody.
        """
        with closing(Api(self._server.url)) as api:
            number = 1
            while not self.over.is_set():
                if int(time.monotonic() * 20) % 6 == turn:
                    self.write(LayersApi(api), service, environment, number)
                    number += 1
                time.sleep(0.003)

    def move(self) -> None:
        """Change what ``web`` extends and what ``prod`` inherits, by and by."""
        with closing(Api(self._server.url)) as api:
            layers = LayersApi(api)
            for step in range(STEPS):
                extended = self.of(f"extended/{step}")
                done = layers.extend(self.of("web"), extended, self.of("base"))
                self._acknowledge(done, "extends", step)
                done = layers.inherit(self.prod, f"{self._name}.{step}")
                self._acknowledge(done, "inherits", step)
                if self.over.wait(0.07):
                    return

    def _acknowledge(self, response: httpx2.Response, key: str, number: int) -> None:
        if response.status_code != 200:
            self.failures.append(response.text)
            return
        # The order matters: whoever sees the revision may rely on the number.
        self.counters[key] = number
        self.revision = max(self.revision, int(response.headers["Config-Revision"]))

    def read(self, seed: int, most: int) -> None:
        random = Random(seed)
        tag, last = "", {}
        with closing(Api(self._server.url)) as api:
            layers = LayersApi(api)
            for _ in range(most):
                query: dict[str, Any] = {}
                if random.random() < 0.3:
                    query["min_revision"] = self.revision
                if tag and random.random() < 0.5:
                    query["headers"] = {"If-None-Match": tag}
                before = dict(self.counters)
                response = layers.resolved(self.of("web"), self.prod, **query)
                if response.status_code == 200:
                    tag, last = response.headers["ETag"], response.json()
                elif response.status_code != 304 or not tag:
                    self.failures.append(f"{response.status_code} {response.text}")
                    return
                if int(response.headers["Config-Revision"]) < query.get("min_revision", 0):
                    self.failures.append("older than min_revision")
                self._check(before, last)
                self.reads += 1

    def _check(self, before: dict[str, int], document: dict[str, Any]) -> None:
        flat = {**document, **{f"source {key}": value for key, value in document["source"].items()}}
        for key, number in before.items():
            if flat.get(key, -1) < number:
                self.failures.append(f"{key} was {number}: {json.dumps(document)}")
            else:
                self.hits.add(key)


def test_no_resolved_document_is_older_than_an_acknowledged_write_to_any_of_its_layers(
    layered_server: Server, name: str, drill: bool
) -> None:
    storm = Storm(layered_server, name)
    storm.prepare()
    readers, reads = (8, 3_200) if drill else (4, 300)
    series = [(s, e) for s in ("source", "base", "web") for e in ("default", storm.prod)]
    with ThreadPoolExecutor(len(series) + 1 + readers) as pool:
        writing = [pool.submit(storm.write_series, turn, *each) for turn, each in enumerate(series)]
        writing.append(pool.submit(storm.move))
        reading = [pool.submit(storm.read, seed, reads) for seed in range(readers)]
        try:
            for each in reading:
                each.result()
        finally:
            storm.over.set()
        for each in writing:
            each.result()
    assert storm.failures == []
    assert storm.reads == readers * reads
    # Every layer was written while it was read.
    assert len(storm.hits) == len(series) + 2
