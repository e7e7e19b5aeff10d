"""Secrets stay secret wherever they are used: in layers, extensions and references."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from distributed_config.models.sqlite import raw_connection
from distributed_config.wire import MASK
from tests.support.access import ADMINISTRATOR
from tests.support.callers import OPEN_CLIENTS, Answer, Caller
from tests.support.secrets import listening, wait_for
from tests.support.server import Server


class House:
    """A server with environments: ``prod`` and ``stage`` inherit, ``apart`` stands alone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.boss = Caller(server.url, ADMINISTRATOR)
        self.tokens: dict[str, str] = {}
        for body in ({"name": "prod"}, {"name": "stage"}, {"name": "apart", "inherits": None}):
            self.boss.make("environments", body)

    def acting(self, role: str, **limits: Any) -> Caller:
        body = {"name": f"{role} {uuid4().hex[:6]}", "role": role, **limits}
        token = self.boss.make("tokens", body)["token"]
        self.tokens[role] = token
        return Caller(self.server.url, token)

    def put(self, service: str, document: Any, by: Caller | None = None, **query: Any) -> Answer:
        caller = by or self.boss
        return caller.ask("PUT", "/config", document, service=service, **query)

    def write(self, service: str, document: Any, **query: Any) -> None:
        answer = self.put(service, document, **query)
        assert answer.status_code == 200, answer.text

    def mark(self, service: str, *pointers: str) -> None:
        body = {"pointers": list(pointers)}
        answer = self.boss.ask("PUT", "/api/v1/services/secrets", body, service=service)
        assert answer.status_code == 200, answer.text

    def extend(self, service: str, *targets: str, by: Caller | None = None) -> Answer:
        caller = by or self.boss
        return caller.ask("PATCH", "/api/v1/services", {"extends": list(targets)}, service=service)

    def get(self, caller: Caller, service: str, environment: str = "default") -> Any:
        answer = resolved(caller, service, environment)
        assert answer.status_code == 200, answer.text
        return answer.json()


def resolved(caller: Caller, service: str, environment: str = "default") -> Answer:
    query = {"version": "current", "resolved": "true", "environment": environment}
    return caller.ask("GET", "/config", service=service, **query)


def canary() -> str:
    return f"canary{uuid4().hex}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield House(running)
    for http in OPEN_CLIENTS:
        http.close()


@pytest.fixture(scope="module")
def reader(house: House) -> Caller:
    return house.acting("reader")


@pytest.fixture(scope="module")
def editor(house: House) -> Caller:
    return house.acting("editor")


def base_with_secret(house: House, name: str, secret: Any) -> str:
    """Make a service whose ``/db/password`` is secret."""
    base = f"base-{name}"
    house.write(base, {"db": {"host": "h"}})
    house.mark(base, "/db/password")
    house.write(base, {"db": {"host": "h", "password": secret}})
    return base


def make(house: House, name: str, way: str) -> tuple[str, str, str]:
    """Make a service that has a secret in one of the ways there are; return it, where, and it."""
    secret = canary()
    base = base_with_secret(house, name, secret)
    environment = "default"
    if way == "extended":
        house.write(name, {"k": 1})
        assert house.extend(name, base).status_code == 200
    elif way == "extended twice":
        house.write(f"middle-{name}", {"k": 1})
        house.write(name, {"k": 1})
        house.extend(f"middle-{name}", base)
        house.extend(name, f"middle-{name}")
    elif way == "lower environment":
        name, environment = base, "prod"
        house.write(name, {"more": 1}, environment=environment)
    elif way == "reference":
        house.write(name, {"use": {"$use": f"{base}#/db/password"}})
    elif way == "whole document":
        house.write(name, {"use": {"$use": f"{base}#"}})
    elif way == "around":
        house.write(name, {"use": {"$use": f"{base}#/db"}})
    elif way == "two references":
        house.write(f"middle-{name}", {"m": {"$use": f"{base}#/db"}})
        house.write(name, {"use": {"$use": f"middle-{name}#/m/password"}})
    elif way == "array":
        house.write(name, {"use": [1, {"x": {"$use": f"{base}#/db/password"}}]})
    elif way == "from inside":
        whole = f"whole-{name}"
        house.write(whole, {"a": 1})
        house.mark(whole, "/s")
        house.write(whole, {"s": {"in": [{"deep": secret}]}})
        house.write(name, {"use": {"$use": f"{whole}#/s/in/0/deep"}})
    elif way == "inside another environment":
        environment = "stage"
        house.write(base, {"db": {"password": secret + "stage"}}, environment="stage")
        house.write(name, {"use": {"$use": f"{base}#/db/password"}}, environment="stage")
    elif way == "overridden by a plain value":
        house.write(name, {"db": {"password": secret + "plain"}})
        house.extend(name, base)
    elif way == "put there by the one below":
        house.write(f"low-{name}", {"own": secret})
        house.write(name, {"k": 1})
        house.mark(name, "/own")
        house.extend(name, f"low-{name}")
    elif way == "put there by the one below alone":
        environment = "apart"
        house.write(f"low-{name}", {"own": secret}, environment="apart")
        house.write(name, {"k": 1})
        house.mark(name, "/own")
        house.extend(name, f"low-{name}")
    elif way == "marked after the fact":
        name = f"late-{name}"
        house.write(name, {"late": secret})
        house.write(name, {"k": 1}, environment="prod")
        house.mark(name, "/late")
        environment = "prod"
    return name, environment, secret


WAYS = [
    "extended",
    "extended twice",
    "lower environment",
    "reference",
    "whole document",
    "around",
    "two references",
    "array",
    "from inside",
    "inside another environment",
    "overridden by a plain value",
    "put there by the one below",
    "put there by the one below alone",
    "marked after the fact",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_masked_for_those_who_may_not_read_it_and_audited_for_the_others(
    house: House, reader: Caller, editor: Caller, name: str, way: str
) -> None:
    service, environment, secret = make(house, name, way)
    query = {"service": service, "environment": environment}
    whole = {**query, "version": "current", "resolved": "true"}
    other = "prod" if environment != "prod" else "default"
    revision = house.boss.ask("GET", "/config", **whole).headers["Config-Revision"]

    for caller in (reader, editor):
        for path, more in (
            ("/config", whole),
            ("/config", {**whole, "format": "yaml"}),
            ("/config", {**query, "resolved": "true", "as_of": revision}),
            ("/api/v1/explain", query),
            ("/api/v1/diff", {"service": service, "from": environment, "to": "apart"}),
            ("/api/v1/diff", {"service": service, "from": "apart", "to": environment}),
            ("/api/v1/diff", {"service": service, "from": environment, "to": other}),
            ("/api/v1/changes", {**query, "resolved": "true", "limit": 500}),
        ):
            answer = caller.ask("GET", path, **more)
            assert answer.status_code < 500, (path, answer.text)
            assert secret not in answer.text, (path, more)
    assert MASK in resolved(reader, service, environment).text
    # An explanation masks secrets for everybody, because it is about where values are.
    explained = house.boss.ask("GET", "/api/v1/explain", **query)
    assert explained.status_code == 200
    assert MASK in explained.text
    assert secret not in explained.text

    secret_reader = house.acting("organisation-administrator")
    shown = resolved(secret_reader, service, environment)
    assert secret in shown.text
    entries = house.boss.ask("GET", "/api/v1/audit", kind="secret.read", limit=1).json()["entries"]
    owners = {
        "marked after the fact": service,
        "from inside": f"whole-{name}",
        "put there by the one below": name,
        "put there by the one below alone": name,
    }
    assert entries[0]["service"] == owners.get(way, f"base-{name}")
    assert "organisation-administrator" in entries[0]["actor"]


@pytest.mark.parametrize("way", WAYS)
def test_a_repeated_read_of_a_secret_is_audited_each_time(
    house: House, name: str, way: str
) -> None:
    service, environment, secret = make(house, name, way)
    caller = house.acting("organisation-administrator")

    def entries() -> int:
        answer = house.boss.ask("GET", "/api/v1/audit", kind="secret.read", limit=500)
        return len(answer.json()["entries"])

    before = entries()
    for _ in range(3):
        assert secret in resolved(caller, service, environment).text

    assert entries() == before + 3


def test_the_entity_tags_of_a_masked_document_confirm_no_guess(
    house: House, reader: Caller, name: str
) -> None:
    low = f"low-{name}"
    house.write(low, {"own": "guess"}, environment="apart")
    house.write(name, {"k": 1})
    house.mark(name, "/own")
    house.extend(name, low)

    masked, plain = resolved(reader, name, "apart"), resolved(reader, low, "apart")
    # Whoever knows the tag of the right guess would recognise it.
    _, stamp, _ = plain.headers["ETag"].split(".")

    assert masked.json() == {"own": MASK}
    assert stamp not in masked.headers["ETag"]


def test_what_a_value_overrides_is_masked_where_the_value_is(
    house: House, reader: Caller, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    house.write(name, {"db": {"password": f"{secret}-old"}})
    house.write(name, {"db": {"password": f"{secret}-new"}}, environment="prod")
    house.extend(name, base)
    house.write(f"flat-{name}", {"db": {"password": f"{secret}-old"}})
    house.write(f"flat-{name}", {"db": "none"}, environment="prod")
    house.extend(f"flat-{name}", base)

    # Marked where it is used, and plain where it comes from.
    house.write(f"plain-{name}", {"v": f"{secret}-old"})
    house.write(f"plain-{name}", {"v": f"{secret}-new"}, environment="prod")
    house.write(f"use-{name}", {"use": {"$use": f"plain-{name}#"}})
    house.mark(f"use-{name}", "/use/v")

    for service in (name, f"flat-{name}", f"use-{name}"):
        answer = reader.ask("GET", "/api/v1/explain", service=service, environment="prod")
        assert answer.status_code == 200
        assert secret not in answer.text
        assert '"overrides": [{' in answer.text


def test_an_explanation_shows_nothing_but_the_value_of_what_its_reader_may_not_read(
    house: House, name: str
) -> None:
    house.write(f"hidden/{name}", {"v": "old"}, note="secret note")
    house.write(f"hidden/{name}", {"v": "new"}, environment="prod", note="secret note")
    house.write(f"team/{name}", {"w": {"$use": f"hidden/{name}#/v"}})
    query = {"service": f"team/{name}", "environment": "prod"}

    [limited] = (
        house.acting("reader", services=["team/"])
        .ask("GET", "/api/v1/explain", **query)
        .json()["values"]
    )
    [free] = house.boss.ask("GET", "/api/v1/explain", **query).json()["values"]

    assert (limited["value"], limited["overrides"]) == ("new", [])
    assert (limited["from"]["author"], limited["from"]["note"]) == ("", "")
    assert [one["value"] for one in free["overrides"]] == ["old"]
    assert free["from"]["note"] == "secret note"


# --- who may show a secret elsewhere


@pytest.mark.parametrize(
    "use", ["#/db/password", "#/db", "#"], ids=["the secret", "around it", "whole document"]
)
def test_who_may_not_read_a_secret_cannot_refer_to_it(
    house: House, editor: Caller, name: str, use: str
) -> None:
    base = base_with_secret(house, name, canary())
    house.write(name, {"t": {"b": 1}})
    document = {"t": {"$use": f"{base}{use}"}}
    ways = [
        house.put(name, document, by=editor),
        house.put(name, {"list": [document]}, by=editor),
        # With others it would make a whole reference, which no layer alone is.
        house.put(name, {"t": {**document["t"], "b": None}}, by=editor, environment="prod"),
        editor.http.patch(
            "/config",
            params={"service": name},
            json={**document},
            headers={"Content-Type": "application/merge-patch+json"},
        ),
        editor.ask(
            "POST", "/api/v1/changesets", {"changes": [{"service": name, "document": document}]}
        ),
        editor.ask("POST", "/api/v1/import", {name: document}),
    ]
    assert [answer.status_code for answer in ways] == [422] * len(ways)
    assert house.get(house.boss, name, "prod") == {"t": {"b": 1}}


def test_a_reference_is_judged_in_every_environment_that_inherits_it(
    house: House, editor: Caller, name: str
) -> None:
    base = f"base-{name}"
    house.write(base, {"o": {"y": 1}})
    house.mark(base, "/o/z")
    house.write(base, {"o": {"z": canary()}}, environment="prod")

    answer = house.put(name, {"v": {"$use": f"{base}#/o"}}, by=editor)

    assert answer.status_code == 422
    assert "It leads to a secret" in answer.text


def test_a_reference_shows_no_documents_of_environments_that_its_writer_may_not_see(
    house: House, name: str
) -> None:
    limited = house.acting("editor", environments=["default"])
    house.write(f"a-{name}", {"v": 1})
    house.write(f"b-{name}", {"v": 1})
    house.write(f"b-{name}", {"v": 2}, environment="prod")

    same = house.put(name, {"v": {"$use": f"a-{name}#/v"}}, by=limited)
    other = house.put(name, {"v": {"$use": f"b-{name}#/v"}}, by=limited)

    assert same.status_code == 200
    assert other.status_code == 422
    assert "prod" not in other.text


def test_who_may_not_read_the_secrets_of_a_service_cannot_extend_it(
    house: House, editor: Caller, name: str
) -> None:
    base = base_with_secret(house, name, canary())
    house.write(f"plain-{name}", {"p": 1})
    house.write(name, {"k": 1})

    refused = house.extend(name, base, by=editor)
    plain = house.extend(name, f"plain-{name}", by=editor)
    assert house.extend(name, f"plain-{name}", base).status_code == 200
    # What is extended already was shown by somebody who may read it.
    turned = house.extend(name, base, f"plain-{name}", by=editor)

    assert refused.status_code == 403
    assert "config:read-secret" in refused.text
    assert (plain.status_code, turned.status_code) == (200, 200)


def test_a_reference_into_a_service_is_in_the_audit_log_and_takes_the_right_to_read_it(
    house: House, name: str
) -> None:
    house.write(f"hidden/{name}", {"v": 1})
    limited = house.acting("editor", services=["team/"])
    document = {"v": {"$use": f"hidden/{name}#/v"}}

    hidden = house.put(f"team/{name}", document, by=limited)
    absent = house.put(f"team/{name}", {"v": {"$use": f"absent/{name}#/v"}}, by=limited)
    house.write(f"team/{name}", document)

    assert (hidden.status_code, absent.status_code) == (422, 422)
    assert (
        hidden.json()["problems"][0]["message"].replace("hidden", "absent")
        == (absent.json()["problems"][0]["message"])
    )
    query = {"service": f"team/{name}", "kind": "referenced"}
    [entry] = house.boss.ask("GET", "/api/v1/audit", **query).json()["entries"]
    assert entry["detail"] == {"environment": "default", "uses": [f"hidden/{name}"]}
    # Who may read the result reads what it leads to.
    assert house.get(limited, f"team/{name}") == {"v": 1}


def test_a_bad_version_is_disabled_by_who_may_publish_also_where_an_older_one_uses_a_secret(
    house: House, name: str
) -> None:
    base = base_with_secret(house, name, canary())
    house.write(name, {"t": {"$use": f"{base}#/db/password"}})
    house.write(name, {"t": "bad"})
    publisher = house.acting("publisher")

    answer = publisher.ask("PATCH", "/config", service=name, version=1, enabled="false")

    assert answer.status_code == 200, answer.text
    assert house.get(publisher, name) == {"t": MASK}


# --- rehearsals, problems, streams


def test_a_rehearsal_confirms_no_guess_at_a_secret(house: House, editor: Caller, name: str) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    house.write(name, {"use": {"$use": f"{base}#/db/password"}})

    def impact(guess: str) -> Any:
        document = {"db": {"host": "h", "password": guess}}
        answer = house.put(base, document, by=editor, dry_run="true")
        assert answer.status_code == 200, answer.text
        assert secret not in answer.text
        return answer.json()["impact"]

    assert impact(secret) == impact("wrong")


def test_problems_of_a_resolved_document_quote_no_secret(
    house: House, editor: Caller, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    password = {"properties": {"password": {"maxLength": 60}}}
    schema = {"properties": {"use": {"type": "object"}, "db": password}}
    house.boss.ask("PUT", "/api/v1/definitions", {"schema": schema}, definition=name)
    house.write(f"{name}/b", {"k": 1}, definition=name)
    house.extend(f"{name}/b", base)
    answers = [
        house.put(f"{name}/a", {"use": {"$use": f"{base}#/db/password"}}, definition=name),
        house.put(base, {"db": {"password": secret * 2}}),
        house.put(base, {"db": {"password": secret * 2}}, by=editor),
        house.put(base, {"db": {"password": secret * 2}}, by=editor, dry_run="true"),
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    for answer in answers:
        assert secret not in answer.text
    assert answers[1].json()["code"] == "breaks-others"


@pytest.mark.parametrize("websocket", [False, True])
def test_a_stream_about_a_resolved_document_carries_no_secret(
    house: House, name: str, websocket: bool
) -> None:
    first, second = canary(), canary()
    base = base_with_secret(house, name, first)
    house.write(name, {"use": {"$use": f"{base}#/db/password"}})
    house.acting("reader")
    path = f"/api/v1/changes?service={name}&resolved=true"
    world: Any = house
    with listening(world, "reader", path, websocket) as heard:
        house.write(base, {"db": {"host": "h", "password": second}})
        wait_for(heard, base.encode())
        time.sleep(0.1)
    assert first.encode() not in heard
    assert second.encode() not in heard


# --- sealed values belong to their environment


def stored(house: House, service: str, environment: str) -> list[str]:
    with raw_connection(house.server.database) as connection:
        rows = connection.execute(
            "SELECT v.document FROM versions v JOIN services s ON s.id = v.service_id "
            "WHERE s.name = ? AND v.environment = ? ORDER BY v.number",
            (service, environment),
        ).fetchall()
    return [bytes(row[0]).decode() if isinstance(row[0], bytes) else row[0] for row in rows]


def test_a_promotion_seals_again_and_shows_the_same_secret(
    house: House, reader: Caller, editor: Caller, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    body = {"services": [base], "from": "default", "to": "apart"}

    answer = editor.ask("POST", "/api/v1/promotions", body)
    part = editor.ask("POST", "/api/v1/promotions", {**body, "pointers": ["/db"]})
    plain = editor.ask("POST", "/api/v1/promotions", {**body, "pointers": ["/db/host"]})

    assert answer.status_code == 200, answer.text
    assert secret not in answer.text
    assert (part.status_code, plain.status_code) == (403, 200)
    assert house.get(house.boss, base, "apart")["db"]["password"] == secret
    assert house.get(reader, base, "apart")["db"]["password"] == MASK
    [here, *_], there = stored(house, base, "apart"), stored(house, base, "default")[-1]
    assert secret not in here + there
    assert here != there


def test_promoting_parts_takes_the_right_to_read(house: House, name: str) -> None:
    house.write(name, {"n": 1})
    permissions = {"permissions": ["config:write"]}
    house.boss.ask("PUT", "/api/v1/roles", permissions, name=f"writer-{name}")
    writer = house.acting(f"writer-{name}")
    body = {"services": [name], "from": "default", "to": "apart"}

    for more in ({}, {"pointers": ["/n"]}, {"pointers": ["/absent"]}):
        answer = writer.ask("POST", "/api/v1/promotions", {**body, **more})
        assert answer.status_code == 403, answer.text
        assert "config:read" in answer.text


def test_an_unmarked_secret_is_promoted_as_one(
    house: House, reader: Caller, editor: Caller, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    house.mark(base)
    body = {"services": [base], "from": "default", "to": "apart"}

    assert editor.ask("POST", "/api/v1/promotions", body).status_code == 200

    assert house.get(house.boss, base, "apart")["db"]["password"] == secret
    assert secret not in resolved(reader, base, "apart").text
    assert secret not in stored(house, base, "apart")[0]


def test_a_sealed_value_that_is_copied_by_hand_into_another_environment_does_not_open(
    house: House, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    house.write(base, {"db": {"password": "other"}}, environment="apart")
    sealed = stored(house, base, "default")[-1]
    with raw_connection(house.server.database) as connection:
        connection.execute(
            "UPDATE versions SET (document, digest, size) = (SELECT v.document, v.digest, v.size "
            "FROM versions v WHERE v.service_id = versions.service_id "
            "AND v.environment = 'default' AND v.number = 1) "
            "WHERE environment = 'apart' AND service_id = "
            "(SELECT id FROM services WHERE name = ?)",
            (base,),
        )
        connection.commit()
    assert stored(house, base, "apart") == [sealed]

    for answer in (
        house.boss.ask("GET", "/config", service=base, version="current", environment="apart"),
        resolved(house.boss, base, "apart"),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "secret-unreadable"
        assert secret not in answer.text


# --- keys, and services that are gone


def test_keys_are_rotated_with_secrets_in_several_environments(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", auth="token", admin_token=ADMINISTRATOR) as server:
        house = House(server)
        secret = canary()
        base = base_with_secret(house, "web", secret)
        house.write(base, {"db": {"password": f"{secret}-prod"}}, environment="prod")
        for command in (("secrets", "rotate"), ("check",)):
            done = server.run(*command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert secret not in done.stdout + done.stderr
        house.write(base, {"db": {"password": f"{secret}-new"}}, environment="apart")
        for environment, ending in (("default", ""), ("prod", "-prod"), ("apart", "-new")):
            shown = house.get(house.boss, base, environment)
            assert shown["db"]["password"] == secret + ending


def test_marks_are_kept_when_the_last_series_of_a_service_goes(
    house: House, reader: Caller, name: str
) -> None:
    base = base_with_secret(house, name, canary())
    house.write(base, {"db": {"password": canary()}}, environment="apart")

    def delete(environment: str) -> None:
        query = {"service": base, "environment": environment}
        versions = house.boss.ask("GET", "/api/v1/versions", **query).json()["versions"]
        for version in versions:
            change = {**query, "version": version["number"], "enabled": "false"}
            assert house.boss.ask("PATCH", "/config", **change).status_code == 200
        assert house.boss.ask("DELETE", "/config", **query).status_code == 200

    delete("default")
    secret = canary()
    house.write(base, {"db": {"password": secret}}, environment="prod")
    assert secret not in resolved(reader, base, "prod").text
    delete("apart")
    delete("prod")
    assert resolved(reader, base, "prod").status_code == 404

    house.write(base, {"db": {"password": secret}}, environment="apart")

    assert house.get(reader, base, "apart") == {"db": {"password": MASK}}
    assert secret not in stored(house, base, "apart")[0]


def test_exports_of_an_environment_mask_secrets_and_say_which_one_was_exported(
    house: House, reader: Caller, name: str
) -> None:
    secret = canary()
    base = base_with_secret(house, name, secret)
    house.write(base, {"db": {"password": secret}}, environment="stage")
    query = {"prefix": base, "environment": "stage"}

    masked = reader.ask("GET", "/api/v1/export", **query)
    clear = house.acting("organisation-administrator").ask("GET", "/api/v1/export", **query)

    assert masked.json() == {base: {"db": {"password": MASK}}}
    assert clear.json() == {base: {"db": {"password": secret}}}
    entries = house.boss.ask("GET", "/api/v1/audit", kind=["export", "secret.read"], limit=3)
    assert {entry["kind"] for entry in entries.json()["entries"][:2]} == {"export", "secret.read"}
    details = [entry["detail"] for entry in entries.json()["entries"] if entry["kind"] == "export"]
    assert details[0]["environment"] == "stage"
