"""Digests and entity tags confirm no guess at a secret to those who may not read it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distributed_config.services.access import roles, tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from distributed_config.wire import stamp_of
from tests.support.secrets import World, listening, wait_for, world_in
from tests.support.server import Api

SECRET = {"pin": "493027"}
TEXT = json.dumps(SECRET)
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("digests")) as running:
        yield running


@pytest.fixture
def marked(world: World, name: str) -> str:
    """A service whose place was marked after the secret was stored in the clear."""
    return marked_late(world, name)


def marked_late(world: World, name: str) -> str:
    for document in (SECRET, {"pin": "other"}, SECRET):
        assert world.boss.put(name, document).status_code == 200
    mark(world, name)
    return name


def mark(world: World, name: str) -> None:
    answer = world.boss.http.put(
        "/api/v1/services/secrets", params={"service": name}, json={"pointers": ["/pin"]}
    )
    assert answer.status_code == 200, answer.text


def life_of(world: World, name: str) -> int:
    """Return the service's id, which the response to its creation shows."""
    with connect(Settings(instance=world.server.instance)) as connection:
        query = "SELECT id FROM services WHERE name = ?"
        found: int = connection.exec_driver_sql(query, (name,)).scalar_one()
    return found


def seen_by(api: Api, service: str) -> str:
    """Return the bodies and headers of all responses about the service."""
    of_service = {"service": service}
    answers = [
        api.get(service),
        api.get(service, version="current"),
        api.get(service, version=0),
        api.get(service, version="current", format="yaml"),
        api.get(service, as_of=api.changes()[-1]["revision"]),
        api.http.get("/api/v1/versions", params=of_service),
        api.http.get("/api/v1/versions", params={**of_service, "documents": "true"}),
        api.http.get("/api/v1/services/one", params=of_service),
        api.http.get("/api/v1/services", params={"search": service}),
        api.http.get("/api/v1/changes", params=of_service),
        api.http.get("/api/v1/changes", params={**of_service, "include": "document"}),
        api.http.get("/api/v1/diff", params={**of_service, "from": 0, "to": 2}),
        api.http.get("/api/v1/export", params={"prefix": service}),
        api.http.get("/config/history", params={"section": service}),
    ]
    assert {each.status_code for each in answers} == {200}
    return "".join(f"{each.headers}{each.text}" for each in answers)


def confirmations(world: World, service: str) -> tuple[str, ...]:
    """Return what somebody who guessed the text would look for."""
    return DIGEST[:24], stamp_of(life_of(world, service), DIGEST)[:24]


def digests(api: Api, service: str) -> list[str]:
    return [each["digest"] for each in api.versions(service)]


def test_no_answer_has_the_digest_of_what_was_stored_before_it_was_marked(
    world: World, marked: str
) -> None:
    for api in (world.reader, world.editor, world.publisher):
        seen = seen_by(api, marked)
        assert not [each for each in confirmations(world, marked) if each in seen]
    assert DIGEST in seen_by(world.boss, marked)


def test_no_answer_has_it_where_a_definition_marks(world: World, name: str) -> None:
    world.boss.put(name, SECRET)
    world.boss.put(name, {"pin": "other"})
    world.boss.put(name, SECRET)
    schema = {"type": "object", "properties": {"pin": {"x-secret": True}}}
    assert world.boss.define(name, schema).status_code == 201
    attached = world.boss.http.put(
        "/api/v1/services/definition", params={"service": name}, json={"definition": name}
    )
    assert attached.status_code == 200

    seen = seen_by(world.reader, name)
    assert not [each for each in confirmations(world, name) if each in seen]


def test_equal_texts_are_equal_within_a_service_and_nowhere_else(world: World, name: str) -> None:
    one, other = (marked_late(world, f"{name}/{each}") for each in "ab")

    first, second = digests(world.reader, one), digests(world.reader, other)
    assert first[0] == first[2] != first[1]
    assert not set(first) & set(second)
    assert digests(world.boss, one) == digests(world.boss, other)


def test_versions_services_and_changes_tell_the_same_digest(world: World, marked: str) -> None:
    for api in (world.reader, world.boss):
        masked = digests(api, marked)
        one = api.http.get("/api/v1/services/one", params={"service": marked}).json()
        changes = [each for each in api.changes() if each["service"] == marked]
        assert one["digest"] == masked[-1]
        assert [each["digest"] for each in changes if each["version"] is not None] == masked


def test_no_condition_confirms_a_guess(world: World, marked: str) -> None:
    """A right guess and a wrong one get the same responses."""
    epoch = world.reader.get(marked, version="current").headers["etag"].strip('"').split(".")[2]
    life = life_of(world, marked)
    guesses = []
    for pin in ("493027", "000000"):
        digest = hashlib.sha256(json.dumps({"pin": pin}).encode()).hexdigest()
        guesses += [f'"2.{each[:24]}.{epoch}"' for each in (digest, stamp_of(life, digest))]

    for guess in guesses:
        read = world.reader.get(marked, version="current", headers={"If-None-Match": guess})
        conditional = world.reader.get(marked, version="current", headers={"If-Match": guess})
        written = world.editor.put(marked, {"n": 1}, headers={"If-Match": guess})
        created = world.editor.put(
            marked, {"n": 1}, dry_run="true", headers={"If-None-Match": guess}
        )
        statuses = [each.status_code for each in (read, conditional, written, created)]
        assert statuses == [200, 412, 412, 200]


def test_a_tag_is_good_for_others_whether_they_see_secrets_or_not(
    world: World, marked: str
) -> None:
    masked = world.reader.get(marked, version="current").headers["etag"]
    assert world.boss.put(marked, {"n": 1}, headers={"If-Match": masked}).status_code == 200
    clear = world.boss.get(marked, version="current").headers["etag"]
    assert world.editor.put(marked, {"n": 2}, headers={"If-Match": clear}).status_code == 200
    assert world.editor.put(marked, {"n": 3}, headers={"If-Match": clear}).status_code == 412


def test_a_tag_from_before_the_marks_holds_for_the_write_that_brings_them(
    world: World, name: str
) -> None:
    schema = {"type": "object", "properties": {"pin": {"x-secret": True}}}
    world.boss.define(name, schema)
    etag = world.boss.put(name, SECRET).headers["etag"]

    written = world.boss.put(name, SECRET, definition=name, headers={"If-Match": etag})

    assert written.status_code == 200, written.text


def test_changes_of_a_deleted_service_confirm_nothing_either(world: World, marked: str) -> None:
    for number in range(3):
        world.boss.enable(marked, number, False)
    assert world.boss.delete(marked).status_code == 200
    world.boss.put(marked, {"another": "life"})

    changes = json.dumps([each for each in world.reader.changes() if each["service"] == marked])
    assert DIGEST not in changes
    assert DIGEST in json.dumps(world.boss.changes())


@pytest.mark.parametrize("websocket", [False, True])
def test_streams_tell_no_such_digest(world: World, marked: str, websocket: bool) -> None:
    path = f"/api/v1/changes?service={marked}&after=0"
    with (
        listening(world, "reader", path, websocket) as masked,
        listening(world, "organisation-administrator", path, websocket) as clear,
    ):
        # It is about what was stored in the clear, and comes as news to all at once.
        world.boss.enable(marked, 2, False)
        wait_for(masked, b"version.disabled")
        wait_for(clear, b"version.disabled")

    assert DIGEST.encode() not in bytes(masked)
    assert bytes(clear).count(DIGEST.encode()) == 3


def test_a_digest_outlives_the_rotation_of_keys(world: World, marked: str) -> None:
    before = seen_tags(world, marked)
    assert world.server.run("secrets", "rotate").returncode == 0
    world.boss.put(f"{marked}-other", {"n": 0})

    assert seen_tags(world, marked) == before


def seen_tags(world: World, service: str) -> tuple[str, list[str]]:
    etag = world.reader.get(service, version="current").headers["etag"]
    return etag, digests(world.reader, service)


def test_an_ordinary_digest_is_the_sha256_of_the_document(world: World, name: str) -> None:
    world.boss.put(name, SECRET)

    assert digests(world.reader, name) == [DIGEST]


def test_an_export_has_the_digests_of_what_it_shows(world: World, marked: str) -> None:
    answer = world.reader.http.get("/api/v1/export", params={"prefix": marked})

    assert answer.json() == {marked: {"pin": "•••"}}


def test_without_the_key_file_what_is_masked_is_read_and_confirms_nothing(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        marked_late(world, "web")
        world.stop()
        for file in world.server.instance.glob("*key*"):
            file.unlink()
        world.start()

        seen = seen_by(world.reader, "web")
        assert not [each for each in confirmations(world, "web") if each in seen]
        assert len(set(digests(world.reader, "web"))) == 3


# --- the audit log


def auditor_of(world: World) -> Api:
    """An actor who may read the audit log, and no secrets."""

    def unit(transaction: Transaction) -> str:
        roles.set_role(transaction, "auditor", ["config:read", "audit:read"])
        return tokens.create_machine(transaction, "auditor", Grant("auditor")).secret

    with open_writer(Settings(instance=world.server.instance)) as writer:
        secret = writer.write(LOCAL_OPERATOR, unit)
    api = Api(world.server.url)
    api.http.headers["Authorization"] = f"Bearer {secret}"
    return api


def entries(api: Api) -> list[dict[str, Any]]:
    lines = api.http.get("/api/v1/audit/export", params={"format": "jsonl"}).text.splitlines()
    return [json.loads(line) for line in lines]


def test_an_auditor_who_reads_no_secrets_is_shown_a_chain_that_confirms_nothing(
    world: World, marked: str
) -> None:
    auditor = auditor_of(world)
    head = auditor.http.get("/api/v1/audit/head").json()
    masked, true = entries(auditor), {each["id"]: each for each in entries(world.boss)}

    assert DIGEST not in json.dumps([each for each in masked if each["service"] == marked])
    for each in masked:
        known = true[each["id"]]
        assert each["hash"] != known["hash"]
        assert each["previous"] != known["previous"]
        assert "digest" not in each["detail"] or each["detail"] != known["detail"]
    hashes = {each["id"]: each["hash"] for each in masked}
    assert all(
        hashes[each["id"] - 1] == each["previous"] for each in masked if each["id"] - 1 in hashes
    )
    pinned = f"{head['id']}:{head['hash']}"
    assert world.server.run("audit", "verify", "--pinned", pinned).returncode == 0
    other = f"{head['id'] - 1}:{head['hash']}"
    assert world.server.run("audit", "verify", "--pinned", other).returncode == 1
    auditor.close()
