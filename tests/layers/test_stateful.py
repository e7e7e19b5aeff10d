"""A random life of services in environments, compared step by step with the slow model."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx2
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.layered import NOTHING, Refused, Unsound, World, places_in, text_of
from tests.support.server import Server

SERVICES = ("a", "b/c", "é", "d")
PLACES = ("default", "test", "prod", "prod-eu", "alone")
KEYS = ("x", "y", "z", "~", "/", "")
REFUSALS = {403, 404, 409, 410, 422}
SEEDS = st.integers(0, 2**32).map(Random)

Write = Callable[[World], object]


class LayeredLife(RuleBasedStateMachine):
    """A server and the model, which get equal requests and must agree after each."""

    folder: Path
    reads = 3

    def __init__(self) -> None:
        super().__init__()
        number = len(list(self.folder.iterdir()))
        # Each life has a server of its own: the first layer of an organisation is a step as well.
        self.server = Server(self.folder / f"life-{number}" / "instance", log_requests="false")
        self.server.instance.parent.mkdir()
        self.server.__enter__()
        self.world = World()
        self.head = self._head()
        self.pasts: dict[int, World] = {self.head: self.world}
        self.choose = Random(7)
        self.written: list[tuple[str, str]] = []

    # --- writing

    @initialize(random=SEEDS)
    def begin(self, random: Random) -> None:
        for name in SERVICES[:3]:
            self._put(name, "default", self._document(random, name, uses=0))
        for name, parent in (("test", "default"), ("prod", "test"), ("alone", None)):
            if random.random() < 0.6:
                self._create(name, parent)

    @rule(random=SEEDS)
    def put(self, random: Random) -> None:
        service, place = self._pair(random)
        self._put(service, place, self._document(random, service))

    @rule(random=SEEDS)
    def put_with_references(self, random: Random) -> None:
        service, place = self._pair(random)
        self._put(service, place, self._document(random, service, uses=0.6))

    @rule(random=SEEDS)
    def post(self, random: Random) -> None:
        service, place = self._pair(random)
        document = self._document(random, service)
        response = self._config("POST", service, place, json=document)
        self._settle(response, lambda world: world.post(service, place, text_of(document)))

    @rule(random=SEEDS)
    def replace(self, random: Random) -> None:
        service, place = self._pair(random)
        document = self._document(random, service)
        response = self._config("PATCH", service, place, json=document)
        self._settle(response, lambda world: world.append(service, place, text_of(document)))

    @rule(random=SEEDS)
    def merge(self, random: Random) -> None:
        service, place = self._pair(random)
        patch = self._document(random, service)
        headers = {"Content-Type": "application/merge-patch+json"}
        response = self._config("PATCH", service, place, json=patch, headers=headers)
        self._settle(response, lambda world: world.merge(service, place, patch))

    @rule(random=SEEDS)
    def roll_back(self, random: Random) -> None:
        service, place = self._pair(random)
        number = self._number(random, service, place)
        query = {"service": service, "environment": place, "to": number}
        response = self.server.api.http.post("/api/v1/rollback", params=query)
        self._settle(response, lambda world: world.roll_back(service, place, number))

    @rule(random=SEEDS, enabled=st.booleans())
    def enable(self, random: Random, enabled: bool) -> None:
        service, place = self._pair(random)
        self._enable(service, place, self._number(random, service, place), enabled)

    @rule(random=SEEDS)
    def delete_version(self, random: Random) -> None:
        service, place = self._pair(random)
        number = self._number(random, service, place)
        response = self._config("DELETE", service, place, version=number)
        self._settle(response, lambda world: world.delete_version(service, place, number))

    @rule(random=SEEDS)
    def delete(self, random: Random) -> None:
        """Delete a series after all its versions are off, as far as that is allowed."""
        service, place = self._pair(random)
        known = self.world.services.get(service)
        for number, version in enumerate(known.series.get(place, ()) if known else ()):
            if version.enabled:
                self._enable(service, place, number, False)
        response = self._config("DELETE", service, place)
        self._settle(response, lambda world: world.delete(service, place))

    @rule(random=SEEDS)
    def extend(self, random: Random) -> None:
        service = random.choice(SERVICES)
        targets = random.choices(SERVICES, k=random.choice((0, 1, 1, 2, 3)))
        response = self.server.api.http.patch(
            "/api/v1/services", params={"service": service}, json={"extends": targets}
        )
        self._settle(response, lambda world: world.extend(service, targets))

    @rule(random=SEEDS)
    def create_environment(self, random: Random) -> None:
        self._create(random.choice(PLACES), random.choice((*PLACES, None)))

    @rule(random=SEEDS)
    def change_environment(self, random: Random) -> None:
        name, parent = random.choice(PLACES), random.choice((*PLACES, None))
        response = self.server.api.http.patch(
            "/api/v1/environments", params={"name": name}, json={"inherits": parent}
        )
        self._settle(response, lambda world: world.change_environment(name, parent))

    @rule(random=SEEDS)
    def delete_environment(self, random: Random) -> None:
        name = random.choice(PLACES)
        response = self.server.api.http.delete("/api/v1/environments", params={"name": name})
        self._settle(response, lambda world: world.delete_environment(name))

    @rule(random=SEEDS)
    def promote(self, random: Random) -> None:
        services = random.sample(SERVICES, random.choice((1, 1, 2)))
        source, target = random.choice(PLACES), random.choice(PLACES)
        body = {"services": services, "from": source, "to": target}
        response = self.server.api.http.post("/api/v1/promotions", json=body)
        self._settle(response, lambda world: world.promote(services, source, target))

    @rule(random=SEEDS)
    def change_several(self, random: Random) -> None:
        """Publish a changeset: what its steps make together counts, and not what each makes."""
        pairs = {self._pair(random): None for _ in range(random.randint(2, 4))}
        steps: list[dict[str, Any]] = []
        for service, place in pairs:
            action = random.choice(("document", "document", "merge", "enable", "disable"))
            argument: Any = self._number(random, service, place)
            if action in {"document", "merge"}:
                argument = self._document(random, service, uses=0.4)
            steps.append({"service": service, "environment": place, action: argument})
        response = self.server.api.http.post("/api/v1/changesets", json={"changes": steps})
        self._settle(response, lambda world: _publish(world, steps))

    # --- reading

    @invariant()
    def resolved_is_what_the_model_has(self) -> None:
        pairs = [(service, place) for service in SERVICES for place in PLACES]
        for pair in sorted({*self.written, *self.choose.sample(pairs, self.reads)}):
            self._check_now(*pair)
        self.written.clear()

    @precondition(lambda self: len(self.pasts) > 1)
    @rule(random=SEEDS)
    def look_back(self, random: Random) -> None:
        for _ in range(2 * self.reads):
            revision = random.choice(sorted(self.pasts))
            self._check_past(random.choice(SERVICES), random.choice(PLACES), revision)

    def teardown(self) -> None:
        """Look at everything once, and at all of the past at the end of a life."""
        try:
            for service in SERVICES:
                for place in PLACES:
                    self._check_now(service, place)
                    for revision in sorted(self.pasts)[:: 1 if self.reads > 3 else 4]:
                        self._check_past(service, place, revision)
        finally:
            self.server.stop()

    # --- inside

    def _put(self, service: str, place: str, document: dict[str, Any]) -> None:
        response = self._config("PUT", service, place, json=document)
        self._settle(response, lambda world: world.put(service, place, text_of(document)))

    def _enable(self, service: str, place: str, number: int, enabled: bool) -> None:
        query = {"version": number, "enabled": str(enabled).lower()}
        response = self._config("PATCH", service, place, **query)
        self._settle(response, lambda world: world.set_enabled(service, place, number, enabled))

    def _create(self, name: str, parent: str | None) -> None:
        body = {"name": name, "inherits": parent}
        response = self.server.api.http.post("/api/v1/environments", json=body)
        self._settle(response, lambda world: world.create_environment(name, parent))

    def _settle(self, response: httpx2.Response, write: Write) -> None:
        """Check that the server accepted or refused as the model does."""
        trial = self.world.copy()
        try:
            write(trial)
            trial.require_sound()
        except (Refused, Unsound) as why:
            self._require(response.status_code in REFUSALS, response, why)
        else:
            self._require(response.status_code == 200, response, "it is sound")
            self.written += [
                pair
                for pair in {*trial.pairs(), *self.world.pairs()}
                if _known(trial, *pair) != _known(self.world, *pair)
            ]
            self.world = trial
        head = self._head()
        assert head == self.head or (head == self.head + 1 and response.status_code == 200)
        self.head = head
        self.pasts[head] = self.world

    def _require(self, holds: bool, response: httpx2.Response, why: object) -> None:
        request = response.request
        sent = f"{request.method} {request.url} {request.content!r}"
        assert holds, f"{sent} was answered with {response.text}; {why}"

    def _check_now(self, service: str, place: str) -> None:
        response = self._config("GET", service, place, version="current", resolved="true")
        self._check(response, self.world, service, place)

    def _check_past(self, service: str, place: str, revision: int) -> None:
        response = self._config("GET", service, place, as_of=revision, resolved="true")
        past = self.pasts[revision]
        if place not in self.world.inherits:
            assert response.status_code == 404, response.text
        elif place in past.inherits and past.basis(service, place) - self.world.lives():
            # A document that it needs was deleted: it is not there, rather than another one.
            if response.status_code == 200:
                self._check(response, past, service, place)
            assert response.status_code in {200, 404, 409, 410}, response.text
        else:
            self._check(response, past, service, place)

    def _check(self, response: httpx2.Response, world: World, service: str, place: str) -> None:
        expected = world.resolved(service, place)
        if expected is NOTHING:
            assert response.status_code == 404, response.text
            return
        assert response.status_code == 200, response.text
        assert response.text == text_of(expected)
        layers = world.layers(service, place)
        told = response.headers["Config-Layers"]
        assert told == ", ".join(f"{name}@{link}:{number}" for name, link, number in layers)
        uses = response.headers.get("Config-Uses", "")
        assert set(filter(None, uses.split(", "))) == world.uses(service, place)
        assert response.headers["Config-Version"] == str(layers[-1][2])

    def _config(self, method: str, service: str, place: str, **rest: Any) -> httpx2.Response:
        parts = {key: rest.pop(key) for key in ("json", "headers") if key in rest}
        query = {"service": service, "environment": place, **rest}
        return self.server.api.http.request(method, "/config", params=query, **parts)

    def _head(self) -> int:
        changes = self.server.api.http.get("/api/v1/changes", params={"limit": 1})
        return int(changes.headers["Config-Revision"])

    # --- what is drawn

    def _pair(self, random: Random) -> tuple[str, str]:
        known = [*self.world.inherits] if random.random() < 0.95 else PLACES
        return random.choice(SERVICES), random.choice(known)

    def _number(self, random: Random, service: str, place: str) -> int:
        known = self.world.services.get(service)
        return random.randint(0, len(known.series.get(place, ())) if known else 0)

    def _document(self, random: Random, service: str, uses: float = 0.1) -> dict[str, Any]:
        keys = random.sample(KEYS, random.randint(0, 4))
        return {key: self._value(random, service, uses, 2) for key in keys}

    def _value(self, random: Random, service: str, uses: float, depth: int) -> Any:
        if random.random() < uses:
            return {"$use": self._reference(random, service)}
        kind = random.randrange(9 if depth else 5)
        if kind >= 7:
            return [self._value(random, service, uses / 2, depth - 1) for _ in range(kind - 7 + 1)]
        if kind >= 5:
            keys = random.sample(KEYS, random.randint(0, 2))
            return {key: self._value(random, service, uses, depth - 1) for key in keys}
        return random.choice((None, None, 1, 1.0, True, "é", -0.0, 0.0, 2**64, [], {}))

    def _reference(self, random: Random, service: str) -> Any:
        """Return a reference that mostly leads somewhere, or something that is none."""
        if random.random() < 0.1:
            return random.choice(("x", "", None, 1, "a#x", "nowhere#/x", "d#/x/01", "é#/~2"))
        # To a later one mostly: of what is drawn at random nearly everything is a circle.
        later = SERVICES[SERVICES.index(service) + 1 :] or SERVICES
        target = random.choice(later if random.random() < 0.85 else SERVICES)
        found = self.world.resolved(target, random.choice([*self.world.inherits]))
        places = ["/x", ""] if found is NOTHING else list(places_in(found))
        return f"{target}#{random.choice(places)}"


def _known(world: World, service: str, place: str) -> str:
    found = world.resolved(service, place)
    return "" if found is NOTHING else text_of(found)


def _publish(world: World, steps: list[dict[str, Any]]) -> None:
    for step in steps:
        pair = step["service"], step["environment"]
        if "document" in step:
            world.put(*pair, text_of(step["document"]))
        elif "merge" in step:
            world.merge(*pair, step["merge"])
        else:
            world.set_enabled(*pair, step.get("enable", step.get("disable")), "enable" in step)


def test_whatever_happens_to_layers_the_server_resolves_as_the_model_does(
    tmp_path: Path, drill: bool
) -> None:
    class This(LayeredLife):
        folder = tmp_path
        reads = 4 if drill else 3

    run_state_machine_as_test(
        This,
        settings=settings(
            max_examples=60 if drill else 4,
            stateful_step_count=50 if drill else 25,
            deadline=None,
            database=None,
            # A failing life is short enough to read; shrinking it would take minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
