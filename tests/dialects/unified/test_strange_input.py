"""Input that no client of the original sends."""

import json

import pytest

from tests.dialects.unified.client import STRANGE, Unified, head, missing, refused, saved, value
from tests.support.server import JSON, Api


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'[{"section": "a", "key": "a", "value": 1}]',
        b"\xef\xbb\xbf{}",
        b'{"a": {"a": "\\ud800"}, "section": "a", "key": "a", "value": "\\ud800"}',
        b'{"a": {"a": 1e999}, "section": "a", "key": "a", "value": 1e999}',
        b'{"a": {"a": NaN}, "section": "a", "key": "a", "value": NaN}',
        b'{"a": {"a": 1, "a": 2}, "section": "a", "section": "b", "key": "a", "value": 1}',
        b'{"section": "a", "key": "a", "value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b'{"a": ' * 65 + b"1" + b"}" * 66,
        b'{"section": "a", "values": ' + b'{"a": ' * 65 + b"1" + b"}" * 66,
        b'{"section": "a", "key": "a", "value": ' + b"9" * 5_000 + b"}",
        b'{"section": "' + b"\\u0000" * 100 + b'", "values": {}, "a": null}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_makes_no_sense_is_refused(api: Api, body: bytes) -> None:
    before = head(api)

    for method, path in (
        ("POST", "/config/set"),
        ("PUT", "/config/set"),
        ("PUT", "/config/update_bulk"),
    ):
        refused(api.http.request(method, path, content=body, headers=JSON))

    assert head(api) == before


def test_a_body_that_does_not_say_that_it_is_json_is_refused(api: Api, section: str) -> None:
    form = f"section={section}&key=a&value=1"
    whole = json.dumps({"section": section, "key": "a", "value": 1})

    for media_type in ("application/x-www-form-urlencoded", "multipart/form-data", "é", ""):
        headers = [(b"Content-Type", media_type.encode())] if media_type else []
        for body in (form, whole):
            for method, path in (("POST", "/config/set"), ("PUT", "/config/update_bulk")):
                answer = api.http.request(method, path, content=body, headers=headers)
                assert 400 <= answer.status_code < 500, answer.text
                assert list(answer.json()) == ["detail"]

    missing(Unified(api).get(section))


def test_what_is_too_large_is_refused_and_what_is_just_not_is_kept(
    unified: Unified, section: str
) -> None:
    most = (1 << 20) - len('{"a": ""}')
    saved(unified.set(section, "a", "x" * most))
    assert value(unified.get(section, key="a")) == "x" * most

    refused(unified.set(section, "a", "x" * (most + 1)))
    refused(unified.set(section, "b", 1))
    refused(unified.replace(section, ["x" * (1 << 20)]))
    refused(unified.set(section, "a", "x" * (3 << 20)), 413)

    assert value(unified.get(section, key="a")) == "x" * most


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/config/get?section={0}&key={0}"),
        ("GET", "/config/get?section=a&section={0}"),
        ("DELETE", "/config/delete?section={0}&key={0}"),
        ("GET", "/config/export?format={0}"),
        ("GET", "/config/history?section={0}&key={0}"),
        ("GET", "/config/history?limit={0}&offset={0}"),
        ("GET", "/config/updates?after={0}"),
    ],
)
def test_a_strange_query_is_never_a_mistake_of_the_server(api: Api, method: str, path: str) -> None:
    for strange in STRANGE:
        answer = api.http.request(method, path.format(strange))

        assert answer.status_code < 500, answer.text
        answer.json()


def test_no_method_of_any_path_is_a_mistake_of_the_server(api: Api) -> None:
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    for path in ("set", "get", "delete", "export", "history", "update_bulk", "updates"):
        for method in methods:
            assert api.http.request(method, f"/config/{path}").status_code < 500
