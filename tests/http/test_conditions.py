"""Conditions of requests: entity tags and dates, on readings and on writes, in RFC 9110's order."""

from typing import Any

import pytest

from distributed_config.services.documents.preconditions import is_unmodified
from tests.support.server import JSON, Api

LONG_AGO = "Fri, 01 Jan 1999 00:00:00 GMT"
IN_LONG = "Fri, 01 Jan 2100 00:00:00 GMT"
NO_DATE = "the day before yesterday"
SECOND = 1_000_000


def status(response: Any) -> int:
    found: int = response.status_code
    return found


# --- writes


def test_a_write_with_a_date_is_refused_if_anything_changed_after_it(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    stale = {"If-Unmodified-Since": LONG_AGO}

    assert status(api.put(name, {"n": 1}, headers=stale)) == 412
    assert status(api.patch(name, {"n": 1}, headers=stale)) == 412
    assert status(api.enable(name, 0, False, headers=stale)) == 412
    assert status(api.delete(name, headers=stale)) == 412
    assert [each["number"] for each in api.versions(name)] == [0]


def test_a_write_with_the_date_of_what_was_read_is_done(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    read = api.get(name).headers["last-modified"]

    assert status(api.put(name, {"n": 1}, headers={"If-Unmodified-Since": read})) == 200
    assert status(api.put(name, {"n": 2}, headers={"If-Unmodified-Since": IN_LONG})) == 200


@pytest.mark.parametrize("since", [LONG_AGO, IN_LONG, NO_DATE])
def test_what_is_not_there_has_no_date(api: Api, name: str, since: str) -> None:
    assert status(api.put(name, {"n": 0}, headers={"If-Unmodified-Since": since})) == 200


def test_a_date_that_is_none_is_ignored(api: Api, name: str) -> None:
    api.put(name, {"n": 0})

    assert status(api.put(name, {"n": 1}, headers={"If-Unmodified-Since": NO_DATE})) == 200


def test_a_tag_counts_more_than_a_date(api: Api, name: str) -> None:
    etag = api.put(name, {"n": 0}).headers["etag"]
    both = {"If-Match": etag, "If-Unmodified-Since": LONG_AGO}

    assert status(api.get(name, headers=both)) == 200
    assert status(api.put(name, {"n": 1}, headers=both)) == 200
    assert status(api.put(name, {"n": 1}, headers={**both, "If-Unmodified-Since": IN_LONG})) == 412


def test_a_rollback_and_the_dialects_heed_a_date(api: Api, name: str) -> None:
    section = name.replace("-", "_")
    api.put(name, {"n": 0})
    api.put(section, {"n": 0})
    stale = {"If-Unmodified-Since": LONG_AGO}

    rollback = {"service": name, "to": 0}
    assert status(api.http.post("/api/v1/rollback", params=rollback, headers=stale)) == 412
    values = {"section": section, "values": {"n": 1}}
    assert status(api.http.put("/config/set", json=values, headers=stale)) == 412


@pytest.mark.parametrize("since", [LONG_AGO, IN_LONG])
def test_a_write_that_does_not_heed_a_date_is_refused_with_it(
    api: Api, name: str, since: str
) -> None:
    headers = {"If-Unmodified-Since": since}

    assert status(api.post(name, {"n": 0}, headers=headers)) == 422
    assert status(api.http.post("/api/v1/import", json={name: {}}, headers=headers)) == 422
    assert status(api.http.put("/config/update_bulk", json={"s": {}}, headers=headers)) == 422


def test_the_same_key_with_another_date_is_another_request(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    once = {"Idempotency-Key": name}

    assert status(api.put(name, {"n": 1}, headers=once)) == 200
    again = api.put(name, {"n": 1}, headers={**once, "If-Unmodified-Since": LONG_AGO})

    assert status(again) == 422


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_part_of_a_document_is_refused(api: Api, name: str, method: str) -> None:
    headers = {**JSON, "Content-Range": "bytes 0-1/20"}
    refused = api.http.request(
        method, "/config", params={"service": name}, content=b"{}", headers=headers
    )

    assert (refused.status_code, refused.json()["code"]) == (400, "partial-body")
    assert status(api.get(name)) == 404


# --- readings


def test_a_reading_may_ask_for_the_very_representation_that_it_knows(api: Api, name: str) -> None:
    etag = api.put(name, {"n": 0}).headers["etag"]

    for _ in range(2):  # the second one is answered from memory, where it may be
        assert status(api.get(name, headers={"If-Match": etag})) == 200
        assert status(api.get(name, headers={"If-Match": f'"x", {etag}'})) == 200
        assert status(api.get(name, headers={"If-Match": "*"})) == 200
        assert status(api.get(name, headers={"If-Match": '"x"'})) == 412
        assert status(api.get(name, headers={"If-Match": f"W/{etag}"})) == 412
        assert status(api.get(name, format="yaml", headers={"If-Match": etag})) == 412


def test_a_reading_heeds_dates(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    modified = api.get(name).headers["last-modified"]

    for _ in range(2):
        assert status(api.get(name, headers={"If-Unmodified-Since": LONG_AGO})) == 412
        assert status(api.get(name, headers={"If-Unmodified-Since": modified})) == 200
        assert status(api.get(name, headers={"If-Modified-Since": modified})) == 304
        assert status(api.get(name, headers={"If-Modified-Since": LONG_AGO})) == 200
        assert status(api.get(name, headers={"If-Modified-Since": NO_DATE})) == 200
        assert status(api.get(name)) == 200


def test_conditions_of_a_reading_are_judged_in_their_order(api: Api, name: str) -> None:
    etag = api.put(name, {"n": 0}).headers["etag"]
    known = {"If-None-Match": etag}

    assert status(api.get(name, headers={**known, "If-Match": '"x"'})) == 412
    assert status(api.get(name, headers={**known, "If-Unmodified-Since": LONG_AGO})) == 412
    assert status(api.get(name, headers={**known, "If-Modified-Since": LONG_AGO})) == 304
    other = {"If-None-Match": '"x"', "If-Modified-Since": IN_LONG}
    assert status(api.get(name, headers=other)) == 200


def test_what_is_current_again_is_modified(api: Api, name: str) -> None:
    """Else who knows version 1 is never told that version 0 is served again."""
    api.put(name, {"n": 0})
    api.put(name, {"n": 1})
    api.enable(name, 1, False)

    moved = api.changes()[-1]["time"]
    modified = api.get(name, version="current").headers["last-modified"]

    assert modified.split()[4] == moved[11:19]
    # All three changes may lie in the one second that the date names: that is not "unmodified".
    times = [each["time"][:19] for each in api.changes() if each["service"] == name]
    again = api.get(name, version="current", headers={"If-Modified-Since": modified})
    assert status(again) == (200 if times[-2] == times[-1] else 304)


def test_a_definition_can_be_asked_for_with_its_tag(api: Api, name: str) -> None:
    api.define(name, {"type": "object"})
    query = {"definition": name}
    etag = api.http.get("/api/v1/definitions/one", params=query).headers["etag"]

    def asked(**headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return status(api.http.get("/api/v1/definitions/one", params=query, headers=named))

    assert asked(If_None_Match=etag) == 304
    assert asked(If_None_Match='"x"') == 200
    assert asked(If_Match=etag) == 200
    assert asked(If_Match='"x"') == 412


# --- tags and times


def test_no_tag_comes_back_when_a_service_is_made_again(api: Api, name: str) -> None:
    tags = []
    for _ in range(3):
        tags.append(api.put(name, {"n": 0}).headers["etag"])
        api.put(name, {"n": 1})
        tags.append(api.get(name).headers["etag"])
        api.enable(name, 0, False)
        api.enable(name, 1, False)
        tags.append(api.get(name).headers["etag"])
        api.delete(name)

    assert len(set(tags)) == len(tags)


def test_a_tag_of_the_deleted_service_guards_nothing(api: Api, name: str) -> None:
    old = api.put(name, {"n": 0}).headers["etag"]
    api.enable(name, 0, False)
    api.delete(name)
    api.put(name, {"n": 0})

    assert status(api.put(name, {"n": 1}, headers={"If-Match": old})) == 412
    assert status(api.get(name, headers={"If-None-Match": old})) == 200


def test_no_tag_comes_back_when_a_definition_is_made_again(api: Api, name: str) -> None:
    tags = []
    for _ in range(2):
        tags.append(api.define(name, {"type": "object"}).headers["etag"])
        api.http.delete("/api/v1/definitions", params={"definition": name})

    assert tags[0] != tags[1]


def test_the_same_text_in_two_services_has_two_tags(api: Api, name: str) -> None:
    one, other = (api.put(f"{name}/{each}", {"n": 0}).headers["etag"] for each in "ab")

    assert one != other


def test_what_changed_twice_in_one_second_counts_as_modified_in_it() -> None:
    second = 1_700_000_000
    times = (second * SECOND + 900_000, second * SECOND + 100_000)

    assert not is_unmodified(times, second - 1)
    assert not is_unmodified(times, second)
    assert is_unmodified(times, second + 1)
    assert is_unmodified((times[0],), second)
    assert is_unmodified((times[0], (second - 1) * SECOND), second)
    assert is_unmodified((), second)


@pytest.mark.parametrize("moment", ["2999-01-01T00:00:00Z", "999999999"])
def test_what_will_be_current_is_not_known(api: Api, name: str, moment: str) -> None:
    api.put(name, {"n": 0})

    refused = api.get(name, as_of=moment)

    assert refused.status_code == 422
    assert [each["parameter"] for each in refused.json()["problems"]] == ["as_of"]
    assert "future" in refused.json()["detail"]
    assert status(api.get(f"{name}-b", as_of=moment)) == 404
