"""A random life of some services, compared step by step with a simple model of the promises."""

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
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

from tests.support.server import Api, Server

PROBLEM = "application/problem+json"


# --- the model


@dataclass
class Version:
    """One version in the model."""

    text: str
    revision: int
    note: str
    enabled: bool = True
    deleted: bool = False

    @property
    def value(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value


@dataclass
class Service:
    """One service in the model; ``born`` is its first revision, since names may be used again."""

    born: int
    versions: list[Version] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    @property
    def current(self) -> int | None:
        enabled = [number for number, version in enumerate(self.versions) if version.enabled]
        return enabled[-1] if enabled else None

    @property
    def existing(self) -> dict[int, Version]:
        return {
            number: version for number, version in enumerate(self.versions) if not version.deleted
        }


@dataclass(frozen=True)
class Change:
    """One entry of the model's journal."""

    revision: int
    position: int
    kind: str
    service: str
    version: int | None
    current: int | None
    digest: str | None
    note: str


class Refused(Exception):
    """The model refuses: the server must respond with this status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Model:
    """The services and the journal as they must be. Writes go to the copy that ``unit`` returns."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.services: dict[str, Service] = {}
        self.journal: list[Change] = []
        self.pasts: dict[int, dict[str, int | None]] = {}
        self._position = 0
        self._note = ""

    def unit(self, note: str = "") -> "Model":
        """Return a copy to try a write on; where it is refused, the copy is dropped."""
        trial = copy.deepcopy(self)
        trial._position = 0
        trial._note = note
        return trial

    def commit(self) -> None:
        """End the unit; it takes a revision if and only if something was recorded."""
        if self._position:
            self.head += 1
            self.pasts[self.head] = {
                name: service.current for name, service in self.services.items()
            }

    def create(self, name: str, text: str) -> int:
        if name in self.services:
            raise Refused(422, "service-exists")
        self.services[name] = Service(self.head + 1)
        self._record("service.created", name)
        return self._insert(name, text)

    def append(self, name: str, text: str) -> int:
        self.require(name)
        return self._insert(name, text)

    def put(self, name: str, text: str) -> int:
        if name not in self.services:
            return self.create(name, text)
        service = self.services[name]
        if service.current is not None and service.versions[service.current].text == text:
            return service.current
        return self._insert(name, text)

    def merge(self, name: str, patch: dict[str, Any]) -> int:
        return self._insert(name, text_of(merged(self._base(name), patch)))

    def patch(self, name: str, operations: list[dict[str, Any]]) -> int:
        return self._insert(name, text_of(patched(self._base(name), operations)))

    def roll_back(self, name: str, number: int) -> int:
        return self._insert(name, self.version(name, number).text)

    def set_enabled(self, name: str, number: int, enabled: bool) -> int:
        version = self.version(name, number)
        if version.enabled != enabled:
            version.enabled = enabled
            self._record_version("version.enabled" if enabled else "version.disabled", name, number)
        return number

    def delete_version(self, name: str, number: int) -> int:
        version = self.version(name, number)
        if version.enabled:
            raise Refused(409, "still-enabled")
        version.deleted = True
        self._record_version("version.deleted", name, number)
        return number

    def delete(self, name: str) -> None:
        if any(version.enabled for version in self.require(name).versions):
            raise Refused(409, "still-enabled")
        del self.services[name]
        self._record("service.deleted", name)

    def tag(self, name: str, tags: list[str]) -> None:
        service, new_tags = self.require(name), sorted(set(tags))
        if new_tags != service.tags:
            service.tags = new_tags
            self._record("service.tagged", name, note=self._note or ", ".join(new_tags))

    def as_of(self, name: str, revision: int) -> tuple[int, Version]:
        service = self.require(name)
        number = self.pasts[revision].get(name) if revision >= service.born else None
        if number is None:
            raise Refused(404, "version-not-found")
        return number, self.version(name, number)

    def served(self, name: str, number: int) -> Version:
        version = self.version(name, number)
        if not version.enabled:
            raise Refused(404, "version-disabled")
        return version

    def require(self, name: str) -> Service:
        if name not in self.services:
            raise Refused(404, "service-not-found")
        return self.services[name]

    def version(self, name: str, number: int) -> Version:
        versions = self.require(name).versions
        if number >= len(versions):
            raise Refused(404, "version-not-found")
        if versions[number].deleted:
            raise Refused(410, "version-deleted")
        return versions[number]

    def _base(self, name: str) -> dict[str, Any]:
        service = self.require(name)
        if service.current is None:
            raise Refused(404, "no-current-version")
        return service.versions[service.current].value

    def _insert(self, name: str, text: str) -> int:
        service = self.require(name)
        service.versions.append(Version(text, self.head + 1, self._note))
        number = len(service.versions) - 1
        self._record_version("version.created", name, number)
        return number

    def _record_version(self, kind: str, name: str, number: int) -> None:
        service = self.services[name]
        digest = digest_of(service.versions[number].text)
        self._record(kind, name, version=number, current=service.current, digest=digest)

    def _record(self, kind: str, name: str, note: str | None = None, **values: Any) -> None:
        values = {"version": None, "current": None, "digest": None, **values}
        note = self._note if note is None else note
        self.journal.append(Change(self.head + 1, self._position, kind, name, note=note, **values))
        self._position += 1


def merged(target: Any, patch: Any) -> Any:
    """Merge as RFC 7396 does, in the words of its pseudocode."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(document: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Patch as RFC 6902 does, for members of the document itself only."""
    result = copy.deepcopy(document)
    for operation in operations:
        name, origin = operation["path"][1:], operation.get("from", "/")[1:]
        needed = {"add": [], "copy": [origin], "move": [origin]}.get(operation["op"], [name])
        if any(member not in result for member in needed):
            raise Refused(422, "invalid-document")
        if operation["op"] == "test":
            if result[name] != operation["value"]:
                raise Refused(422, "invalid-document")
        elif operation["op"] == "remove":
            del result[name]
        elif operation["op"] == "move":
            if name != origin:  # a move onto itself changes nothing
                result[name] = result.pop(origin)
        else:
            added = operation["value"] if "value" in operation else copy.deepcopy(result[origin])
            result[name] = added
    return result


# --- what hypothesis draws from


SERVICES = st.sampled_from(["a", "b/c", "é"])
MEMBERS = st.sampled_from(["x", "y", "z", "é", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 2**64, 1.5, 1e300, -0.0])
    | st.text(max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=2),
    max_leaves=4,
)
DOCUMENTS = st.dictionaries(MEMBERS, VALUES, max_size=3) | st.sampled_from([{}, {"x": 1}])
NUMBERS = st.integers(0, 4)
NOTES = st.sampled_from(["", "", "why"])
EXPECTATIONS = st.sampled_from(["nothing", "nothing", "right", "wrong"])
POINTERS = st.sampled_from(["/x", "/y", "/z"])
WORDS = st.sampled_from(["text", "", None])
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "test"]), "path": POINTERS, "value": WORDS}
    )
    | st.fixed_dictionaries({"op": st.just("remove"), "path": POINTERS})
    | st.fixed_dictionaries(
        {"op": st.sampled_from(["copy", "move"]), "path": POINTERS, "from": POINTERS}
    ),
    max_size=3,
)
STEPS = st.one_of(
    st.tuples(st.just("document"), DOCUMENTS),
    st.tuples(st.just("merge"), DOCUMENTS),
    st.tuples(st.just("patch"), OPERATIONS),
    st.tuples(st.just("rollback"), NUMBERS),
    st.tuples(st.just("enable"), NUMBERS),
    st.tuples(st.just("disable"), NUMBERS),
)


class Life(RuleBasedStateMachine):
    """A real server and the model, which get equal requests and must agree."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        # Every life has names of its own, since the services of earlier ones are still there.
        self.prefix = f"life-{uuid4().hex[:12]}"
        changes = self.line.http.get("/api/v1/changes", params={"limit": 1})
        self.first = int(changes.headers["Config-Revision"])
        self.others = self._count()
        self.model = Model(self.first)
        self.tags_of: dict[Any, str] = {}
        self.contents_of: dict[str, Any] = {}
        self.identities: set[int] = set()

    @property
    def line(self) -> Api:
        return self.server.api

    def name(self, service: str) -> str:
        return f"{self.prefix}/{service}"

    # --- writing

    @initialize(service=SERVICES, documents=st.lists(DOCUMENTS, max_size=3))
    def begin(self, service: str, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            self.put(service, document, "", "nothing")

    @rule(service=SERVICES, document=DOCUMENTS, note=NOTES)
    def create(self, service: str, document: dict[str, Any], note: str) -> None:
        name = self.name(service)
        trial, refused, _ = self._try(note, lambda model: model.create(name, text_of(document)))
        response = self.line.post(name, document, note=note)
        self._settle(trial, refused, response)
        if refused is None:
            answer = response.json()
            assert answer == {
                "ID": answer["ID"],
                "enabled": True,
                "service": name,
                "serviceJSONconf": text_of(document),
                "success": True,
                "total_configs": self.others + len(trial.services),
            }
            assert answer["ID"] not in self.identities
            self.identities.add(answer["ID"])

    @rule(service=SERVICES, document=DOCUMENTS, note=NOTES, expectation=EXPECTATIONS)
    def put(self, service: str, document: dict[str, Any], note: str, expectation: str) -> None:
        name = self.name(service)

        def act(model: Model) -> int:
            self._expect(model, name, expectation)
            return model.put(name, text_of(document))

        trial, refused, number = self._try(note, act)
        headers = self._condition(name, expectation)
        response = self.line.put(name, document, note=note, headers=headers)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES, document=DOCUMENTS, note=NOTES, expectation=EXPECTATIONS)
    def replace(self, service: str, document: dict[str, Any], note: str, expectation: str) -> None:
        name = self.name(service)

        def act(model: Model) -> int:
            model.require(name)  # a missing service is reported before a failed precondition
            self._expect(model, name, expectation)
            return model.append(name, text_of(document))

        trial, refused, number = self._try(note, act)
        headers = self._condition(name, expectation)
        response = self.line.patch(name, document, note=note, headers=headers)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES, patch=DOCUMENTS)
    def merge(self, service: str, patch: dict[str, Any]) -> None:
        name = self.name(service)
        trial, refused, number = self._try("", lambda model: model.merge(name, patch))
        headers = {"Content-Type": "application/merge-patch+json"}
        response = self.line.patch(name, patch, headers=headers)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES, operations=OPERATIONS)
    def patch(self, service: str, operations: list[dict[str, Any]]) -> None:
        name = self.name(service)
        trial, refused, number = self._try("", lambda model: model.patch(name, operations))
        headers = {"Content-Type": "application/json-patch+json"}
        response = self.line.patch(name, operations, headers=headers)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES, number=NUMBERS, enabled=st.booleans())
    def enable(self, service: str, number: int, enabled: bool) -> None:
        name = self.name(service)
        trial, refused, _ = self._try("", lambda model: model.set_enabled(name, number, enabled))
        response = self.line.enable(name, number, enabled)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES)
    def disable_all(self, service: str) -> None:
        """What comes before a deletion; by single steps it would hardly ever happen."""
        versions = self.model.services.get(self.name(service), Service(0)).versions
        for number, version in enumerate(versions):
            if version.enabled:
                self.enable(service, number, False)

    @rule(service=SERVICES, number=NUMBERS)
    def delete_version(self, service: str, number: int) -> None:
        name = self.name(service)
        trial, refused, _ = self._try("", lambda model: model.delete_version(name, number))
        response = self.line.delete(name, version=number)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES)
    def delete(self, service: str) -> None:
        name = self.name(service)
        trial, refused, _ = self._try("", lambda model: model.delete(name))
        response = self.line.delete(name)
        self._settle(trial, refused, response)
        if refused is None:
            assert response.json()["success"] is True
        elif refused.status == 409:
            assert response.json()["reason"]

    @rule(service=SERVICES, number=NUMBERS, note=NOTES)
    def roll_back(self, service: str, number: int, note: str) -> None:
        name = self.name(service)
        full_note = note or f"Rolled back to version {number}."
        trial, refused, new = self._try(full_note, lambda model: model.roll_back(name, number))
        query = {"service": name, "to": number, "note": note}
        response = self.line.http.post("/api/v1/rollback", params=query)
        self._settle(trial, refused, response)
        if refused is None:
            assert response.json() == {"success": True, "version": new, "current": new}

    @rule(service=SERVICES, tags=st.lists(st.sampled_from(["t", "u", "é"]), max_size=3), note=NOTES)
    def tag(self, service: str, tags: list[str], note: str) -> None:
        name = self.name(service)
        trial, refused, _ = self._try(note, lambda model: model.tag(name, tags))
        query = {"service": name, "note": note}
        response = self.line.http.put("/api/v1/services/tags", params=query, json={"tags": tags})
        self._settle(trial, refused, response)
        if refused is None:
            assert response.json()["tags"] == trial.services[name].tags

    @rule(steps=st.dictionaries(SERVICES, STEPS, min_size=1, max_size=3), note=NOTES)
    def change_several(self, steps: dict[str, tuple[str, Any]], note: str) -> None:
        """Publish a changeset: all of it or nothing, in one revision."""
        verbs = {
            "document": lambda model, name, document: model.put(name, text_of(document)),
            "merge": Model.merge,
            "patch": Model.patch,
            "rollback": Model.roll_back,
            "enable": lambda model, name, number: model.set_enabled(name, number, True),
            "disable": lambda model, name, number: model.set_enabled(name, number, False),
        }

        def act(model: Model) -> list[int]:
            return [
                verbs[verb](model, self.name(service), argument)
                for service, (verb, argument) in steps.items()
            ]

        trial, refused, numbers = self._try(note, act)
        changes = [
            {"service": self.name(service), verb: argument}
            for service, (verb, argument) in steps.items()
        ]
        response = self.line.http.post(
            "/api/v1/changesets", params={"note": note}, json={"changes": changes}
        )
        self._settle(trial, refused, response)
        if refused is None:
            answers = response.json()["services"]
            assert [result["version"] for result in answers] == numbers
            assert [result["current"] for result in answers] == [
                trial.services[self.name(service)].current for service in steps
            ]

    @rule(service=SERVICES, document=DOCUMENTS)
    def dry_run(self, service: str, document: dict[str, Any]) -> None:
        """Send a dry run: the response is that of the write, and nothing happens."""
        name = self.name(service)
        trial, refused, number = self._try("", lambda model: model.put(name, text_of(document)))
        response = self.line.put(name, document, dry_run="true")
        assert refused is None
        assert response.headers["Config-Dry-Run"] == "true"
        self._check_written(trial, refused, name, number, response)

    @rule(service=SERVICES, document=DOCUMENTS)
    def repeat(self, service: str, document: dict[str, Any]) -> None:
        """Send a write twice under one idempotency key; it happens once."""
        name = self.name(service)
        trial, refused, number = self._try("", lambda model: model.append(name, text_of(document)))
        headers = {"Idempotency-Key": uuid4().hex}
        response = self.line.patch(name, document, headers=headers)
        self._settle(trial, refused, response)
        self._check_written(trial, refused, name, number, response)
        again = self.line.patch(name, document, headers=headers)
        assert again.status_code == response.status_code
        if refused is None:
            assert again.content == response.content
            assert again.headers["Idempotency-Replayed"] == "true"

    @precondition(lambda self: self.model.services)
    @rule(luck=st.integers(0, 19))
    def restart(self, luck: int) -> None:
        """Restart the server, rarely: it takes as long as the rest of a life."""
        if luck == 13:
            self.server.stop()
            self.server.start()

    # --- reading

    @invariant()
    def what_is_served_is_what_the_model_has(self) -> None:
        for service in ("a", "b/c", "é"):
            name = self.name(service)
            if name in self.model.services:
                self._check_plain(name, self.model.services[name])
                self._check_current(name, self.model.services[name])
            else:
                self._check_refused(self.line.get(name), Refused(404, "service-not-found"))

    @rule(service=SERVICES, number=NUMBERS)
    def read_version(self, service: str, number: int) -> None:
        name = self.name(service)
        response = self.line.get(name, version=number)
        try:
            version = self.model.served(name, number)
        except Refused as refused:
            self._check_refused(response, refused)
        else:
            self._check_document(response, name, number, version)

    @rule(service=SERVICES)
    def read_history(self, service: str) -> None:
        name = self.name(service)
        if name in self.model.services:
            self._check_history(name, self.model.services[name])

    @precondition(lambda self: self.model.pasts)
    @rule(service=SERVICES, data=st.data())
    def look_back(self, service: str, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(self.model.pasts)), "revision")
        self._check_past(self.name(service), revision)

    def teardown(self) -> None:
        """Check all of its history at the end of a life."""
        self._check_journal()
        assert self._count() == self.others + len(self.model.services)
        for name, service in self.model.services.items():
            self._check_history(name, service)
            for revision in self.model.pasts:
                self._check_past(name, revision)

    # --- inside

    def _try(self, note: str, act: Any) -> tuple[Model, Refused | None, Any]:
        """Return the model after ``act``, why it was refused if it was, and what it returned."""
        trial = self.model.unit(note)
        try:
            result = act(trial)
        except Refused as refused:
            return self.model, refused, None
        trial.commit()
        return trial, None, result

    def _settle(self, trial: Model, refused: Refused | None, response: httpx2.Response) -> None:
        if refused is not None:
            self._check_refused(response, refused)
            return
        assert response.status_code == 200, response.text
        assert response.json()["success" if "tags" not in response.json() else "tags"] is not None
        self.model = trial
        assert response.headers["Config-Revision"] == str(trial.head)

    def _check_written(
        self,
        trial: Model,
        refused: Refused | None,
        name: str,
        number: Any,
        response: httpx2.Response,
    ) -> None:
        if refused is not None:
            return
        answer = response.json()
        assert answer["success"] is True
        assert answer["version"] == number
        assert answer["current"] == trial.services[name].current

    def _check_refused(self, response: httpx2.Response, refused: Refused) -> None:
        assert (response.status_code, response.json()["code"]) == (refused.status, refused.code)
        assert response.headers["Content-Type"] == PROBLEM

    def _expect(self, model: Model, name: str, expectation: str) -> None:
        if expectation == "nothing":
            return
        service = model.services.get(name)
        # Where nothing is current, no tag is right.
        met = service is not None and service.current is not None and expectation == "right"
        if not met:
            raise Refused(412, "precondition-failed")

    def _condition(self, name: str, expectation: str) -> dict[str, str]:
        if expectation == "nothing":
            return {}
        current = self.line.get(name, version="current").headers.get("ETag", '"none"')
        return {"If-Match": current if expectation == "right" else '"0.0.0"'}

    def _check_plain(self, name: str, service: Service) -> None:
        response = self.line.get(name)
        existing = service.existing
        if len(existing) > 1:
            assert response.text == json.dumps(
                {str(number): version.text for number, version in existing.items()},
                ensure_ascii=False,
            )
            disabled = ",".join(str(n) for n, version in existing.items() if not version.enabled)
            assert response.headers.get("Config-Disabled", "") == disabled
            current = service.current
            assert response.headers.get("Config-Version") == (
                None if current is None else str(current)
            )
            self._check_tag(response, name, (response.text, disabled, current))
        elif existing and service.current is not None:
            self._check_document(response, name, service.current, existing[service.current])
        else:
            self._check_refused(response, Refused(404, "no-current-version"))

    def _check_current(self, name: str, service: Service) -> None:
        response = self.line.get(name, version="current")
        if service.current is None:
            self._check_refused(response, Refused(404, "no-current-version"))
        else:
            version = service.versions[service.current]
            self._check_document(response, name, service.current, version)
            known = {"If-None-Match": response.headers["ETag"]}
            again = self.line.get(name, version="current", headers=known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == response.headers["ETag"]

    def _check_document(
        self, response: httpx2.Response, name: str, number: int, version: Version
    ) -> None:
        assert response.status_code == 200, response.text
        assert response.text == version.text
        assert response.headers["Config-Version"] == str(number)
        self._check_tag(response, name, (number, version.text))

    def _check_tag(self, response: httpx2.Response, name: str, content: Any) -> None:
        """Check that each content of a service has one tag, and no other content has that tag."""
        tag = response.headers["ETag"]
        content = (name, self.model.services[name].born, content)
        assert self.tags_of.setdefault(content, tag) == tag
        assert self.contents_of.setdefault(tag, content) == content

    def _check_history(self, name: str, service: Service) -> None:
        listed = self.line.versions(name)
        assert [entry["number"] for entry in listed] == list(range(len(service.versions)))
        for entry, version in zip(listed, service.versions, strict=True):
            assert entry["enabled"] is version.enabled
            assert entry["deleted"] is version.deleted
            assert entry["revision"] == version.revision
            assert entry["note"] == version.note
            assert entry["digest"] == digest_of(version.text)
            assert entry["size"] == len(version.text.encode())
            assert entry["document"] == (None if version.deleted else version.value)
        one = self.line.http.get("/api/v1/services/one", params={"service": name}).json()
        assert one["versions"] == len(service.versions)
        assert one["current"] == service.current
        assert one["tags"] == service.tags

    def _check_past(self, name: str, revision: int) -> None:
        response = self.line.get(name, as_of=revision)
        try:
            number, version = self.model.as_of(name, revision)
        except Refused as refused:
            self._check_refused(response, refused)
        else:
            self._check_document(response, name, number, version)

    def _check_journal(self) -> None:
        changes = self.line.changes(after=self.first)
        assert [
            Change(
                *(change[key] for key in ("revision", "position", "kind", "service", "version")),
                *(change[key] for key in ("current", "digest", "note")),
            )
            for change in changes
        ] == self.model.journal
        assert sorted({change["revision"] for change in changes}) == list(
            range(self.first + 1, self.model.head + 1)
        )
        times = [change["time"] for change in changes]
        assert times == sorted(times)
        assert {change["actor"] for change in changes} <= {"local operator"}

    def _count(self) -> int:
        total = 0
        url: str | None = "/api/v1/services?limit=500"
        while url:
            response = self.line.http.get(url)
            total += len(response.json()["services"])
            url = response.links.get("next", {}).get("url")
        return total


# --- the test


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[Server]:
    """A server that a life may stop and start."""
    with Server(tmp_path / "instance", log_requests="false") as running:
        yield running


def test_whatever_happens_to_services_the_server_and_the_model_agree(
    lived: Server, drill: bool
) -> None:
    class This(Life):
        server = lived

    run_state_machine_as_test(
        This,
        settings=settings(
            max_examples=300 if drill else 5,
            stateful_step_count=40 if drill else 20,
            deadline=None,
            database=None,
            # A failing life is short enough to read; shrinking it would take minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    lived.stop()
    check = lived.run("check")
    assert check.returncode == 0, check.stdout + check.stderr
    lived.start()
