"""Every row of the contract of ``/config?service=NAME``, over a real server with two workers."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from tests.support.server import JSON, Api

MERGE = {"Content-Type": "application/merge-patch+json"}
OPERATIONS = {"Content-Type": "application/json-patch+json"}


def code(response: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, whose whole form is checked on the way."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == body["error"] == response.status_code
    assert body["success"] is False
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"type", "title", "detail", "code", "problems", "message"} <= body.keys()
    return response.status_code, body["code"]


# --- the contract as it always was


def test_creating_answers_with_the_service_and_its_text(api: Api, name: str) -> None:
    answer = api.post(name, {"a": [1, 2]}).json()

    assert list(answer) == [
        "ID", "enabled", "service", "serviceJSONconf", "success", "total_configs",
    ]  # fmt: skip
    assert (answer["service"], answer["enabled"], answer["success"]) == (name, True, True)
    assert answer["serviceJSONconf"] == '{"a": [1, 2]}'
    assert isinstance(answer["ID"], int)


def test_creating_twice_is_unprocessable(api: Api, name: str) -> None:
    api.post(name, {})

    refused = api.post(name, {})

    assert code(refused) == (422, "service-exists")
    assert refused.json() | {"error": 422, "message": "unprocessable", "success": False} == (
        refused.json()
    )


def test_one_version_is_answered_byte_for_byte(api: Api, name: str) -> None:
    api.post(name, {"z": 1, "a": "é", "n": [1.5, 12345678901234567890]})

    assert api.get(name).content == '{"z": 1, "a": "é", "n": [1.5, 12345678901234567890]}'.encode()


def test_several_versions_are_answered_as_strings_in_ascending_order(api: Api, name: str) -> None:
    for number in range(12):
        api.put(name, {"n": number})

    answer = api.get(name).json()

    assert list(answer) == [str(number) for number in range(12)]
    assert answer["11"] == '{"n": 11}'


def test_an_unknown_service_is_not_found(api: Api, name: str) -> None:
    missing = api.get(name)

    assert code(missing) == (404, "service-not-found")
    assert missing.json()["message"] == "resource not found"
    assert code(api.patch(name, {})) == (404, "service-not-found")
    assert code(api.delete(name)) == (404, "service-not-found")


@pytest.mark.parametrize("query", ["", "?service=", "?service=.a", "?service=a//b", "?service=a b"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_missing_or_bad_name_is_unprocessable(api: Api, method: str, query: str) -> None:
    refused = api.http.request(method, f"/config{query}", content=b"{}", headers=JSON)

    assert code(refused)[0] == 422
    assert refused.json()["problems"][0]["parameter"] == "service"


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"null", b"1", b"{", b"{'a': 1}", b"\xff"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_is_not_a_json_object_is_unprocessable(
    api: Api, name: str, method: str, body: bytes
) -> None:
    refused = api.http.request(
        method, "/config", params={"service": name}, content=body, headers=JSON
    )

    assert code(refused) == (422, "invalid-document")
    assert refused.json()["problems"]
    assert api.get(name).status_code == 404


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        ("json", b'{"a": 1,\n  "b" 2}', (2, 7)),
        ("yaml", b"a: 1\nb: *x", (2, 4)),
        ("toml", b"a = 1\nb = = 2", (2, 5)),
    ],
)
def test_a_mistake_in_the_syntax_has_its_line_and_column_as_numbers(
    api: Api, name: str, kind: str, body: bytes, place: tuple[int, int]
) -> None:
    refused = api.http.put(
        "/config",
        params={"service": name},
        content=body,
        headers={"Content-Type": f"application/{kind}"},
    )

    [problem] = refused.json()["problems"]
    assert (problem["line"], problem["column"]) == place
    # A problem with a pointer and no place in a text has neither.
    [elsewhere] = api.put(name, {"service": "other"}).json()["problems"]
    assert not {"line", "column"} & elsewhere.keys()


def test_patching_makes_the_object_the_next_version(api: Api, name: str) -> None:
    api.post(name, {"a": 1})

    assert api.patch(name, {"b": 2}).json()["success"] is True
    assert api.get(name, version=1).text == '{"b": 2}'


def test_deleting_waits_until_every_version_is_disabled(api: Api, name: str) -> None:
    api.post(name, {"n": 0})
    api.patch(name, {"n": 1})
    api.enable(name, 0, False)

    refused = api.delete(name)

    assert code(refused) == (409, "still-enabled")
    assert "1" in refused.json()["reason"]
    assert len(api.get(name).json()) == 2
    api.enable(name, 1, False)
    assert api.delete(name).json() == {"success": True}
    assert api.get(name).status_code == 404


def test_a_document_that_names_its_service_must_name_it_right(api: Api, name: str) -> None:
    refused = api.post(name, {"service": "another"})

    assert code(refused) == (422, "invalid-document")
    assert refused.json()["problems"][0]["pointer"] == "/service"
    assert api.post(name, {"service": name}).status_code == 200


# --- what is added


def test_current_is_the_newest_enabled_version(api: Api, name: str) -> None:
    for number in range(3):
        api.put(name, {"n": number})
    api.enable(name, 2, False)

    current = api.get(name, version="current")

    assert (current.text, current.headers["config-version"]) == ('{"n": 1}', "1")
    api.enable(name, 2, True)
    assert api.get(name, version="current").text == '{"n": 2}'


def test_disabled_versions_are_not_served_and_say_why(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    assert api.enable(name, 0, False).json() == {
        "success": True, "version": 0, "enabled": False, "current": None, "changed": True,
    }  # fmt: skip

    assert code(api.get(name, version=0)) == (404, "version-disabled")
    assert code(api.get(name, version="current")) == (404, "no-current-version")
    assert code(api.get(name)) == (404, "no-current-version")
    assert code(api.get(name, version=7)) == (404, "version-not-found")
    assert api.enable(name, 0, False).json()["changed"] is False


def test_the_answer_with_all_versions_tells_which_are_disabled(api: Api, name: str) -> None:
    for number in range(3):
        api.put(name, {"n": number})
    before = api.get(name).headers["etag"]
    api.enable(name, 1, False)

    answer = api.get(name)

    assert answer.headers["config-disabled"] == "1"
    assert list(answer.json()) == ["0", "1", "2"]
    assert answer.headers["etag"] != before


def test_as_of_answers_what_was_current_then(api: Api, name: str) -> None:
    moments = []
    for number in range(3):
        response = api.put(name, {"n": number})
        moments.append((response.headers["config-revision"], datetime.now(UTC).isoformat()))
        time.sleep(0.002)
    api.enable(name, 2, False)

    for number, (revision, moment) in enumerate(moments):
        assert api.get(name, as_of=revision).json() == {"n": number}
        assert api.get(name, as_of=moment).json() == {"n": number}
    assert code(api.get(name, as_of="2999-01-01T00:00:00Z")) == (422, "invalid")
    assert code(api.get(name, as_of="2000-01-01T00:00:00Z")) == (404, "version-not-found")
    assert code(api.get(name, as_of=0)) == (404, "version-not-found")
    assert code(api.get(name, as_of="yesterday")) == (422, "invalid")


@pytest.mark.parametrize(
    ("name_of_format", "media_type", "text"),
    [
        ("json", "application/json", '{"host": "db", "port": 5432, "tls": true}'),
        ("yaml", "application/yaml", "host: db\nport: 5432\ntls: true\n"),
        ("toml", "application/toml", 'host = "db"\nport = 5432\ntls = true\n'),
        ("env", "text/x-env", "HOST=db\nPORT=5432\nTLS=true\n"),
        ("properties", "text/x-java-properties", "host=db\nport=5432\ntls=true\n"),
    ],
)
def test_a_document_is_answered_in_any_format(
    api: Api, name: str, name_of_format: str, media_type: str, text: str
) -> None:
    api.put(name, {"host": "db", "port": 5432, "tls": True})

    by_query = api.get(name, format=name_of_format)
    by_accept = api.get(name, headers={"Accept": f"image/png, {media_type};q=0.9"})

    assert by_query.text == by_accept.text == text
    assert by_query.headers["content-type"].startswith(media_type)
    assert by_query.headers["etag"] == by_accept.headers["etag"]


def test_a_format_that_cannot_hold_the_document_names_the_keys(api: Api, name: str) -> None:
    api.put(name, {"db": {"host": None}, "list": [1], "ok": 1})

    refused = api.get(name, format="env")

    assert code(refused) == (406, "not-representable")
    assert [problem["pointer"] for problem in refused.json()["problems"]] == ["/db/host"]
    toml = api.get(name, format="toml")
    assert code(toml) == (406, "not-representable")
    assert [problem["pointer"] for problem in toml.json()["problems"]] == ["/db/host"]
    assert code(api.get(name, headers={"Accept": "image/png"})) == (406, "not-representable")


def test_putting_creates_appends_and_leaves_what_is_the_same(api: Api, name: str) -> None:
    assert api.put(name, {"a": 1}).json()["version"] == 0
    assert api.put(name, {"a": 1}).json() == {
        "success": True, "version": 0, "current": 0, "changed": False,
    }  # fmt: skip
    assert api.put(name, {"a": 2}).json()["version"] == 1
    assert api.put(name, {"a": 1}).json()["version"] == 2


def test_a_merge_patch_changes_a_copy_of_the_current_version(api: Api, name: str) -> None:
    api.put(name, {"a": {"b": 1, "c": 2}, "d": [1]})

    api.patch(name, {"a": {"b": None, "e": 3}, "d": "x"}, headers=MERGE)

    assert api.get(name, version="current").json() == {"a": {"c": 2, "e": 3}, "d": "x"}


def test_a_json_patch_applies_whole_or_not_at_all(api: Api, name: str) -> None:
    api.put(name, {"a": [1, 2]})
    good = [{"op": "add", "path": "/a/-", "value": 3}, {"op": "test", "path": "/a/0", "value": 1}]
    bad = [{"op": "add", "path": "/b", "value": 1}, {"op": "remove", "path": "/nothing"}]

    assert api.patch(name, good, headers=OPERATIONS).json()["version"] == 1
    refused = api.patch(name, bad, headers=OPERATIONS)

    assert code(refused) == (422, "invalid-document")
    assert refused.json()["problems"][0]["pointer"] == "/1"
    assert api.get(name, version="current").json() == {"a": [1, 2, 3]}


def test_every_malformed_operation_of_a_json_patch_is_told(api: Api, name: str) -> None:
    api.put(name, {"a": 1})
    good = {"op": "add", "path": "/b", "value": 1}
    malformed = [
        {"op": "foo", "path": "/x"},
        {"op": "add", "path": "x", "value": 1},
        5,
        {"op": "move", "path": "/a"},
        {"op": "test", "path": 1, "value": 1},
        {"op": ["add"], "path": "/a"},
        {"op": "remove", "path": "/a~2"},
    ]

    def told(operations: list[Any]) -> list[str]:
        refused = api.patch(name, operations, headers=OPERATIONS)
        assert code(refused) == (422, "invalid-document")
        return [each["pointer"] for each in refused.json()["problems"]]

    assert told([good, *malformed, good]) == [f"/{i}" for i in range(1, 8)]
    # What does not apply is told as well, where nothing before it is malformed.
    gone = {"op": "remove", "path": "/nothing"}
    assert told([good, gone, gone, 5]) == ["/1", "/3"]
    assert told([5, gone]) == ["/0"]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/yaml", b"a: no\nb: [1, 2]\n"),
        ("application/toml", b'a = "no"\nb = [1, 2]\n'),
        ("application/json", b'{"a": "no", "b": [1, 2]}'),
    ],
)
def test_yaml_and_toml_are_read_to_the_same_model(
    api: Api, name: str, media_type: str, body: bytes
) -> None:
    api.http.put(
        "/config", params={"service": name}, content=body, headers={"Content-Type": media_type}
    )

    assert api.get(name).text == '{"a": "no", "b": [1, 2]}'


def test_deleting_a_disabled_version_leaves_its_number_taken(api: Api, name: str) -> None:
    for number in range(3):
        api.put(name, {"n": number})

    assert code(api.delete(name, version=1)) == (409, "still-enabled")
    api.enable(name, 1, False)
    assert api.delete(name, version=1).json()["success"] is True

    assert code(api.get(name, version=1)) == (410, "version-deleted")
    assert code(api.enable(name, 1, True)) == (410, "version-deleted")
    assert list(api.get(name).json()) == ["0", "2"]
    assert api.put(name, {"n": 3}).json()["version"] == 3


def test_answers_carry_what_caches_and_programs_need(api: Api, name: str) -> None:
    written = api.put(name, {"n": 0})

    headers = api.get(name).headers

    assert headers["etag"] == written.headers["etag"]
    assert headers["config-version"] == "0"
    assert int(headers["config-revision"]) >= int(written.headers["config-revision"])
    assert headers["cache-control"] == "private, no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["last-modified"].endswith("GMT")


def test_a_known_answer_is_not_sent_again(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    etag = api.get(name).headers["etag"]

    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = api.get(name, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert api.get(name, headers={"If-None-Match": '"x"'}).status_code == 200
    assert api.get(name, format="yaml", headers={"If-None-Match": etag}).status_code == 200


def test_a_reader_may_wait_for_news(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    etag = api.get(name, version="current").headers["etag"]
    began = time.monotonic()

    held = api.get(name, version="current", headers={"If-None-Match": etag, "Prefer": "wait=1"})

    assert held.status_code == 304
    assert time.monotonic() - began > 0.9


def test_of_two_writers_with_one_tag_the_second_is_told(api: Api, name: str) -> None:
    etag = {"If-Match": api.put(name, {"n": 0}).headers["etag"]}

    assert api.patch(name, {"n": 1}, headers=etag).status_code == 200
    late = api.patch(name, {"n": 2}, headers=etag)

    assert code(late) == (412, "precondition-failed")
    assert api.get(name, version="current").headers["etag"] in late.json()["detail"]
    assert code(api.put(name, {"n": 1}, headers=etag)) == (412, "precondition-failed")
    assert code(api.delete(name, version=0, headers=etag)) == (412, "precondition-failed")
    assert api.patch(name, {"n": 2}, headers={"If-Match": "*"}).status_code == 200


def test_the_tag_of_any_representation_guards_a_write(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    api.put(name, {"n": 1})
    of_all = api.get(name).headers["etag"]
    assert api.patch(name, {"n": 2}, headers={"If-Match": of_all}).status_code == 200
    in_yaml = api.get(name, version="current", format="yaml").headers["etag"]
    assert api.patch(name, {"n": 3}, headers={"If-Match": in_yaml}).status_code == 200
    assert code(api.patch(name, {}, headers={"If-Match": of_all})) == (412, "precondition-failed")
    weak = {"If-Match": f"W/{api.get(name, version='current').headers['etag']}"}
    assert code(api.patch(name, {}, headers=weak)) == (412, "precondition-failed")


def test_creating_only_is_put_with_if_none_match(api: Api, name: str) -> None:
    new = {"If-None-Match": "*"}

    assert api.put(name, {"n": 0}, headers=new).status_code == 200
    assert code(api.put(name, {"n": 1}, headers=new)) == (412, "precondition-failed")
    assert code(api.put(f"{name}-b", {}, headers={"If-Match": "*"})) == (412, "precondition-failed")


def test_a_write_is_refused_where_what_is_there_is_what_if_none_match_names(
    api: Api, name: str
) -> None:
    etag = api.put(name, {"n": 0}).headers["etag"]

    assert code(api.put(name, {"n": 1}, headers={"If-None-Match": etag})) == (
        412,
        "precondition-failed",
    )
    assert api.put(name, {"n": 1}, headers={"If-None-Match": '"9.other"'}).status_code == 200


@pytest.mark.parametrize("condition", ["If-Match", "If-None-Match"])
def test_a_write_that_does_not_heed_a_condition_is_refused_with_it(
    api: Api, name: str, condition: str
) -> None:
    headers = {condition: '"0.other"'}

    created = api.post(name, {"n": 0}, headers=headers)
    imported = api.http.post("/api/v1/import", json={name: {"n": 0}}, headers=headers)

    for answer in (created, imported):
        assert answer.status_code == 422
        assert [each["parameter"] for each in answer.json()["problems"]] == [condition]
    assert api.get(name).status_code == 404


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"Idempotency-Key": ""}),
        ("&note=a", {"Config-Note": "b"}),
        ("&note=%FF%FE", {}),
    ],
    ids=["no key", "two notes", "another encoding"],
)
def test_what_would_be_dropped_silently_is_refused(
    api: Api, name: str, query: str, headers: dict[str, str]
) -> None:
    answer = api.http.put(f"/config?service={name}{query}", json={"n": 0}, headers=headers)

    assert answer.status_code == 422
    assert len(answer.json()["problems"]) == 1
    assert api.get(name).status_code == 404


def test_a_write_sent_again_under_its_key_is_done_once(api: Api, name: str) -> None:
    key = {"Idempotency-Key": f"key-{name}"}
    api.put(name, {"n": 0})

    first = api.patch(name, {"n": 1}, headers=key)
    again = api.patch(name, {"n": 1}, headers=key)

    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["config-revision"] == first.headers["config-revision"]
    assert len(api.versions(name)) == 2
    assert code(api.patch(name, {"n": 2}, headers=key)) == (422, "idempotency-key-reused")


def test_a_reader_can_ask_for_its_own_write(api: Api, name: str) -> None:
    revision = int(api.put(name, {"n": 0}).headers["config-revision"])

    assert api.get(name, min_revision=revision).status_code == 200
    early = api.get(name, min_revision=10**9)
    assert code(early) == (503, "revision-not-reached")
    assert early.headers["retry-after"]


def test_the_reason_is_kept_with_the_version_and_in_the_journal(api: Api, name: str) -> None:
    api.put(name, {"n": 0}, note="because é")
    api.put(name, {"n": 1}, headers={"Config-Note": "header é".encode()})

    assert [version["note"] for version in api.versions(name)] == ["because é", "header é"]
    notes = [change["note"] for change in api.changes() if change["service"] == name]
    assert notes == ["because é", "because é", "header é"]
    assert code(api.put(name, {"n": 2}, note="x" * 1001)) == (422, "invalid")


def test_a_rehearsed_write_answers_and_does_nothing(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    before = api.changes()[-1]["revision"]

    answer = api.put(name, {"n": 1}, dry_run="true")

    assert answer.json()["version"] == 1
    assert answer.headers["config-dry-run"] == "true"
    assert [change for change in api.changes(before) if change["service"] == name] == []
    assert len(api.versions(name)) == 1


def test_parameters_that_mean_nothing_are_refused_all_at_once(api: Api, name: str) -> None:
    refused = api.http.get(f"/config?service={name}&service={name}&versoin=1&format=xml")

    assert code(refused) == (422, "invalid")
    named = [problem["parameter"] for problem in refused.json()["problems"]]
    assert sorted(named) == ["format", "service", "versoin"]


def test_every_fault_of_a_document_is_named(api: Api, name: str) -> None:
    body = b'{"a": 1, "a": 2, "b": {"c/d": [NaN, 1e999]}, "service": "other"}'

    refused = api.http.put("/config", params={"service": name}, content=body, headers=JSON)

    pointers = [problem["pointer"] for problem in refused.json()["problems"]]
    assert pointers == ["/a", "/b/c~1d/0", "/b/c~1d/1", "/service"]


def test_a_service_made_again_begins_at_version_0(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    old = api.get(name).headers["etag"]
    api.enable(name, 0, False)
    api.delete(name)

    api.post(name, {"n": "new"})

    assert api.get(name).headers["config-version"] == "0"
    assert api.get(name).headers["etag"] != old
    assert len(api.versions(name)) == 1


@pytest.mark.parametrize("names", [["team/web", "team/Web", "team/web.v2", "größe", "_x", "0"]])
def test_names_are_unicode_words_in_segments(api: Api, name: str, names: list[Any]) -> None:
    for number, tail in enumerate(names):
        assert api.put(f"{name}/{tail}", {"n": number}).status_code == 200
    for number, tail in enumerate(names):
        assert json.loads(api.get(f"{name}/{tail}").text) == {"n": number}


def test_a_service_is_deleted_in_one_step_with_a_reason(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    api.put(name, {"n": 1})
    whole = {"with_versions": "true"}

    assert api.delete(name).status_code == 409
    for without in (whole, {**whole, "note": "  "}):
        refused = api.delete(name, **without)
        assert (refused.status_code, refused.json()["problems"][0]["parameter"]) == (422, "note")
    both = api.delete(name, version=0, note="why", **whole)
    assert both.json()["problems"][0]["parameter"] == "with_versions"
    stale = api.delete(name, note="why", headers={"If-Match": '"0.x"'}, **whole)
    assert stale.status_code == 412
    assert api.delete(name, note="why", dry_run="true", **whole).status_code == 200
    assert api.get(name, version="current").json() == {"n": 1}

    deleted = api.delete(name, **whole, headers={"Config-Note": "moved to web"})

    assert deleted.json() == {"success": True}
    assert api.get(name).status_code == 404
    query = {"service": name, "kind": "service.deleted"}
    [change] = api.http.get("/api/v1/changes", params=query).json()["changes"]
    assert change["note"] == "moved to web"


def test_a_service_that_others_rest_on_is_not_deleted_in_one_step_either(
    api: Api, name: str
) -> None:
    api.put(f"{name}/base", {"n": 0})
    api.put(name, {"n": {"$use": f"{name}/base#/n"}})

    refused = api.delete(f"{name}/base", with_versions="true", note="why")

    assert code(refused) == (409, "service-in-use")
    assert api.get(f"{name}/base").status_code == 200
