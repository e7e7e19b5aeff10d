"""Sections are services like any other, and the promises of the core hold for them."""

from typing import Any
from uuid import uuid4

from tests.dialects.unified.client import (
    NOT_DELETED,
    Answer,
    Unified,
    at_once,
    documents,
    head,
    missing,
    refused,
    removed,
    saved,
    value,
)
from tests.support.server import Api


def test_every_write_is_a_version(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.replace(section, {"b": 2})
    unified.bulk({section: {"c": 3}})
    unified.delete(section, key="b")

    assert documents(api, section) == [{"a": 1}, {"b": 2}, {"b": 2, "c": 3}, {"c": 3}]
    assert [each["number"] for each in api.versions(section)] == [0, 1, 2, 3]
    assert api.get(section, version="current").text == '{"c": 3}'


def test_a_roll_back_shows(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "a", 2)

    back = api.http.post("/api/v1/rollback", params={"service": section, "to": 0})

    assert back.status_code == 200
    assert value(unified.get(section, key="a")) == 1


def test_a_disabled_version_does_not_show(api: Api, unified: Unified, section: str) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "b", 2)

    api.enable(section, 1, False)

    assert value(unified.get(section)) == {"a": 1}
    missing(unified.delete(section, key="b"), NOT_DELETED)
    saved(unified.set(section, "c", 3))
    assert value(unified.get(section)) == {"a": 1, "c": 3}


def test_a_section_of_which_nothing_is_enabled_is_not_there(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 1)
    api.enable(section, 0, False)

    missing(unified.get(section))
    missing(unified.delete(section), NOT_DELETED)
    saved(unified.set(section, "b", 2))
    assert value(unified.get(section)) == {"b": 2}


def test_definitions_are_enforced(api: Api, unified: Unified, section: str) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    api.define(f"{section}-def", schema)
    assert api.put(section, {"n": 1}, definition=f"{section}-def").status_code == 200
    before = head(api)

    refused(unified.set(section, "n", "text"))
    refused(unified.replace(section, {"m": 1}))
    refused(unified.replace(section, [1]))
    refused(unified.delete(section, key="n"))
    refused(unified.bulk({f"{section}-other": {"a": 1}, section: {"n": None}}))
    refused(unified.bulk({f"{section}-other": {"a": 1}, section: {"n": 1.5}}))

    assert value(unified.get(section)) == {"n": 1}
    missing(unified.get(f"{section}-other"))
    assert head(api) == before
    saved(unified.set(section, "n", 2))
    removed(unified.delete(section))
    refused(unified.set(section, "n", "text"))
    saved(unified.set(section, "n", 3))


def test_the_one_endpoint_means_what_it_always_meant(api: Api) -> None:
    service = f"get/{uuid4().hex[:12]}"

    assert api.get(service).status_code == 404
    created = api.post(service, {"a": 1})
    assert (created.json()["enabled"], created.json()["service"]) == (True, service)
    assert api.post(service, {"a": 1}).status_code == 422
    assert api.get(service).text == '{"a": 1}'
    assert api.put(service, {"a": 1}).json()["changed"] is False
    assert api.put(service, {"a": 2}).json()["version"] == 1
    assert api.patch(service, {"a": 3}).json()["version"] == 2
    assert api.get(service).json() == {"0": '{"a": 1}', "1": '{"a": 2}', "2": '{"a": 3}'}
    assert api.delete(service).status_code == 409
    for number in (2, 1, 0):
        assert api.enable(service, number, False).status_code == 200
    assert api.delete(service, version=0).status_code == 200
    assert api.delete(service).json() == {"success": True}
    assert api.get(service).status_code == 404


def test_the_one_endpoint_reads_and_writes_the_same_sections(
    api: Api, unified: Unified, section: str
) -> None:
    assert api.post(section, {"a": 1, "A.b": {"c": None}, "n": None}).status_code == 200

    assert value(unified.get(section)) == {"a": 1, "A.b": {"c": None}, "n": None}
    assert value(unified.get(section, key="A.b")) == {"c": None}
    saved(unified.set(section, "a", 2))
    assert api.get(section, version="current").json() == {"a": 2, "A.b": {"c": None}, "n": None}
    removed(unified.delete(section, key="A.b"))
    removed(unified.delete(section))
    assert api.get(section, version="current").status_code == 404
    assert api.delete(section).status_code == 200
    assert api.http.get("/api/v1/versions", params={"service": section}).status_code == 404


def test_a_write_under_an_idempotency_key_happens_once(
    api: Api, unified: Unified, section: str
) -> None:
    def again(method: str, path: str, body: Any = None, **query: Any) -> list[Answer]:
        headers = {"Idempotency-Key": uuid4().hex}
        sent = {"json": body} if body is not None else {}
        return [
            unified.http.request(method, path, params=query, headers=headers, **sent)
            for _ in range(2)
        ]

    one = {"section": section, "key": "a", "value": 1}
    for first, second in (
        again("POST", "/config/set", one),
        again("PUT", "/config/update_bulk", {section: {"a": 2}}),
        again("DELETE", "/config/delete", section=section, key="a"),
        again("DELETE", "/config/delete", section=section),
    ):
        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert first.status_code == 200
        assert second.headers["idempotency-replayed"] == "true"
    assert documents(api, section) == [{"a": 1}, {"a": 2}, {}]


def test_an_idempotency_key_is_for_one_request(unified: Unified, section: str) -> None:
    headers = {"Idempotency-Key": section}
    body = {"section": section, "key": "a", "value": 1}
    unified.http.post("/config/set", json=body, headers=headers)

    refused(unified.http.post("/config/set", json={**body, "value": 2}, headers=headers))

    assert value(unified.get(section)) == {"a": 1}


def test_sixteen_sets_at_once_of_one_section_lose_none(
    api: Api, unified: Unified, section: str
) -> None:
    for answer in at_once(16, lambda i: unified.set(section, f"k{i}", i)):
        saved(answer)

    assert value(unified.get(section)) == {f"k{i}": i for i in range(16)}
    assert [len(each) for each in documents(api, section)] == list(range(1, 17))
    assert value(unified.history(section))["total_count"] == 16


def test_sets_bulk_updates_and_deletions_at_once_lose_nothing(
    unified: Unified, section: str
) -> None:
    unified.replace(section, {f"old{i}": i for i in range(5)})

    def one(i: int) -> Answer:
        if i % 3 == 0:
            return unified.set(section, f"set{i}", i)
        if i % 3 == 1:
            return unified.bulk({section: {f"bulk{i}": i}, f"{section}-2": {f"bulk{i}": i}})
        return unified.delete(section, key=f"old{i // 3}")

    for answer in at_once(15, one):
        assert answer.status_code == 200, answer.text
    bulk = {f"bulk{i}": i for i in range(1, 15, 3)}
    assert value(unified.get(section)) == {f"set{i}": i for i in range(0, 15, 3)} | bulk
    assert value(unified.get(f"{section}-2")) == bulk
