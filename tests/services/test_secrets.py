"""Secrets are encrypted at rest, and masked on every route to actors who may not read them."""

import json
import secrets
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from distributed_config.errors import CannotStart
from distributed_config.json_schema import covers
from distributed_config.models.sqlite import raw_connection
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.reader import Reader
from distributed_config.services.secrets.keyring import Keyring, new_key
from distributed_config.settings import Settings
from distributed_config.store.database import connect
from tests.support.secrets import ROLES, World, listening, wait_for, world_in
from tests.support.server import Api, Server

DOTS = "•••"
SCHEMA = {
    "type": "object",
    "properties": {
        "host": {"type": "string"},
        "password": {"$ref": "#/$defs/secret"},
        "users": {
            "type": "array",
            "items": {"properties": {"name": {}, "key": {"type": "string", "x-secret": True}}},
        },
        "vault": {"additionalProperties": {"x-secret": True}},
        "either": {"oneOf": [{"type": "integer"}, {"properties": {"pin": {"x-secret": True}}}]},
    },
    "$defs": {"secret": {"type": "string", "minLength": 8, "x-secret": True}},
}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("secrets")) as running:
        yield running


@pytest.fixture
def base(world: World, name: str) -> str:
    """A definition with marks, and a service of the same name that conforms to it."""
    assert world.publisher.define(name, SCHEMA).status_code == 201
    return name


@pytest.mark.parametrize("role", ROLES)
def test_a_check_asks_nothing_of_dots_at_marked_places(world: World, base: str, role: str) -> None:
    """Writes do the same: a secret that is carried over is not validated."""

    def check(document: Any) -> list[str]:
        query = {"definition": base}
        url = "/api/v1/definitions/check"
        answer = world.apis[role].http.post(url, params=query, json=document).json()
        assert answer["valid"] is not bool(answer["problems"])
        return sorted(each["pointer"] for each in answer["problems"])

    assert check({"password": DOTS, "users": [{"key": DOTS}], "host": DOTS}) == []
    assert check({"password": DOTS, "users": [{"key": 5}], "host": 1}) == ["/host", "/users/0/key"]
    assert check({"password": "short"}) == ["/password"]


def ok(response: Any) -> Any:
    assert response.status_code in {200, 201}, response.text
    return response


def filled(world: World) -> dict[str, Any]:
    return {
        "host": "db",
        "password": world.canary(),
        "users": [
            {"name": "ann", "key": world.canary()},
            {"name": "bob", "key": world.canary()},
        ],
        "vault": {"any": {"deep": [world.canary()]}, "number": 12},
        "either": {"pin": world.canary()},
    }


def masked(document: dict[str, Any]) -> dict[str, Any]:
    return {
        **document,
        "password": DOTS,
        "users": [{**each, "key": DOTS} for each in document["users"]],
        "vault": dict.fromkeys(document["vault"], DOTS),
        "either": {"pin": DOTS},
    }


def current(api: Api, service: str) -> Any:
    return ok(api.get(service, version="current")).json()


# --- no door


def test_a_secret_is_in_no_answer_to_who_may_not_read_it_and_nowhere_at_rest(
    world: World, base: str, tmp_path: Path
) -> None:
    """Write secrets by every route that writes, and look for them in every route that reads."""
    boss, editor = world.boss, world.editor
    once = {"Idempotency-Key": secrets.token_hex(8)}
    listeners = [
        (role, listening(world, role, f"{path}{quiet}", websocket))
        for role in ("reader", "organisation-administrator")
        for path, quiet, websocket in (
            ("/api/v1/changes?include=document", "", False),
            ("/api/v1/changes?include=document", "&wait=1", True),
            ("/config/updates", "", True),
        )
    ]
    heard = [(role, each.__enter__()) for role, each in listeners]
    unified, dialect = f"u_{base}".replace("-", "_"), f"T{base[5:]}"
    answers: list[Any] = []

    def collect(response: Any) -> None:
        answers.append(ok(response))

    first = filled(world)
    collect(editor.post(base, first, definition=base, headers=once))
    collect(editor.post(base, first, definition=base, headers=once))
    collect(boss.put(base, filled(world)))
    collect(boss.patch(base, filled(world)))
    collect(editor.patch(base, {"password": world.canary()}, headers=MERGE_PATCH))
    patch = [{"op": "replace", "path": "/password", "value": world.canary()}]
    collect(editor.patch(base, patch, headers=JSON_PATCH))
    collect(boss.patch(base, patch, headers=JSON_PATCH))
    body = {"changes": [{"service": base, "merge": {"password": world.canary()}}]}
    collect(editor.http.post("/api/v1/changesets", json=body))
    collect(editor.http.post("/api/v1/import", json={base: filled(world)}))
    collect(world.publisher.http.post("/api/v1/rollback", params={"service": base, "to": 0}))
    own = f"{base}-own"
    collect(editor.put(own, {"db": {"password": "later", "port": 1}}))
    at = {"service": own}
    pointers = {"pointers": ["/db/password"]}
    collect(editor.http.put("/api/v1/services/secrets", params=at, json=pointers))
    collect(editor.put(own, {"db": {"password": world.canary(), "port": 1}}))
    collect(editor.put(unified, {"db": 1}))
    collect(
        editor.http.put(
            "/api/v1/services/secrets", params={"service": unified}, json={"pointers": ["/token"]}
        )
    )
    body = {"section": unified, "key": "token", "value": world.canary()}
    collect(editor.http.post("/config/set", json=body))
    collect(editor.http.put("/config/update_bulk", json={unified: {"token": world.canary()}}))
    created = {"config_definition_key": dialect, "json_schema": SCHEMA}
    collect(world.publisher.http.post("/config_definition", json=created))
    body = {"config_key": "first", "data": filled(world)}
    collect(
        editor.http.post(
            f"/config_definition/{dialect}/config",
            json=body,
            headers=once | {"Idempotency-Key": "t1"},
        )
    )
    collect(
        boss.http.put(
            f"/config_definition/{dialect}/config/first",
            json={"data": filled(world)},
            headers={"Idempotency-Key": "t2"},
        )
    )
    refused = [
        editor.put(base, {**filled(world), "host": 1}),
        editor.put(base, {"password": {"is": world.canary()}}),
        editor.put(base, {"vault": world.canary(), "users": world.canary()}),
        editor.put(base, {"password": {"$secret": world.canary()}}),
        editor.patch(base, [{"op": "test", "path": "/password", "value": 1}], headers=JSON_PATCH),
    ]
    assert [each.status_code for each in refused] == [422] * len(refused)

    def reads(api: Api) -> list[str]:
        requests: list[tuple[str, dict[str, Any]]] = [
            ("/api/v1/versions", {"service": base, "documents": "true"}),
            ("/api/v1/versions", {"service": own, "documents": "true"}),
            ("/api/v1/diff", {"service": base, "from": 0, "to": 1}),
            ("/api/v1/diff", {"service": base, "from": 1, "to": 4}),
            ("/api/v1/changes", {"include": "document", "limit": 500}),
            ("/config/get", {"section": unified}),
            ("/config/get", {"section": unified, "key": "token"}),
            ("/config/history", {"limit": 100}),
            ("/config/history", {"section": unified}),
            (f"/config_definition/{dialect}/config", {}),
            (f"/config_definition/{dialect}/config/first", {}),
            *(("/config/export", {"format": each}) for each in ("json", "yaml", "toml")),
            *(("/api/v1/export", {"format": each}) for each in ("json", "yaml", "toml")),
            *(("/config", {"service": base, "version": each}) for each in ("0", "3", "current")),
            ("/config", {"service": base}),
            ("/config", {"service": own}),
            ("/config", {"service": base, "as_of": editor.changes()[-1]["revision"]}),
            ("/config", {"service": base, "version": "current", "defaults": "true"}),
            *(
                ("/config", {"service": own, "version": "current", "format": each})
                for each in ("yaml", "toml", "properties", "json")
            ),
            ("/config", {"service": unified, "version": "current", "format": "env"}),
        ]
        return [ok(api.http.get(path, params=query)).text for path, query in requests]

    wait_for(heard[0][1], unified.encode())
    wait_for(heard[3][1], unified.encode())
    time.sleep(0.3)
    for _, each in listeners:
        each.__exit__(None, None, None)
    backup = tmp_path / "backup.db"
    assert world.server.run("backup", str(backup)).returncode == 0
    exported = world.server.run("export").stdout
    quiet = {
        "answers to writes": [each.text for each in answers],
        "refusals": [each.text for each in refused],
        "the reader": reads(world.reader),
        "the editor": reads(world.editor),
        "streams": [
            bytes(each).decode("utf-8", "replace") for role, each in heard if role == "reader"
        ],
        "metrics": [boss.http.get("/metrics").text],
        "the log": [world.server.log.read_text()],
        "export": [exported],
    }
    for where, texts in quiet.items():
        assert [world.found_in(text) for text in texts if world.found_in(text)] == [], where
    for file in (*world.server.instance.iterdir(), backup):
        if file.is_file():
            assert world.found_in(file.read_bytes()) == [], file
    assert DOTS in exported
    with raw_connection(world.server.database) as connection:
        # From a plain digest of a request a short secret in it could be guessed.
        fingerprints = [
            row[0] for row in connection.execute("SELECT fingerprint FROM idempotency_keys")
        ]
        assert len(fingerprints) == 3
        assert all("." in each for each in fingerprints)

    clear = "".join(reads(world.boss))
    stored = {each for text in [clear] for each in world.found_in(text)}
    refused_with = {each for each in world.canaries if each not in stored}
    assert len(stored) > 20
    assert all(each in "".join(str(r.request.content) for r in refused) for each in refused_with)
    live = [bytes(each) for role, each in heard if role != "reader"]
    assert all(world.found_in(each) for each in live)
    assert world.found_in(world.server.run("export", "--reveal").stdout)


def test_each_form_has_a_tag_of_its_own_and_clear_ones_are_given_out_by_the_application(
    world: World, base: str
) -> None:
    ok(world.editor.put(base, filled(world), definition=base))

    dark, clear = (api.get(base, version="current") for api in (world.reader, world.boss))
    again = world.boss.get(
        base, version="current", headers={"If-None-Match": clear.headers["ETag"]}
    )
    mixed = world.boss.get(base, version="current", headers={"If-None-Match": dark.headers["ETag"]})

    assert dark.json() == masked(clear.json())
    assert dark.headers["ETag"] != clear.headers["ETag"]
    assert (again.status_code, mixed.status_code) == (304, 200)
    changed = world.boss.put(base, clear.json(), headers={"If-Match": dark.headers["ETag"]})
    assert changed.json()["changed"] is False


# --- dots put back


def test_dots_that_are_put_back_keep_the_secret(world: World, base: str) -> None:
    first = filled(world)
    ok(world.editor.put(base, first, definition=base))
    seen = current(world.reader, base)
    assert seen == masked(first)

    for number, api in enumerate((world.editor, world.boss), 1):
        ok(api.put(base, seen))
        assert ok(api.put(base, seen)).json()["changed"] is False
        ok(api.put(base, {**seen, "host": f"h{number}"}))
        assert current(world.boss, base) == {**first, "host": f"h{number}"}
        merged = {"password": DOTS, "either": {"pin": DOTS}, "host": "m"}
        ok(api.patch(base, merged, headers=MERGE_PATCH))
        body = {"changes": [{"service": base, "document": {**seen, "host": "c"}}]}
        ok(api.http.post("/api/v1/changesets", json=body))
        operations = [
            {"op": "replace", "path": "/host", "value": "p"},
            {"op": "add", "path": "/vault/any", "value": DOTS},
            {"op": "test", "path": "/host", "value": "p"},
        ]
        ok(api.patch(base, operations, headers=JSON_PATCH))
        assert current(world.boss, base) == {**first, "host": "p"}
    ok(world.editor.http.put("/config/update_bulk", json={base: {"password": DOTS}}))
    ok(world.editor.http.post("/config/set", json={"section": base, "values": seen}))
    assert current(world.boss, base) == first


def test_dots_in_an_array_stay_with_their_element_or_are_refused(world: World, base: str) -> None:
    first = filled(world)
    ok(world.editor.put(base, first, definition=base))
    ann, bob = first["users"]
    dark = [{"name": "ann", "key": DOTS}, {"name": "bob", "key": DOTS}]

    def users(*elements: dict[str, Any]) -> Any:
        return world.editor.put(base, {**masked(first), "users": list(elements)})

    ok(users(dark[1], dark[0]))
    assert current(world.boss, base)["users"] == [bob, ann]
    ok(users(dark[0]))
    assert current(world.boss, base)["users"] == [ann]
    new = {"name": "cid", "key": world.canary()}
    ok(users(new, dark[0]))
    assert current(world.boss, base)["users"] == [new, ann]
    unclear = users(dark[0], {"name": "dan", "key": DOTS})
    assert (unclear.status_code, unclear.json()["problems"][0]["pointer"]) == (422, "/users/1/key")
    operations = [{"op": "remove", "path": "/users/0"}]
    ok(world.editor.patch(base, operations, headers=JSON_PATCH))
    assert current(world.boss, base)["users"] == [ann]


def test_secrets_that_look_alike_are_never_mixed_up(world: World, name: str) -> None:
    keys = [world.canary(), world.canary()]
    query, pointers = {"service": name}, {"pointers": ["/keys/*"]}
    ok(world.editor.put(name, {}))
    ok(world.editor.http.put("/api/v1/services/secrets", params=query, json=pointers))
    ok(world.editor.put(name, {"keys": keys}))

    ok(world.editor.put(name, {"keys": [DOTS, DOTS], "n": 1}))
    for unclear in ([DOTS], [DOTS, "new"], ["new", DOTS, DOTS]):
        assert world.editor.put(name, {"keys": unclear}).status_code == 422, unclear
    assert current(world.boss, name) == {"keys": keys, "n": 1}
    operations = [
        {"op": "move", "from": "/keys/1", "path": "/keys/0"},
        {"op": "copy", "from": "/keys/1", "path": "/keys/-"},
        {"op": "add", "path": "/keys/0", "value": "new"},
    ]
    ok(world.editor.patch(name, operations, headers=JSON_PATCH))
    assert current(world.boss, name)["keys"] == ["new", keys[1], keys[0], keys[0]]


def test_dots_where_no_secret_was_are_refused(world: World, base: str) -> None:
    new = world.editor.put(base, {"password": DOTS}, definition=base)
    ok(world.editor.put(base, {"host": DOTS}, definition=base))
    added = world.editor.patch(base, {"password": DOTS}, headers=MERGE_PATCH)
    inside = world.editor.put(base, {"vault": {"a": {"b": DOTS}}})

    for each, pointer in ((new, "/password"), (added, "/password"), (inside, "/vault/a/b")):
        assert each.status_code == 422
        assert [p["pointer"] for p in each.json()["problems"]] == [pointer]


# --- what must not be learnt


def test_nobody_learns_a_secret_by_guessing_testing_copying_or_unmarking(
    world: World, base: str
) -> None:
    first = filled(world)
    ok(world.editor.put(base, first, definition=base))
    secret, editor, publisher = first["password"], world.editor, world.publisher
    query = {"service": base}

    assert ok(editor.put(base, {**masked(first), "password": secret})).json()["changed"] is True
    for op in (
        {"op": "test", "path": "/password", "value": secret},
        {"op": "copy", "from": "/password", "path": "/host"},
        {"op": "move", "from": "/password", "path": "/note"},
    ):
        assert editor.patch(base, [op], headers=JSON_PATCH).status_code == 422, op
    assert editor.http.delete("/api/v1/services/definition", params=query).status_code == 403
    assert publisher.define(base, {}).status_code == 403
    removed = publisher.http.delete(
        "/api/v1/definitions", params={"definition": base, "cascade": "detach"}
    )
    assert removed.status_code == 403
    # A schema that tests the secret learns nothing, before it is stored or after.
    for start, expected in ((secret[:8], True), ("nothing!", True)):
        asking = json.loads(json.dumps(SCHEMA))
        asking["properties"]["password"] = {"x-secret": True, "pattern": f"^{start}"}
        asking["if"] = {"properties": {"password": {"pattern": f"^{start}"}}}
        asking["then"] = {"required": ["missing"]}
        review = publisher.http.post(
            "/api/v1/definitions/review", params={"definition": base}, json={"schema": asking}
        )
        assert ok(review).json()["unfit"] == 0, expected
        ok(publisher.define(base, asking))
        ok(editor.patch(base, {"host": secrets.token_hex(4)}, headers=MERGE_PATCH))
    # What was sealed stays so when nothing marks it any more.
    ok(world.boss.define(base, {}))
    ok(editor.patch(base, {"host": "last"}, headers=MERGE_PATCH))
    assert current(editor, base)["password"] == DOTS
    assert current(world.boss, base)["password"] == secret


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"properties": {"a": {"x-secret": "yes"}}}, "/schema/properties/a/x-secret"),
        (
            {"allOf": [{"$ref": "#/$defs/s"}], "$defs": {"s": {"x-secret": True}}},
            "/schema/x-secret",
        ),
    ],
    ids=["misspelt", "the whole"],
)
def test_a_mark_that_cannot_be_meant_is_refused(
    world: World, name: str, schema: Any, pointer: str
) -> None:
    refused = world.publisher.define(name, schema)

    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["problems"]] == [pointer]


def test_nothing_is_found_by_a_secret(world: World, base: str) -> None:
    ok(world.editor.put(base, filled(world), definition=base))
    pointers = {"pointers": ["/host"]}
    query = {"service": base}

    for paths in (["password"], ["host", "password"]):
        refused = world.publisher.define(base, indexes=paths)
        assert (refused.status_code, refused.json()["problems"][0]["rule"]) == (422, "secret")
    ok(world.publisher.define(base, indexes=["host"]))
    refused = world.editor.http.put("/api/v1/services/secrets", params=query, json=pointers)
    assert refused.status_code == 422
    ok(world.publisher.define(base, indexes=[]))
    ok(world.editor.http.put("/api/v1/services/secrets", params=query, json=pointers))
    assert world.publisher.define(base, indexes=["host"]).status_code == 422
    assert world.server.run("check").returncode == 0


def test_pointers_are_checked_masked_at_once_and_taken_away_by_who_may_read(
    world: World, name: str
) -> None:
    old = world.canary()
    ok(world.editor.put(name, {"users": {"a": {"key": old}}, "list": ["x"]}))
    ok(world.editor.put(name, {"users": {"a": {"key": old}}, "list": ["y"]}))
    query = {"service": name}

    def mark(api: Api, *pointers: Any) -> Any:
        body = {"pointers": list(pointers)}
        return api.http.put("/api/v1/services/secrets", params=query, json=body)

    for wrong in ("", "x", "/a~2", "/a" * 300):
        assert mark(world.editor, wrong).status_code == 422, wrong
    before = world.reader.get(name, version="0").headers["ETag"]
    ok(mark(world.editor, "/users/*/key", "/list/0"))
    for number in ("0", "1"):
        response = world.reader.get(name, version=number)
        assert response.json() == {"users": {"a": {"key": DOTS}}, "list": [DOTS]}
        assert response.headers["ETag"] != before
    assert current(world.boss, name)["list"] == ["y"]
    got = world.reader.http.get("/api/v1/services/secrets", params=query)
    assert ok(got).json() == {"pointers": ["/users/*/key", "/list/0"]}
    assert mark(world.editor, "/list/0").status_code == 403
    ok(mark(world.boss))
    assert current(world.reader, name)["users"] == {"a": {"key": old}}
    # Written once more, it would have been encrypted; the test of all doors looks at every file.
    world.canaries.remove(old)


def test_a_stream_tells_nothing_of_before_a_mark_that_is_secret_since(
    world: World, name: str
) -> None:
    path = f"/api/v1/changes?include=document&service={name}"
    with listening(world, "reader", path, websocket=False) as early:
        before = int(ok(world.editor.put(name, {"a": 0})).headers["Config-Revision"])
        old = world.canary()
        ok(world.editor.put(name, {"password": old}))
        wait_for(early, old.encode())
        query, pointers = {"service": name}, {"pointers": ["/password"]}
        ok(world.editor.http.put("/api/v1/services/secrets", params=query, json=pointers))
        wait_for(early, b"service.marked")
        with listening(world, "reader", f"{path}&after={before}", websocket=False) as late:
            wait_for(late, b"service.marked")
    world.canaries.remove(old)
    assert DOTS.encode() in late
    assert old.encode() not in late


# --- at rest


def test_what_is_moved_to_another_place_or_service_does_not_open(world: World, base: str) -> None:
    first = filled(world)
    other = f"{base}-other"
    ok(world.editor.put(base, first, definition=base))
    ok(world.editor.put(other, first, definition=base))
    with raw_connection(world.server.database) as connection:
        find = "SELECT document FROM versions JOIN services ON id = service_id WHERE name = ?"
        text = connection.execute(find, (base,)).fetchone()[0]
    sealed = json.loads(text)
    for refused in (sealed, {"host": sealed["password"]}):
        assert world.boss.put(base, refused).status_code == 422

    def overwrite(service: str, stored: Any) -> None:
        text = json.dumps(stored, ensure_ascii=False)
        change = (
            "UPDATE versions SET document = ?, digest = ? "
            "WHERE service_id = (SELECT id FROM services WHERE name = ?)"
        )
        with raw_connection(world.server.database) as connection:
            connection.execute(change, (text, sha256(text.encode()).hexdigest(), service))

    swapped = {**sealed, "password": sealed["either"]["pin"]}
    for service, stored in ((base, swapped), (other, sealed)):
        overwrite(service, stored)
        refused = world.boss.get(service, version="current", defaults="true")
        assert (refused.status_code, refused.json()["code"]) == (503, "secret-unreadable")
        assert current(world.reader, service)["password"] == DOTS
    overwrite(base, sealed)
    assert current(world.boss, base) == first


def test_keys_are_rotated_while_the_server_goes_on(tmp_path: Path) -> None:
    with world_in(tmp_path, workers=2) as world:
        file = world.server.instance / "secret-keys"
        assert not file.exists()
        ok(world.publisher.define("d", SCHEMA))
        before, after = filled(world), filled(world)
        ok(world.editor.put("old", before, definition="d"))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

        done = world.server.run("secrets", "rotate")
        ok(world.editor.put("new", after, definition="d"))

        assert done.returncode == 0, done.stderr
        assert (current(world.boss, "old"), current(world.boss, "new")) == (before, after)
        lines = file.read_text().splitlines()
        assert len(lines) == 2
        with raw_connection(world.server.database) as connection:
            wrapped = [row[0] for row in connection.execute("SELECT wrapped FROM secret_keys")]
            assert {each.split(".")[1] for each in wrapped} == {lines[0].partition(":")[0]}
        # The older line is needed by nothing that is here.
        file.write_text(lines[0] + "\n")
        with connect(Settings(instance=world.server.instance)) as connection:
            for service, document in (("old", before), ("new", after)):
                found = versions.current(
                    Reader(connection, LOCAL_OPERATOR.visibility), Series(service)
                )
                assert json.loads(found.served) == document

        # Another key: the masked form is still there, and the clear one is one sentence away.
        file.write_text(f"another:{new_key()}")
        world.stop()
        world.start()
        assert current(world.reader, "old") == masked(before)
        for refused in (world.boss.get("old", version="current"), world.editor.put("old", after)):
            assert (refused.status_code, refused.json()["code"]) == (503, "secret-unreadable")
        assert "Traceback" not in world.server.log.read_text()
        check = world.server.run("check")
        assert check.returncode == 1
        assert f"BAD  secrets: the key file {file} does not open" in check.stdout
        file.write_text(lines[0] + "\n")
        assert "ok   secrets: the key file opens every key" in world.server.run("check").stdout


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "has no key"),
        ("nonsense", 0o600, "Line 1 of the key file"),
        ("a:c2hvcnQ=", 0o600, "Line 1 of the key file"),
        (f"a:{new_key()}\na:{new_key()}", 0o600, "Line 2 of the key file"),
        (f"a:{new_key()}", 0o640, "chmod 600"),
    ],
    ids=["empty", "nonsense", "short", "twice", "readable"],
)
def test_a_wrong_key_file_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    file.chmod(mode)

    with pytest.raises(CannotStart, match=said):
        Keyring(file).load()


def test_a_wrong_key_file_is_one_sentence_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("nonsense")
    file.chmod(0o600)
    server = Server(tmp_path / "instance", secret_key_file=file)
    server.prepare()

    run = server.run("serve")

    assert run.returncode != 0
    assert "Line 1 of the key file" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr


def test_whether_a_schema_keeps_every_mark_is_seen_whatever_its_shape() -> None:
    def text(schema: Any) -> str:
        return json.dumps(schema)

    secret = {"x-secret": True}
    old = text(SCHEMA)
    wider = json.loads(old)
    wider["properties"]["users"] = {"items": secret}
    loops = {"properties": {"a": secret, "b": {"$ref": "#"}}, "patternProperties": {"^k": secret}}

    assert covers(old, old)
    assert covers(text(wider), old)
    assert not covers(old, text(wider))
    assert covers(text(loops), text(loops))
    assert covers(text({"additionalProperties": secret}), text({"properties": {"a": secret}}))
    assert not covers(text({"properties": {"a": secret}}), text({"additionalProperties": secret}))
    assert not covers(text({**loops, "patternProperties": {"^j": secret}}), text(loops))
    assert not covers("{}", text({"anyOf": [{"properties": {"a": secret}}]}))
