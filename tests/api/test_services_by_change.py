"""``GET /api/v1/services`` by last change, with totals, and ``GET /api/v1/tags``."""

import base64
import json
from typing import Any

import httpx2

from tests.support.server import Api


def listed(api: Api, **query: Any) -> httpx2.Response:
    return api.http.get("/api/v1/services", params=query)


def names(answer: httpx2.Response) -> list[str]:
    return [entry["name"].rpartition("/")[2] for entry in answer.json()["services"]]


def fill(api: Api, name: str, count: int) -> None:
    for number in range(count):
        api.put(f"{name}/{number}", {"n": 0}, note=f"note {number}")


def test_services_are_listed_by_their_last_change_newest_first(api: Api, name: str) -> None:
    fill(api, name, 4)
    by_change = {"prefix": f"{name}/", "sort": "changed"}
    assert names(listed(api, **by_change)) == ["3", "2", "1", "0"]

    api.put(f"{name}/1", {"n": 1})
    api.http.put("/api/v1/services/tags", params={"service": f"{name}/0"}, json={"tags": ["a"]})
    api.http.post("/api/v1/changesets", json={"changes": [
        {"service": f"{name}/{each}", "merge": {"n": 5}} for each in (3, 2)
    ]})  # fmt: skip

    # Those of one revision are by name.
    assert names(listed(api, **by_change)) == ["2", "3", "0", "1"]
    assert names(listed(api, prefix=f"{name}/", sort="name")) == ["0", "1", "2", "3"]


def test_pages_by_change_stay_right_while_services_change(api: Api, name: str) -> None:
    fill(api, name, 6)
    page = listed(api, prefix=f"{name}/", sort="changed", limit=2)
    seen = names(page)
    for changed in ("0", "5", "2", "new"):
        api.put(f"{name}/{changed}", {"n": 9})
        page = api.http.get(page.links["next"]["url"]) if "next" in page.links else page
        seen += names(page) if page.json()["services"] else []
        if "next" not in page.links:
            break

    assert seen == ["5", "4", "3", "2", "1", "0"]


def test_a_change_in_another_environment_is_not_one_here(own_server: Any, name: str) -> None:
    api = own_server.api
    api.http.post("/api/v1/environments", json={"name": "staging"})
    fill(api, name, 2)
    api.put(f"{name}/0", {"n": 1}, environment="staging")

    here = listed(api, sort="changed", include="last_change")
    there = listed(api, sort="changed", include="last_change", environment="staging")

    assert (names(here), names(there)) == (["1", "0"], ["0", "1"])
    assert [entry["last_change"]["version"] for entry in here.json()["services"]] == [0, 0]
    assert there.json()["services"][1]["last_change"]["kind"] == "service.created"


def test_each_entry_tells_its_last_change_when_that_is_included(api: Api, name: str) -> None:
    fill(api, name, 1)
    api.put(f"{name}/0", {"n": 1}, note="why", headers={"Config-Actor": "ada"})

    plain = listed(api, prefix=f"{name}/").json()["services"][0]
    full = listed(api, prefix=f"{name}/", include="last_change").json()["services"][0]

    change = full.pop("last_change")
    assert plain == full
    assert change.pop("revision") > 0
    assert change.pop("time") == full["updated_at"]
    assert change == {
        "kind": "version.created",
        "version": 1,
        "actor": "ada (unverified)",
        "note": "why",
    }


def test_the_total_counts_what_is_on_all_pages(api: Api, name: str) -> None:
    fill(api, name, 3)
    api.http.put("/api/v1/services/tags", params={"service": f"{name}/0"}, json={"tags": ["x"]})
    every = {"prefix": f"{name}/", "include": ["total", "last_change"]}

    assert listed(api, limit=1, **every).json()["total"] == 3
    assert listed(api, limit=1, sort="changed", **every).json()["total"] == 3
    assert listed(api, tag="x", **every).json()["total"] == 1
    assert listed(api, search="nothing at all", **every).json()["total"] == 0
    assert "total" not in listed(api, prefix=f"{name}/").json()


def test_a_cursor_that_no_server_gave_is_refused(api: Api, name: str) -> None:
    fill(api, name, 2)
    page = listed(api, prefix=f"{name}/", sort="changed", limit=1).json()
    padded = page["next"] + "=" * (-len(page["next"]) % 4)
    epoch, _, listing = json.loads(base64.urlsafe_b64decode(padded))
    forged = base64.urlsafe_b64encode(json.dumps([epoch, "no position", listing]).encode()).decode()

    refused = listed(api, sort="changed", cursor=forged.rstrip("="))
    other = listed(api, cursor=page["next"])

    for answer in (refused, other):
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["parameter"] == "cursor"


def test_tags_are_listed_with_the_number_of_their_services(own_server: Any, name: str) -> None:
    api = own_server.api
    fill(api, name, 3)
    for number, tags in enumerate((["a", "c"], ["a"], ["b", "a"])):
        api.http.put(
            "/api/v1/services/tags", params={"service": f"{name}/{number}"}, json={"tags": tags}
        )

    first = api.http.get("/api/v1/tags", params={"limit": 2})
    second = api.http.get(first.links["next"]["url"])

    assert first.json()["tags"] == [{"tag": "a", "services": 3}, {"tag": "b", "services": 1}]
    assert second.json() == {"tags": [{"tag": "c", "services": 1}], "next": None}
