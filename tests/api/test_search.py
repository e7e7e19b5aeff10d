"""``GET /api/v1/search``: names, tags, notes, keys and values."""

from typing import Any

import pytest

from tests.support.server import Api, Server


def find(api: Api, q: str, **query: Any) -> dict[str, Any]:
    answer = api.http.get("/api/v1/search", params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def places(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(hit["kind"], hit["service"], hit["pointer"]) for hit in found["hits"]]


def test_a_text_is_found_in_names_tags_notes_keys_and_values(api: Api, name: str) -> None:
    word = f"needle{name}"
    api.put(f"{word}/a", {"x": 1})
    api.put(name, {"deep": [{f"{word}-key": 1}, f"is a {word.upper()} here"]}, note=f"the {word}")
    api.http.put("/api/v1/services/tags", params={"service": name}, json={"tags": [word[:63]]})

    found = find(api, word)

    assert places(found) == [
        ("name", f"{word}/a", None),
        ("tag", name, None),
        ("note", name, None),
        ("key", name, f"/deep/0/{word}-key"),
        ("value", name, "/deep/1"),
    ]
    assert not found["truncated"]
    assert found["hits"][2]["excerpt"] == f"the {word}"
    assert found["hits"][4] == {
        "kind": "value",
        "service": name,
        "environment": "default",
        "pointer": "/deep/1",
        "excerpt": f"is a {word.upper()} here",
    }


def test_only_what_is_current_in_the_environment_is_found(own_server: Server, name: str) -> None:
    api = own_server.api
    api.http.post("/api/v1/environments", json={"name": "staging"})
    api.put(name, {"v": "first"}, note="note one")
    api.put(name, {"v": "second"}, note="note two")
    api.put(name, {"v": "third"}, environment="staging")

    assert find(api, "first")["hits"] == find(api, "note one")["hits"] == []
    assert places(find(api, "second")) == [("value", name, "/v")]
    assert find(api, "third")["hits"] == []
    [hit] = find(api, "third", environment="staging")["hits"]
    assert hit["environment"] == "staging"
    absent = api.http.get("/api/v1/search", params={"q": "x", "environment": "absent"})
    assert absent.json()["code"] == "environment-not-found"


@pytest.mark.parametrize(
    ("value", "text"),
    [("50%_a", "0%_"), ('say "hi" \\ now', '"hi" \\'), (54321.5, "4321.5"), (True, "RUE"),
     ("Grüße", "üß")],
)  # fmt: skip
def test_wildcards_quotes_and_numbers_are_found_as_they_are(
    own_server: Server, value: Any, text: str
) -> None:
    own_server.api.put("web", {"v": value, "other": "nothing"})

    assert places(find(own_server.api, text)) == [("value", "web", "/v")]


def test_secrets_are_never_found_and_never_shown(api: Api, name: str) -> None:
    canary = f"canary{name}"
    api.put(name, {"key": {f"{canary}-inside": f"{canary}-old"}, "open": "readable"})
    marked = api.http.put(
        "/api/v1/services/secrets", params={"service": name}, json={"pointers": ["/key"]}
    )
    assert marked.status_code == 200
    # The first version is in the clear in the database, the second is sealed.
    assert find(api, canary) == {"hits": [], "truncated": False}
    api.put(name, {"key": {f"{canary}-inside": f"{canary}-new"}, "open": f"readable{name}"})

    assert find(api, canary) == {"hits": [], "truncated": False}
    assert places(find(api, f"readable{name}")) == [("value", name, "/open")]


def test_each_kind_is_limited_and_one_document_shows_three(own_server: Server) -> None:
    api = own_server.api
    api.put("web", {"list": ["needle"] * 10})
    for number in range(4):
        api.put(f"needle-{number}", {})

    all_names = find(api, "needle", limit=4)
    two = find(api, "needle", limit=2)

    assert places(all_names)[4:] == [("value", "web", f"/list/{index}") for index in range(3)]
    assert all_names["truncated"]
    assert [kind for kind, _, _ in places(two)] == ["name", "name", "value", "value"]
    assert two["truncated"]


def test_a_long_text_is_shown_around_the_hit(own_server: Server) -> None:
    own_server.api.put("web", {"v": "x" * 500 + "needle" + "y" * 500})

    [hit] = find(own_server.api, "needle")["hits"]

    assert hit["excerpt"] == "…" + "x" * 40 + "needle" + "y" * 74 + "…"


@pytest.mark.parametrize("q", ["", "x" * 201, "a\nb"])
def test_a_text_that_cannot_be_searched_is_refused(api: Api, q: str) -> None:
    refused = api.http.get("/api/v1/search", params={"q": q})

    assert refused.status_code == 422
    assert refused.json()["problems"][0]["parameter"] == "q"
