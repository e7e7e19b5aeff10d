"""Writers at every door at once: what cannot be resolved, or does not conform, is never served."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import jsonschema_rs

from tests.support.layers_api import LayersApi
from tests.support.server import Api, Server

SERVICES = ("a", "b", "c", "d", "e")
PLACES = ("default", "test", "prod", "alone")
DEFINITIONS = ("kind/one", "kind/two")
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"n": {"type": "integer"}}},
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    {"type": "object", "properties": {"n": {"type": ["integer", "string"]}, "o": {"minimum": 5}}},
    {"type": "object", "properties": {"o": {"type": "integer"}, "s": {"const": "s"}}},
]


class Vandal:
    """One that writes at random, and mostly what must be refused; use it in a ``with``."""

    def __init__(self, url: str, seed: int) -> None:
        self.random = Random(seed)
        self.api = Api(url)
        self.layers = LayersApi(self.api)
        self.done: Counter[str] = Counter()
        self.odd: list[str] = []
        self.doors: list[Callable[[], httpx2.Response]] = [
            self.put,
            self.put,
            self.merge,
            self.enable,
            self.enable,
            self.delete,
            self.extend,
            self.inherit,
            self.define,
            self.attach,
            self.attach,
            self.attach,
            self.detach,
            self.promote,
            self.promote_part,
            self.changeset,
            self.bring,
            self.roll_back,
        ]

    def act(self, times: int) -> None:
        with closing(self.api):
            for _ in range(times):
                door = self.random.choice(self.doors)
                response = door()
                self.done[f"{door.__name__} {response.status_code}"] += 1
                if response.status_code not in {200, 404, 409, 410, 422}:
                    self.odd.append(f"{door.__name__}: {response.text}")

    # --- the doors

    def put(self) -> httpx2.Response:
        return self.layers.put(self.service(), self.document(), self.place())

    def merge(self) -> httpx2.Response:
        headers = {"Content-Type": "application/merge-patch+json"}
        query = {"service": self.service(), "environment": self.place()}
        return self.api.http.patch("/config", params=query, json=self.document(), headers=headers)

    def enable(self) -> httpx2.Response:
        query: dict[str, Any] = {"service": self.service(), "environment": self.place()}
        query |= {
            "version": self.random.randrange(8),
            "enabled": self.random.choice(["true", "false"]),
        }
        return self.api.http.patch("/config", params=query)

    def delete(self) -> httpx2.Response:
        return self.layers.delete(self.service(), self.place())

    def extend(self) -> httpx2.Response:
        targets = self.random.sample(SERVICES, self.random.randrange(3))
        return self.layers.extend(self.service(), *targets)

    def inherit(self) -> httpx2.Response:
        return self.layers.inherit(self.place(), self.random.choice([*PLACES, None]))

    def define(self) -> httpx2.Response:
        return self.api.define(
            self.random.choice(DEFINITIONS),
            self.random.choice(SCHEMAS),
            applies_to=self.random.choice(["resolved", "resolved", "layers"]),
        )

    def attach(self) -> httpx2.Response:
        body = {"definition": self.random.choice(DEFINITIONS)}
        query = {"service": self.service()}
        return self.api.http.put("/api/v1/services/definition", params=query, json=body)

    def detach(self) -> httpx2.Response:
        # Rarely: all may detach, and few may attach.
        query = {"service": self.service() if self.random.random() < 0.3 else "none"}
        return self.api.http.delete("/api/v1/services/definition", params=query)

    def promote(self) -> httpx2.Response:
        services = self.random.sample(SERVICES, self.random.randint(1, 2))
        return self.layers.promote(services, self.place(), self.place())

    def promote_part(self) -> httpx2.Response:
        pointers = self.random.sample(["/n", "/o", "/s"], self.random.randint(1, 2))
        return self.layers.promote([self.service()], self.place(), self.place(), pointers)

    def changeset(self) -> httpx2.Response:
        pairs = {(self.service(), self.place()) for _ in range(3)}
        steps: list[dict[str, Any]] = []
        for service, place in pairs:
            action = self.random.choice(["document", "merge", "enable", "disable"])
            argument: Any = self.random.randrange(4)
            if action in {"document", "merge"}:
                argument = self.document()
            steps.append({"service": service, "environment": place, action: argument})
        return self.layers.changeset(*steps)

    def bring(self) -> httpx2.Response:
        documents = {service: self.document() for service in self.random.sample(SERVICES, 2)}
        query = {"environment": self.place()}
        return self.api.http.post("/api/v1/import", params=query, json=documents)

    def roll_back(self) -> httpx2.Response:
        query: dict[str, Any] = {"service": self.service(), "environment": self.place()}
        query["to"] = self.random.randrange(6)
        return self.api.http.post("/api/v1/rollback", params=query)

    # --- what is drawn

    def service(self) -> str:
        return self.random.choice(SERVICES)

    def place(self) -> str:
        return self.random.choice(PLACES)

    def document(self) -> dict[str, Any]:
        return {key: self.value() for key in self.random.sample(["n", "o", "s"], 2)}

    def value(self) -> Any:
        target = f"{self.service()}#/{self.random.choice('nos')}"
        return self.random.choice([1, 7, 7, "s", "s", None, {"$use": target}, {"n": 2}])


def watch(url: str, over: threading.Event) -> list[str]:
    """Read everything again and again; return what was neither served nor plainly absent."""
    odd = []
    with closing(Api(url)) as api:
        layers = LayersApi(api)
        while not over.is_set():
            for service in SERVICES:
                for place in PLACES:
                    response = layers.resolved(service, place)
                    if response.status_code not in {200, 404}:
                        odd.append(response.text)
    return odd


def assert_sound(server: Server) -> int:
    """Check every resolved document against its definition; return how many were checked."""
    layers, checked = LayersApi(server.api), 0
    for service in SERVICES:
        one = server.api.http.get("/api/v1/services/one", params={"service": service})
        definition = one.json().get("definition") if one.status_code == 200 else None
        schema: Any = True
        applies_to = "resolved"
        if definition is not None:
            query = {"definition": definition}
            shown = server.api.http.get("/api/v1/definitions/one", params=query).json()
            schema, applies_to = shown["schema"], shown.get("applies_to", "resolved")
        for place in PLACES:
            response = layers.resolved(service, place)
            stored = layers.http.get(
                "/config", params={"service": service, "environment": place, "version": "current"}
            )
            assert response.status_code in {200, 404}, response.text
            found = response if applies_to == "resolved" else stored
            if found.status_code == 200:
                assert jsonschema_rs.is_valid(schema, found.json()), (service, place, found.text)
                checked += definition is not None
            assert '"$use"' not in response.text
    return checked


def test_no_door_lets_anything_in_that_cannot_be_resolved_or_does_not_conform(
    tmp_path: Path, drill: bool
) -> None:
    rounds, times = (12, 150) if drill else (2, 60)
    done: Counter[str] = Counter()
    checked = 0
    with Server(tmp_path / "instance", workers=2, log_requests="false") as server:
        layers = LayersApi(server.api)
        for place, parent in zip(PLACES[1:], ("default", "test", None), strict=True):
            assert layers.environment(place, parent).status_code == 200
        for definition in DEFINITIONS:
            server.api.define(definition, SCHEMAS[0])
        for service in SERVICES:
            layers.put(service, {"n": 1, "o": 7, "s": "s"})
        for number in range(rounds):
            over = threading.Event()
            vandals = [Vandal(server.url, 100 * number + each) for each in range(6)]
            with ThreadPoolExecutor(len(vandals) + 1) as pool:
                watching = pool.submit(watch, server.url, over)
                acting = [pool.submit(vandal.act, times) for vandal in vandals]
                try:
                    for each in acting:
                        each.result()
                finally:
                    over.set()
                assert watching.result() == []
            assert [odd for vandal in vandals for odd in vandal.odd] == []
            done += sum((vandal.done for vandal in vandals), Counter())
            checked += assert_sound(server)
        server.stop()
        check = server.run("check")
        assert check.returncode == 0, check.stdout + check.stderr
        server.start()
    # It is no proof if nothing was let in, or nothing refused.
    assert checked
    for door in {each.partition(" ")[0] for each in done}:
        assert done[f"{door} 200"], done
    assert done["put 422"], done
