"""``dry_run=true&diff=true``: what a write would change, by place and as a text."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.server import Api

MASK = "•••"


def rehearse(api: Api, method: str, name: str, document: Any, **query: Any) -> httpx2.Response:
    ask = {"PUT": api.put, "PATCH": api.patch, "POST": api.post}[method]
    return ask(name, document, dry_run="true", diff="true", **query)


def mark(api: Api, name: str, *pointers: str) -> None:
    marked = api.http.put(
        "/api/v1/services/secrets", params={"service": name}, json={"pointers": list(pointers)}
    )
    assert marked.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_rehearsal_tells_old_and_new_by_pointer_and_as_a_text(
    api: Api, name: str, method: str
) -> None:
    api.put(name, {"a": 1, "b": {"c": "x"}, "gone": None, "list": [1, 2, 3]})

    answer = rehearse(
        api, method, name, {"a": 1.0, "b": {"c": "y", "d/e": True}, "list": [1, 3]}
    ).json()

    assert answer["changes"] == [
        {"pointer": "/gone", "old": None},
        {"pointer": "/a", "old": 1, "new": 1.0},
        {"pointer": "/b/c", "old": "x", "new": "y"},
        {"pointer": "/b/d~1e", "new": True},
        {"pointer": "/list/1", "old": 2},
    ]
    assert answer["text"].startswith(f"--- {name} version 0\n+++ {name} version 1\n@@")
    assert '-    "c": "x"\n+    "c": "y",\n' in answer["text"]
    assert not answer["truncated"]
    assert (answer["version"], answer["removed"]) == (1, ["/gone"])
    assert api.get(name, version="current").headers["Config-Version"] == "0"


def test_a_creation_a_merge_and_a_version_turned_off_are_told_too(api: Api, name: str) -> None:
    created = rehearse(api, "POST", name, {"a": 1}).json()
    assert created["changes"] == [{"pointer": "/a", "new": 1}]
    assert api.get(name).status_code == 404
    api.put(name, {"a": 1, "b": 1})
    api.put(name, {"a": 2, "b": 1})

    merged = api.http.patch(
        "/config",
        params={"service": name, "dry_run": "true", "diff": "true"},
        content=json.dumps({"b": 2}),
        headers={"Content-Type": "application/merge-patch+json"},
    ).json()
    turned_off = api.http.patch(
        "/config",
        params={
            "service": name,
            "version": 1,
            "enabled": "false",
            "dry_run": "true",
            "diff": "true",
        },
    ).json()
    rolled_back = api.http.post(
        "/api/v1/rollback",
        params={"service": name, "to": 0, "dry_run": "true", "diff": "true"},
    ).json()

    assert merged["changes"] == [{"pointer": "/b", "old": 1, "new": 2}]
    back = [{"pointer": "/a", "old": 2, "new": 1}]
    assert turned_off["changes"] == rolled_back["changes"] == back
    assert api.get(name, version="current").json() == {"a": 2, "b": 1}


def test_what_changes_nothing_has_no_changes_and_no_text(api: Api, name: str) -> None:
    api.put(name, {"a": 1})

    answer = rehearse(api, "PUT", name, {"a": 1}).json()

    assert (answer["changes"], answer["text"], answer["changed"]) == ([], "", False)


def test_secrets_are_masked_for_everybody_and_a_new_one_is_a_change(api: Api, name: str) -> None:
    api.put(name, {"key": "canary-one", "other": {"key": "canary-two"}, "n": 1})
    mark(api, name, "/key", "/other/key")
    api.put(name, {"key": "canary-one", "other": {"key": "canary-two"}, "n": 1})

    kept = rehearse(api, "PUT", name, {"key": MASK, "other": {"key": MASK}, "n": 2})
    changed = rehearse(api, "PUT", name, {"key": "canary-3", "other": {"key": MASK}, "n": 1})
    removed = rehearse(api, "PUT", name, {"key": MASK, "n": 1})

    assert kept.json()["changes"] == [{"pointer": "/n", "old": 1, "new": 2}]
    assert changed.json()["changes"] == [{"pointer": "/key", "old": MASK, "new": MASK}]
    assert f'-  "key": "{MASK}"' in changed.json()["text"]
    assert f'+  "key": "{MASK}"' in changed.json()["text"]
    assert removed.json()["changes"] == [{"pointer": "/other", "old": {"key": MASK}}]
    assert "canary" not in kept.text + changed.text + removed.text


def test_a_refused_rehearsal_has_its_problems_as_without(api: Api, name: str) -> None:
    api.put(name, {"service": name})

    with_diff = rehearse(api, "PUT", name, {"service": "other"}).json()
    without = api.put(name, {"service": "other"}, dry_run="true").json()

    assert with_diff.pop("request_id") != without.pop("request_id")
    assert with_diff == without


def test_a_difference_without_a_rehearsal_is_refused(api: Api, name: str) -> None:
    refused = api.put(name, {"a": 1}, diff="true")

    assert refused.status_code == 422
    assert refused.json()["problems"][0]["parameter"] == "diff"
    assert api.get(name).status_code == 404


def test_a_difference_that_is_too_long_ends_early_and_says_so(api: Api, name: str) -> None:
    api.put(name, {"text": "x" * 900_000})

    answer = rehearse(api, "PUT", name, {"text": "y" * 900_000}).json()

    assert answer["truncated"]
    assert len(answer["text"]) < 1_000_000
    assert answer["changes"] == []
