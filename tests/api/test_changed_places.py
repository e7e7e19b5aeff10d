"""``GET /api/v1/versions?include=changed``: how many places each version changed."""

from typing import Any

from tests.support.server import Api


def counts(api: Api, name: str, **query: Any) -> list[int | None]:
    params = {"service": name, "include": "changed", **query}
    answer = api.http.get("/api/v1/versions", params=params)
    return [version["changed"] for version in answer.json()["versions"]]


def test_each_version_tells_how_many_places_it_changed(api: Api, name: str) -> None:
    for document in (
        {"a": 1, "b": {"c": 1}},
        {"a": 1.0, "b": {"c": 2, "d": 1}},
        {"a": 1.0, "b": {"c": 2, "d": 1}},
        {"list": [1, 2]},
        {"list": [2]},
    ):
        write = api.put if api.get(name).status_code == 404 else api.patch
        assert write(name, document).status_code == 200

    assert counts(api, name) == [1, 3, 0, 3, None]
    # The last of a page is compared with the first of the next.
    assert counts(api, name, limit=2) == [1, 3]
    plain = api.http.get("/api/v1/versions", params={"service": name}).json()["versions"][0]
    assert "changed" not in plain


def test_where_a_document_is_deleted_nothing_is_counted(api: Api, name: str) -> None:
    for number in range(4):
        api.put(name, {"n": number})
    api.enable(name, 1, False)
    api.delete(name, version=1)

    assert counts(api, name) == [1, None, None, None]


def test_a_secret_counts_when_it_was_written_again(api: Api, name: str) -> None:
    api.put(name, {"n": 0})
    api.http.put("/api/v1/services/secrets", params={"service": name}, json={"pointers": ["/key"]})
    api.put(name, {"n": 0, "key": "one"})
    api.put(name, {"n": 1, "key": "•••"})
    api.put(name, {"n": 1, "key": "two"})

    assert counts(api, name) == [1, 1, 1, None]
