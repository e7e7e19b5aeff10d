"""A service that is deleted and created again keeps its secret marks."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from distributed_config.models.sqlite import raw_connection
from distributed_config.services.access.token_format import new_token
from distributed_config.wire import MASK
from tests.support.callers import Caller
from tests.support.server import Server

ADMINISTRATOR = new_token()
SECRET = {"properties": {"password": {"x-secret": True}}}
DOCUMENT = {"password": "two", "port": 80}
HIDDEN = {"password": MASK, "port": 80}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("marks") / "instance"
    with Server(folder, auth="token", admin_token=ADMINISTRATOR) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(guarded: Server) -> Caller:
    return Caller(guarded.url, ADMINISTRATOR)


@pytest.fixture(scope="module")
def acting(guarded: Server, administrator: Caller) -> Callable[[str], Caller]:
    def make(role: str) -> Caller:
        return Caller(
            guarded.url, administrator.make("tokens", {"name": role, "role": role})["token"]
        )

    return make


def pointers(caller: Caller, service: str) -> Any:
    return caller.ask("GET", "/api/v1/services/secrets", service=service).json()["pointers"]


def mark(caller: Caller, service: str, *paths: str) -> int:
    body = {"pointers": list(paths)}
    return caller.ask("PUT", "/api/v1/services/secrets", body, service=service).status_code


def delete(caller: Caller, service: str) -> None:
    for version in caller.ask("GET", "/api/v1/versions", service=service).json()["versions"]:
        number = version["number"]
        off = caller.ask("PATCH", "/config", service=service, version=number, enabled="false")
        assert off.status_code == 200, off.text
    assert caller.ask("DELETE", "/config", service=service).status_code == 200


@pytest.mark.parametrize("way", ["PUT", "POST", "import", "changesets", "definition"])
def test_pointers_stay_with_the_name(
    guarded: Server,
    administrator: Caller,
    acting: Callable[[str], Caller],
    name: str,
    way: str,
) -> None:
    publisher, reader = acting("publisher"), acting("reader")
    assert publisher.put(name, {"password": "one"}).status_code == 200
    assert mark(administrator, name, "/password") == 200

    delete(publisher, name)
    if way in {"PUT", "POST"}:
        created = publisher.ask(way, "/config", DOCUMENT, service=name)
    elif way == "import":
        created = publisher.ask("POST", "/api/v1/import", {name: DOCUMENT})
    elif way == "changesets":
        changes = [{"service": name, "document": DOCUMENT}]
        created = publisher.ask("POST", "/api/v1/changesets", {"changes": changes})
    else:
        definition = uuid4().hex[:8]
        publisher.ask("PUT", "/api/v1/definitions", {"schema": {}}, definition=definition)
        created = publisher.ask("PUT", "/config", DOCUMENT, service=name, definition=definition)

    assert created.status_code == 200, created.text
    assert reader.get(name).json() == HIDDEN
    assert administrator.get(name).json() == DOCUMENT
    with raw_connection(guarded.database) as connection:
        [[stored]] = connection.execute(
            "SELECT document FROM versions JOIN services ON id = service_id WHERE name = ?", [name]
        ).fetchall()
    assert "two" not in stored, "the first version is sealed like any other"
    assert pointers(publisher, name) == ["/password"]


def test_pointers_stay_however_often_and_go_when_somebody_takes_them_away(
    administrator: Caller, acting: Callable[[str], Caller], name: str
) -> None:
    publisher, reader = acting("publisher"), acting("reader")
    publisher.put(name, {})
    mark(administrator, name, "/password")
    for _ in range(2):
        delete(publisher, name)
        publisher.put(name, {})

    assert mark(publisher, name) == 403
    assert mark(administrator, name) == 200
    delete(publisher, name)
    publisher.put(name, DOCUMENT)

    assert pointers(reader, name) == []
    assert reader.get(name).json() == DOCUMENT


def test_pointers_of_another_service_or_organisation_are_its_own(
    guarded: Server, administrator: Caller, acting: Callable[[str], Caller], name: str
) -> None:
    publisher = acting("publisher")
    publisher.put(name, {})
    mark(administrator, name, "/password")
    delete(publisher, name)
    there = uuid4().hex[:8]
    administrator.make("organisations", {"name": there})

    publisher.put(f"{name}2", DOCUMENT)
    header = {"Config-Organisation": there}
    administrator.ask("PUT", "/config", DOCUMENT, service=name, headers=header)

    assert pointers(publisher, f"{name}2") == []
    elsewhere = administrator.ask("GET", "/api/v1/services/secrets", service=name, headers=header)
    assert elsewhere.json()["pointers"] == []


@pytest.mark.parametrize("way", ["deleted", "with its definition"])
def test_what_a_definition_marked_stays_marked(
    administrator: Caller, acting: Callable[[str], Caller], name: str, way: str
) -> None:
    publisher, reader = acting("publisher"), acting("reader")
    first, second, third = (f"{name}-{number}" for number in range(3))
    for definition, schema in ((first, SECRET), (second, SECRET), (third, {})):
        publisher.ask("PUT", "/api/v1/definitions", {"schema": schema}, definition=definition)
    put = {"service": name, "definition": first}
    assert publisher.ask("PUT", "/config", {"password": "one"}, **put).status_code == 200

    if way == "deleted":
        delete(publisher, name)
    else:
        gone = {"definition": first, "cascade": "delete"}
        assert publisher.ask("DELETE", "/api/v1/definitions", **gone).status_code == 200

    refused = publisher.put(name, DOCUMENT)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "config:read-secret" in refused.json()["detail"]
    loose = publisher.ask("PUT", "/config", DOCUMENT, service=name, definition=third)
    assert loose.status_code == 403
    recreated = publisher.ask("PUT", "/config", DOCUMENT, service=name, definition=second)
    assert recreated.status_code == 200, recreated.text
    assert reader.get(name).json() == HIDDEN

    delete(publisher, name)
    assert administrator.put(name, DOCUMENT).status_code == 200
    assert reader.get(name).json() == DOCUMENT


def test_kept_pointers_to_what_a_definition_indexes_are_refused(
    administrator: Caller, acting: Callable[[str], Caller], name: str
) -> None:
    publisher = acting("publisher")
    publisher.put(name, {})
    mark(administrator, name, "/port")
    delete(publisher, name)
    body = {"schema": {"properties": {"port": {}}}, "indexes": ["port"]}
    publisher.ask("PUT", "/api/v1/definitions", body, definition=name)

    for method in ("PUT", "POST"):
        refused = publisher.ask(method, "/config", DOCUMENT, service=name, definition=name)
        assert refused.status_code == 422
        assert "is indexed" in refused.text
