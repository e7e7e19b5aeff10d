"""``/api/v1`` over a real server: lists and pages, history, changesets, the journal, transfer."""

from typing import Any

import httpx2
import pytest

from tests.support.server import JSON, Api


def pages(api: Api, url: str, **query: Any) -> list[httpx2.Response]:
    """Every page of a listing, by its Link headers."""
    found = [api.http.get(url, params=query)]
    while "next" in found[-1].links:
        found.append(api.http.get(found[-1].links["next"]["url"]))
    return found


def names(responses: list[httpx2.Response]) -> list[str]:
    return [entry["name"] for page in responses for entry in page.json()["services"]]


def changeset(api: Api, *changes: dict[str, Any], **query: Any) -> httpx2.Response:
    return api.http.post("/api/v1/changesets", json={"changes": changes}, params=query)


def test_services_are_listed_by_name_page_by_page(api: Api, name: str) -> None:
    wanted = sorted(f"{name}/{tail}" for tail in ("b", "a", "Z", "ö", "a.b"))
    for each in wanted:
        api.put(each, {"n": 1})

    found = pages(api, "/api/v1/services", prefix=f"{name}/", limit=2)

    assert [len(page.json()["services"]) for page in found] == [2, 2, 1]
    assert names(found) == wanted


def test_services_are_found_by_a_part_of_their_name_and_by_tags(api: Api, name: str) -> None:
    for tail in ("one", "two_x", "twoax"):
        api.put(f"{name}/{tail}", {})
    tagging = api.http.put(
        "/api/v1/services/tags",
        params={"service": f"{name}/one"},
        json={"tags": ["blue", "team:a", "blue"]},
    )

    assert tagging.json()["tags"] == ["blue", "team:a"]
    prefix = {"prefix": f"{name}/"}
    assert names(pages(api, "/api/v1/services", search="TWO_", **prefix)) == [f"{name}/two_x"]
    tagged = pages(api, "/api/v1/services", tag=["blue", "team:a"], **prefix)
    assert names(tagged) == [f"{name}/one"]
    assert names(pages(api, "/api/v1/services", tag=["blue", "red"], **prefix)) == []


def test_an_entry_tells_what_is_current(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    api.put(name, {"n": 1})
    api.enable(name, 1, False)

    entry = api.http.get("/api/v1/services/one", params={"service": name}).json()

    assert (entry["versions"], entry["current"]) == (2, 0)
    api.enable(name, 0, False)
    entry = api.http.get("/api/v1/services/one", params={"service": name}).json()
    assert (entry["current"], entry["digest"]) == (None, None)


def test_history_is_newest_first_and_keeps_the_numbers_of_what_was_deleted(
    api: Api, name: str
) -> None:
    for number in range(5):
        api.put(name, {"n": number}, note=f"note {number}")
    api.enable(name, 2, False)
    api.delete(name, version=2)

    found = pages(api, "/api/v1/versions", service=name, limit=2, documents="true")

    versions = [version for page in found for version in page.json()["versions"]]
    assert [version["number"] for version in versions] == [4, 3, 2, 1, 0]
    assert versions[2]["deleted"]
    assert versions[2]["document"] is None
    assert versions[0]["document"] == {"n": 4}
    assert versions[0]["note"] == "note 4"
    bare = api.http.get("/api/v1/versions", params={"service": name}).json()["versions"][0]
    assert "document" not in bare


def test_two_versions_are_compared_for_programs_and_for_people(api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": [1, 2]})
    api.put(name, {"a": 1, "b": [1, 3]})

    answer = api.http.get("/api/v1/diff", params={"service": name, "from": 0, "to": 1}).json()

    assert answer["patch"] == [{"op": "replace", "path": "/b/1", "value": 3}]
    assert "-    2\n+    3\n" in answer["text"]


def test_rolling_back_appends_a_copy(api: Api, name: str) -> None:
    api.put(name, {"n": "good"})
    api.put(name, {"n": "bad"})
    api.enable(name, 0, False)

    answer = api.http.post("/api/v1/rollback", params={"service": name, "to": 0})

    assert answer.json()["version"] == 2
    assert api.get(name, version="current").text == '{"n": "good"}'
    assert api.versions(name)[2]["note"] == "Rolled back to version 0."
    missing = api.http.post("/api/v1/rollback", params={"service": name, "to": 9})
    assert missing.json()["code"] == "version-not-found"


def test_a_changeset_is_one_revision_over_several_services(api: Api, name: str) -> None:
    api.put(f"{name}/merged", {"a": 1, "b": 1})
    api.put(f"{name}/off", {"n": 0})
    etag = api.put(f"{name}/checked", {"n": 0}).headers["etag"]

    answer = changeset(
        api,
        {"service": f"{name}/new", "document": {"x": 1}},
        {"service": f"{name}/merged", "merge": {"b": None}},
        {"service": f"{name}/off", "disable": 0},
        {
            "service": f"{name}/checked",
            "patch": [{"op": "replace", "path": "/n", "value": 1}],
            "if_match": etag,
        },
        note="together",
    )

    assert [step["changed"] for step in answer.json()["services"]] == [True] * 4
    revision = int(answer.headers["config-revision"])
    changes = [change for change in api.changes(revision - 1) if change["revision"] == revision]
    assert [change["position"] for change in changes] == [0, 1, 2, 3, 4]
    assert {change["note"] for change in changes} == {"together"}
    assert api.get(f"{name}/merged", version="current").json() == {"a": 1}


def test_a_changeset_that_fails_anywhere_does_nothing_and_names_every_failure(
    api: Api, name: str
) -> None:
    api.put(f"{name}/a", {"n": 0})
    before = api.changes()[-1]["revision"]

    refused = changeset(
        api,
        {"service": f"{name}/a", "document": {"n": 1}},
        {"service": f"{name}/b", "merge": {}},
        {"service": f"{name}/c", "rollback": 1},
    )

    assert refused.status_code == 404
    pointers = [problem["pointer"] for problem in refused.json()["problems"]]
    assert pointers == ["/changes/1", "/changes/2"]
    assert not [change for change in api.changes(before) if change["service"].startswith(name)]
    invalid = changeset(
        api,
        {"service": f"{name}/a", "document": {"service": "x"}},
        {"service": ".", "document": {}},
        {"service": f"{name}/b", "document": {}, "merge": {}},
    )
    assert invalid.status_code == 422


def test_what_is_wrong_with_one_entry_hides_nothing_of_the_others(api: Api, name: str) -> None:
    schema = {"properties": {"tier": {"enum": ["gold"]}, "n": {"type": "integer"}}}
    api.define(name, schema)
    api.put(f"{name}/shop", {"tier": "gold"}, definition=name)
    api.put(f"{name}/late", {"n": 1})
    before = api.changes()[-1]["revision"]
    bad = {"tier": "x", "n": "x"}

    def told(*changes: Any, **rest: Any) -> list[str]:
        body = {"changes": changes, **rest}
        refused = api.http.post("/api/v1/changesets", json=body)
        assert refused.status_code == 422, refused.text
        assert api.changes(before) == []
        return [problem["pointer"] for problem in refused.json()["problems"]]

    web = {"service": f"{name}/web", "document": {"service": "foo"}}
    shop = {"service": f"{name}/shop", "merge": bad}
    assert told(web, shop, {"service": f"{name}/2", "document": [1]}) == [
        "/changes/0/document/service",
        "/changes/1/merge",
        "/changes/1/merge",
        "/changes/2/document",
    ]
    assert told(
        {"service": ".", "document": [1]},
        {"service": f"{name}/none"},
        None,
        5,
        {"service": f"{name}/late", "merge": {}, "rollback": "x", "what": 1},
        {"service": f"{name}/shop", "patch": [5, {"op": "foo"}]},
        {"service": f"{name}/shop", "document": [1]},
        {"service": f"{name}/missing", "merge": {}},
        {"service": f"{name}/late", "document": {}, "if_match": '"none"'},
        more=1,
    ) == [
        "/changes/0/service",
        "/changes/0/document",
        "/changes/1",
        "/changes/2",
        "/changes/3",
        "/changes/4",
        "/changes/4/rollback",
        "/changes/4/what",
        "/changes/5/patch/0",
        "/changes/5/patch/1",
        "/changes/6",
        "/changes/6/document",
        "/changes/7",
        "/changes/8",
        "/more",
    ]


def test_a_service_is_named_once_in_a_changeset(api: Api, name: str) -> None:
    step = {"service": name, "document": {}}

    refused = changeset(api, step, step)

    assert refused.status_code == 422
    assert refused.json()["problems"][0]["rule"] == "repeated"
    assert api.get(name).status_code == 404


def test_the_journal_is_read_from_any_revision_by_service_prefix_and_kind(
    api: Api, name: str
) -> None:
    start = api.changes()[-1]["revision"] if api.changes() else 0
    api.put(f"{name}/a", {"n": 0})
    api.put(f"{name}/b", {"n": 0})
    api.enable(f"{name}/b", 0, False)

    def kinds(**query: Any) -> list[str]:
        answer = api.http.get("/api/v1/changes", params={"after": start, **query}).json()
        return [change["kind"] for change in answer["changes"]]

    assert kinds(service=f"{name}/") == [
        "service.created",
        "version.created",
        "service.created",
        "version.created",
        "version.disabled",
    ]
    assert kinds(service=[f"{name}/a", f"{name}/none"]) == ["service.created", "version.created"]
    assert kinds(service=f"{name}/", kind="version.disabled") == ["version.disabled"]


def test_a_page_of_the_journal_never_cuts_a_revision(api: Api, name: str) -> None:
    steps = [{"service": f"{name}/{i}", "document": {"i": i}} for i in range(4)]
    revision = int(changeset(api, *steps).headers["config-revision"])

    page = api.http.get("/api/v1/changes", params={"after": revision - 1, "limit": 1}).json()

    assert [change["revision"] for change in page["changes"]] == [revision] * 8
    assert page["revision"] == revision


def test_a_cursor_of_another_epoch_is_gone(api: Api, name: str) -> None:
    epoch = api.http.get("/api/v1/changes").json()["epoch"]

    assert api.http.get("/api/v1/changes", params={"epoch": epoch}).status_code == 200
    other = api.http.get("/api/v1/changes", params={"epoch": "00000000"})
    assert (other.status_code, other.json()["code"]) == (410, "epoch-changed")
    ahead = api.http.get("/api/v1/changes", params={"after": 10**9})
    assert (ahead.status_code, ahead.json()["code"]) == (410, "epoch-changed")


def test_what_is_exported_can_be_imported(api: Api, name: str) -> None:
    api.put(f"{name}/a", {"n": 1, "t": "no"})
    api.put(f"{name}/b", {"l": [1, {"x": True}]})
    text = api.http.get("/api/v1/export", params={"prefix": f"{name}/", "format": "yaml"})
    api.put(f"{name}/a", {"n": 2})

    rehearsed = api.http.post(
        "/api/v1/import?dry_run=true",
        content=text.content,
        headers={"Content-Type": text.headers["content-type"]},
    )
    assert rehearsed.json()["updated"] == [f"{name}/a"]
    assert api.get(f"{name}/a", version="current").json() == {"n": 2}
    done = api.http.post(
        "/api/v1/import", content=text.content, headers={"Content-Type": "application/yaml"}
    )

    assert done.json() == {
        "success": True,
        "created": [],
        "updated": [f"{name}/a"],
        "unchanged": [f"{name}/b"],
        "deleted": [],
    }
    assert api.get(f"{name}/a", version="current").json() == {"n": 1, "t": "no"}


def test_an_import_is_whole_or_not_at_all_and_names_every_fault(api: Api, name: str) -> None:
    body = {f"{name}/good": {"n": 1}, f"{name}/bad": [1], "..": {}, f"{name}/own": {"service": "x"}}

    refused = api.http.post("/api/v1/import", json=body)

    assert refused.status_code == 422
    pointers = [problem["pointer"] for problem in refused.json()["problems"]]
    escaped = name.replace("/", "~1")
    assert pointers == [f"/{escaped}~1bad", "/..", f"/{escaped}~1own/service"]
    assert api.get(f"{name}/good").status_code == 404


def test_an_import_tells_what_does_not_conform_beside_what_cannot_be_stored(
    api: Api, name: str
) -> None:
    schema = {"properties": {"tier": {"enum": ["gold"]}}}
    api.define(name, schema)
    api.put(f"{name}/shop", {"tier": "gold"}, definition=name)
    content = (
        f'{{"{name}/web": {{"service": "foo"}}, "{name}/shop": {{"tier": "x"}}, "..": [],'
        f' "{name}/twice": {{}}, "{name}/twice": {{"n": NaN}}}}'
    )

    refused = api.http.post("/api/v1/import", content=content, headers=JSON)

    assert refused.status_code == 422
    assert [(each["pointer"], each["rule"]) for each in refused.json()["problems"]] == [
        (f"/{name}~1web/service", "service"),
        (f"/{name}~1shop/tier", "enum"),
        ("/..", "type"),
        ("/..", "name"),
        (f"/{name}~1twice", "duplicate"),
        (f"/{name}~1twice/n", "number"),
    ]
    assert refused.json()["detail"].startswith(f"/{name}~1web/service: It must be")
    assert refused.json()["detail"].endswith("(and 5 more)")


@pytest.mark.parametrize("path", ["services", "versions?service=x", "changes", "export"])
@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "cursor=%21", "what=1"])
def test_bad_parameters_are_named(api: Api, path: str, query: str) -> None:
    refused = api.http.get(f"/api/v1/{path}{'&' if '?' in path else '?'}{query}")

    assert refused.status_code in {404, 422}
    if refused.status_code == 422:
        assert refused.json()["problems"][0]["parameter"] == query.split("=", maxsplit=1)[0]


def test_unknown_paths_and_methods_answer_in_the_one_form(api: Api) -> None:
    missing = api.http.get("/api/v1/nothing")
    wrong = api.http.delete("/api/v1/services")

    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert "GET" in wrong.headers["allow"]
    assert api.http.put("/api/v1/services/tags?service=x", content=b"{", headers=JSON).json()[
        "problems"
    ]


def test_a_rollback_tells_which_version_it_is_a_copy_of(api: Api, name: str) -> None:
    for number in range(3):
        api.put(name, {"n": number})
    rollback = "/api/v1/rollback"
    api.http.post(rollback, params={"service": name, "to": 0, "note": "back"})
    changeset(api, {"service": name, "rollback": 1})
    api.http.post(rollback, params={"service": name, "to": 2, "dry_run": "true"})
    # A note that says so is none.
    api.put(name, {"n": 9}, note="Rolled back to version 0.")

    versions = api.versions(name)

    assert [version.get("rolled_back_to", "no") for version in versions] == ["no"] * 3 + [
        0,
        1,
        "no",
    ]


def test_a_service_that_is_created_again_has_no_rollbacks_of_the_old_one(
    api: Api, name: str
) -> None:
    for again in (False, True):
        for number in range(3):
            api.put(name, {"n": number, "again": again})
        if not again:
            assert api.http.post("/api/v1/rollback", params={"service": name}).is_success
            assert api.delete(name, with_versions="true", note="start again").is_success
    api.put(name, {"n": 3})

    assert not any("rolled_back_to" in version for version in api.versions(name))
