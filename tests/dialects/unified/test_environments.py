"""Sections in an environment: every route takes ``environment=``."""

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from tests.dialects.unified.client import (
    ALL_SAVED,
    NOT_DELETED,
    Unified,
    Updates,
    entries,
    faults,
    keys_and_values,
    missing,
    refused,
    removed,
    saved,
    value,
)
from tests.support.server import Api, Server

UNKNOWN = "There is no environment 'nowhere'"


@pytest.fixture
def api(layered: Server) -> Api:
    return layered.api


def _in(api: Api, environment: str) -> Unified:
    """One whose requests are all about an environment."""
    there = Unified(api)
    there.http = httpx2.Client(base_url=api.url, params={"environment": environment})
    return there


@pytest.fixture
def prod(api: Api) -> Iterator[Unified]:
    there = _in(api, "prod")
    with there.http:
        yield there


def test_a_key_is_set_where_the_request_says(
    api: Api, unified: Unified, prod: Unified, section: str
) -> None:
    saved(unified.set(section, "a", 1))
    saved(prod.set(section, "a", 2))
    saved(prod.replace(section, {"a": 3, "b": 4}))

    assert value(unified.get(section)) == {"a": 1}
    assert value(prod.get(section, key="a")) == 3
    assert api.get(section, version="current", environment="prod").json() == {"a": 3, "b": 4}


def test_a_section_shows_what_is_stored_and_not_what_it_inherits(
    unified: Unified, prod: Unified, section: str
) -> None:
    saved(unified.set(section, "a", 1))

    missing(prod.get(section))
    saved(prod.set(section, "b", 2))
    assert value(prod.get(section)) == {"b": 2}


def test_a_key_and_a_section_are_deleted_in_one_environment(
    unified: Unified, prod: Unified, section: str
) -> None:
    for one in (unified, prod):
        saved(one.replace(section, {"a": 1, "b": 2}))

    removed(prod.delete(section, key="a"))
    assert value(prod.get(section)) == {"b": 2}
    removed(prod.delete(section))

    missing(prod.get(section))
    missing(prod.delete(section), NOT_DELETED)
    assert value(unified.get(section)) == {"a": 1, "b": 2}


def test_a_bulk_update_and_an_export_are_of_one_environment(
    unified: Unified, prod: Unified, section: str
) -> None:
    saved(unified.set(section, "a", 1))

    assert value(prod.bulk({section: {"a": 2}, f"{section}_list": [1]})) == ALL_SAVED

    there, here = value(prod.export()), value(unified.export())
    assert (there[section], there[f"{section}_list"]) == ({"a": 2}, [1])
    assert here[section] == {"a": 1}
    assert f"{section}_list" not in here


def test_an_export_of_an_environment_says_so_in_the_audit_log(api: Api, prod: Unified) -> None:
    prod.export()

    newest = api.http.get("/api/v1/audit", params={"kind": "export"}).json()["entries"][0]
    assert newest["detail"]["environment"] == "prod"


def test_a_history_is_of_one_environment(unified: Unified, prod: Unified, section: str) -> None:
    saved(unified.set(section, "a", 1))
    saved(prod.set(section, "a", 2))
    saved(prod.set(section, "a", 3))

    assert keys_and_values(unified.history(section)) == [("a", 1)]
    assert keys_and_values(prod.history(section)) == [("a", 3), ("a", 2)]


def test_the_history_of_a_series_that_was_deleted_and_made_again(
    api: Api, unified: Unified, prod: Unified, section: str
) -> None:
    saved(unified.set(section, "kept", 1))
    saved(prod.set(section, "old", 1))
    _delete_series(api, section, "prod")
    saved(prod.set(section, "new", 2))

    assert keys_and_values(prod.history(section)) == [("new", 2), (None, None)]
    assert keys_and_values(unified.history(section)) == [("kept", 1)]


def test_a_deletion_is_in_the_history_of_the_environments_that_had_the_section(
    api: Api, unified: Unified, prod: Unified, section: str
) -> None:
    saved(unified.set(section, "a", 1))
    _delete_series(api, section, "default")
    saved(prod.set(f"{section}_2", "a", 1))
    _delete_series(api, f"{section}_2", "prod")

    assert keys_and_values(unified.history(section)) == [(None, None)]
    assert entries(prod.history(section)) == []
    assert entries(unified.history(f"{section}_2")) == []
    assert keys_and_values(prod.history(f"{section}_2")) == [(None, None)]


def test_one_who_watches_an_environment_hears_of_it_alone(
    api: Api, unified: Unified, prod: Unified, section: str
) -> None:
    with closing(Updates(api, query="?environment=prod")) as there, closing(Updates(api)) as here:
        assert there.status == here.status == 101

        saved(unified.set(section, "a", 1))
        saved(prod.set(section, "a", 2))
        saved(unified.set(section, "a", 3))

        assert there.next() == {f"{section}:a": 2}
        assert [here.next(), here.next()] == [{f"{section}:a": 1}, {f"{section}:a": 3}]


def test_an_unknown_environment_is_a_404_that_lists_those_that_there_are(
    api: Api, section: str
) -> None:
    nowhere = _in(api, "nowhere")
    with nowhere.http:
        answers = [
            nowhere.get(section),
            nowhere.set(section, "a", 1),
            nowhere.replace(section, {}),
            nowhere.bulk({section: {"a": 1}}),
            nowhere.delete(section),
            nowhere.export(),
            nowhere.history(),
        ]

    for answer in answers:
        refused(answer, 404)
        assert UNKNOWN in answer.json()["detail"]
        assert "default, prod" in answer.json()["detail"]
    with closing(Updates(api, query="?environment=nowhere")) as updates:
        code, payload = updates.frame()
        # The connection is open already, so the status is in the frame that closes it.
        assert (code, int.from_bytes(payload[:2])) == (0x8, 4404)
        assert UNKNOWN in payload[2:].decode()


def test_two_environments_are_one_too_many(unified: Unified, section: str) -> None:
    for path in ("/config/get", "/config/export", "/config/history"):
        answer = unified.http.get(f"{path}?section={section}&environment=prod&environment=prod")

        [(place, _)] = faults(answer)
        assert place == ["query", "environment"]
    path = f"/config/delete?section={section}&environment=prod&environment=default"
    [(place, _)] = faults(unified.http.delete(path))
    assert place == ["query", "environment"]


def _delete_series(api: Api, service: str, environment: str) -> None:
    query = {"service": service, "environment": environment}
    for each in api.http.get("/api/v1/versions", params=query).json()["versions"]:
        switch = {**query, "version": each["number"], "enabled": "false"}
        assert api.http.patch("/config", params=switch).status_code == 200
    assert api.http.delete("/config", params=query).status_code == 200
