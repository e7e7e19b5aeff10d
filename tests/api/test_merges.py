"""``POST /api/v1/merge``: a document made from an earlier version, merged with what is current."""

from typing import Any

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from distributed_config.services.merges import Contested, merge
from tests.support.server import Api

MASK = "•••"


def ask(api: Api, name: str, base: int, mine: Any, **query: Any) -> httpx2.Response:
    params = {"service": name, "base": base, **query}
    return api.http.post("/api/v1/merge", params=params, json=mine)


def mark(api: Api, name: str, *pointers: str) -> None:
    marked = api.http.put(
        "/api/v1/services/secrets", params={"service": name}, json={"pointers": list(pointers)}
    )
    assert marked.status_code == 200


def test_changes_of_different_places_are_merged(api: Api, name: str) -> None:
    api.put(name, {"db": {"host": "a", "port": 1}, "hosts": [1, 2], "gone": 1, "theirs": 1})
    api.put(name, {"db": {"host": "b", "port": 1}, "hosts": [1, 2], "gone": 1, "new": {"x": 1}})

    merged = ask(
        api, name, 0, {"db": {"host": "a", "port": 2}, "hosts": [2], "theirs": 1, "mine": 1}
    ).json()

    assert (merged["base"], merged["current"], merged["contested"]) == (0, 1, [])
    assert merged["merged"] == {
        "db": {"host": "b", "port": 2},
        "hosts": [2],
        "new": {"x": 1},
        "mine": 1,
    }
    published = api.put(name, merged["merged"], headers={"If-Match": merged["if_match"]})
    assert published.status_code == 200
    # The tag is that of the version it was merged with, and that is no longer current.
    again = api.put(name, {}, headers={"If-Match": merged["if_match"]})
    assert again.status_code == 412


def test_places_that_both_changed_are_contested_and_stay_current(api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": {"c": 1}, "d": 1, "e": 1, "f/g": 1})
    api.put(name, {"a": 2, "d": 3, "e": 2, "f/g": 1.0, "h": [1]})

    answer = ask(api, name, 0, {"a": 3, "b": {"c": 2}, "e": 2, "f/g": True, "h": {"x": 1}}).json()

    assert answer["contested"] == [
        {"pointer": "/a", "base": 1, "mine": 3, "current": 2},
        {"pointer": "/d", "base": 1, "current": 3},
        {"pointer": "/f~1g", "base": 1, "mine": True, "current": 1.0},
        {"pointer": "/h", "mine": {"x": 1}, "current": [1]},
        {"pointer": "/b", "base": {"c": 1}, "mine": {"c": 2}},
    ]
    assert answer["merged"] == {"a": 2, "d": 3, "e": 2, "f/g": 1.0, "h": [1]}


def test_secrets_keep_their_masks_and_contested_ones_are_masked(api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    mark(api, name, "/one", "/two", "/three")
    api.put(name, {"one": "canary-1", "two": "canary-2", "three": "canary-3", "n": 1})
    api.put(name, {"one": "canary-1x", "two": MASK, "three": "canary-3x", "n": 1})

    answer = ask(api, name, 1, {"one": MASK, "two": "mine-2", "three": "mine-3", "n": 2})

    assert answer.json()["merged"] == {"one": MASK, "two": "mine-2", "three": MASK, "n": 2}
    assert answer.json()["contested"] == [
        {"pointer": "/three", "base": MASK, "mine": MASK, "current": MASK}
    ]
    assert "canary" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    # Published, the masks stand for what is current.
    headers = {"If-Match": answer.json()["if_match"]}
    assert api.put(name, answer.json()["merged"], headers=headers).status_code == 200
    stored = api.get(name, version="current").json()
    assert stored == {"one": "canary-1x", "two": "mine-2", "three": "canary-3x", "n": 2}


def test_a_secret_in_the_clear_that_is_the_same_is_no_change(api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    mark(api, name, "/one")
    api.put(name, {"one": "canary-1", "n": 1})
    api.put(name, {"one": "canary-1x", "n": 1})

    answer = ask(api, name, 1, {"one": "canary-1", "n": 2}).json()

    assert (answer["merged"], answer["contested"]) == ({"one": MASK, "n": 2}, [])


def test_what_cannot_be_merged_says_why(api: Api, name: str) -> None:
    api.put(name, {"a": 1})

    assert ask(api, name, 7, {}).json()["code"] == "version-not-found"
    assert ask(api, name, 0, []).json()["code"] == "invalid-document"
    assert ask(api, name, 0, {"service": "other"}).json()["problems"][0]["rule"] == "service"
    assert ask(api, f"{name}/absent", 0, {}).json()["code"] == "service-not-found"
    api.put(name, {"a": 2})
    api.enable(name, 0, False)
    api.delete(name, version=0)
    assert ask(api, name, 0, {"a": 1}).json()["code"] == "version-deleted"
    api.enable(name, 1, False)
    assert ask(api, name, 1, {"a": 1}).json()["code"] == "no-current-version"


leaves = st.sampled_from([None, 0, 1, True, "a", [], [1], {}])
trees = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(documents, documents)
def test_what_one_side_alone_changed_is_taken_whole(base: Any, other: Any) -> None:
    contested: list[Contested] = []

    assert repr(merge(base, other, base, contested)) == repr(other)
    assert repr(merge(base, base, other, contested)) == repr(other)
    assert contested == []
