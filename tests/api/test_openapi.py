"""The OpenAPI document: it is valid, it is complete, and the server does what it says."""

import html
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from distributed_config.app import create_app
from distributed_config.http.auth import AUTHENTICATED, AUTHENTICATED_PENDING_PASSWORD, PUBLIC
from distributed_config.schemas import bodies, loader
from distributed_config.services.policy.permissions import PERMISSIONS
from distributed_config.settings import Settings
from tests.support.server import Api, Server

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def described(api: Api) -> dict[str, Any]:
    """The document that the server gives."""
    response = api.http.get("/api/v1/openapi.json")
    assert response.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


def operations(described: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


# --- the document


def test_the_document_is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1.")
    assert [f"{each}" for each in OPENAPI_31_VALIDATOR.iter_errors(described)] == []
    for schema in described["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    references = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(described)))

    assert references
    assert references <= described["components"]["schemas"].keys()


def test_every_operation_and_every_parameter_has_one_name(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(names) == len(set(names))
    for _, _, operation in operations(described):
        parameters = [(each["in"], each["name"]) for each in operation["parameters"]]
        assert len(parameters) == len(set(parameters))
        assert operation["summary"].endswith(".")


PAGES = "web."
"""How the endpoints of pages begin: they are for people, and no part of the API."""


@pytest.fixture
def app(server: Server) -> Flask:
    """The application of the server, to ask it for its routes; dialects describe their own."""
    return create_app(Settings(instance=server.instance, dialects=()))


def test_every_route_is_described(described: dict[str, Any], app: Flask) -> None:
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(PAGES)
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert routes == {(method, path) for method, path, _ in operations(described)}


def test_every_operation_states_its_permission(described: dict[str, Any], app: Flask) -> None:
    stated = {
        operation["operationId"]: operation["x-permission"]
        for _, _, operation in operations(described)
    }

    assert set(stated.values()) <= {
        PUBLIC,
        AUTHENTICATED,
        AUTHENTICATED_PENDING_PASSWORD,
        *PERMISSIONS,
    }
    # And it is the one that the route asks for, not another.
    assert stated == {
        name.replace(".", "_"): view.permission
        for name, view in app.view_functions.items()
        if not name.startswith(PAGES)
    }
    reading = {name for name, permission in stated.items() if permission == "config:read"}
    # A merge stores nothing, but what it merges is too long for a query.
    assert {
        (method, path)
        for method, path, each in operations(described)
        if each["operationId"] in reading and method != "GET"
    } == {("POST", "/api/v1/merge")}


def test_every_operation_says_what_it_may_answer(described: dict[str, Any]) -> None:
    for method, path, operation in operations(described):
        assert {"403", "503"} <= operation["responses"].keys(), (method, path)
        assert {"200", "201", "302"} & operation["responses"].keys(), (method, path)
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]


# --- the page


def test_the_page_shows_every_operation(api: Api, described: dict[str, Any]) -> None:
    page = api.http.get("/api/docs").text

    shown = set(re.findall(r'<h3><b class="\w+">(\w+)</b> (\S+?)</h3>', page))
    assert shown == {(method, path) for method, path, _ in operations(described)}
    for _, _, operation in operations(described):
        assert f'id="{operation["operationId"]}"' in page
        assert f'href="#{operation["operationId"]}"' in page
        for parameter in operation["parameters"]:
            assert f"<code>{parameter['name']}</code>" in page


def test_the_page_is_for_people(api: Api) -> None:
    page = api.http.get("/api/docs").text

    assert not re.search(r"(?<!If-)None", page)
    assert "[&#39;" not in page  # a list of types as Python writes it
    assert "<td>array of string<td>" in page
    # What every operation may refuse with is one row, not one for each status.
    assert re.search(r"<td>403, 408, .*?429, 503<td>", page)
    sections = re.findall(r'<h2 class="tag">([^<]+?) <small>', page)
    assert sections[:3] == ["Configurations", "Services", "Versions"]


def test_every_body_has_an_example_that_is_taken(described: dict[str, Any]) -> None:
    for method, path, operation in operations(described):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        body = content["application/json"]
        assert "example" in body, (method, path)
        name = body["schema"].get("$ref", "").rpartition("/")[2]
        if name:
            loaded = getattr(bodies, name)().load(body["example"])
            assert not loaded.get(loader.FAULTS), (method, path)


def test_what_the_page_tells_to_type_can_be_typed(own_server: Server) -> None:
    """Every line for curl is a request that the server understands, in the order of the page."""
    page = html.unescape(own_server.api.http.get("/api/docs").text)
    lines = re.findall(r"<pre><code>(.+?)</code></pre>", page)
    shell = "; ".join(
        line.replace("curl", "curl -s -o /dev/null -w '%{http_code} ' --max-time 5", 1)
        for line in lines
    )

    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)

    statuses = [int(each) for each in done.stdout.split()]
    assert len(statuses) == len(lines) > 50
    # Names that are not there yet are told of; nothing is malformed, and nothing breaks.
    assert set(statuses) <= {200, 201, 401, 403, 404, 409}, list(zip(lines, statuses, strict=True))


def test_a_parameter_is_never_described_as_null(described: dict[str, Any]) -> None:
    for method, path, operation in operations(described):
        for each in operation["parameters"]:
            schema = each["schema"]
            assert "null" not in schema.get("type", ""), (method, path, each["name"])
            assert schema.get("default", "") is not None, (method, path, each["name"])


def test_every_operation_has_a_tag_that_is_described(described: dict[str, Any]) -> None:
    names = [tag["name"] for tag in described["tags"]]

    assert len(names) == len(set(names))
    for method, path, operation in operations(described):
        assert operation["tags"][0] in names, (method, path)


def test_the_page_may_load_nothing_but_its_own_style(api: Api) -> None:
    response = api.http.get("/api/docs")
    policy = {
        words[0]: set(words[1:])
        for words in (
            each.split() for each in response.headers["Content-Security-Policy"].split(";")
        )
    }

    assert policy["default-src"] == {"'none'"}
    assert policy["frame-ancestors"] == {"'none'"}
    for sources in policy.values():
        assert sources <= {"'none'", "'self'"}
    assert "script-src" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(
        r"<script|<iframe|<object|<base|<form|\son\w+=|\sstyle=|javascript:", response.text
    )
    for asset in re.findall(r'(?:href|src)="(/[^"#]*)"', response.text):
        assert api.http.get(asset).status_code == 200
    assert not re.findall(r'(?:href|src)="(?:https?:)?//', response.text)


# --- what is answered is what is described


def example_query(operation: dict[str, Any], name: str) -> dict[str, str]:
    """A query that holds what is required."""
    values = {"service": name, "definition": name, "from": "0", "to": "0", "base": "0", "q": "a"}
    values |= {"name": name, "id": "0", "email": "nobody@example.org"}
    return {
        each["name"]: values[each["name"]]
        for each in operation["parameters"]
        if each["in"] == "query" and each.get("required")
    }


BODY = b'{"a": 1}'


@pytest.mark.parametrize(
    ("headers", "query", "body"),
    [
        pytest.param({}, {}, None, id="nothing-more"),
        pytest.param({}, {"service": "no-such-service"}, None, id="unknown-service"),
        pytest.param({}, {"unknown": "1"}, None, id="unknown-parameter"),
        pytest.param({"Host": "evil.example"}, {}, None, id="foreign-host"),
        pytest.param({"Content-Encoding": "gzip"}, {}, BODY, id="compressed"),
        pytest.param({"Content-Type": "text/plain"}, {}, BODY, id="unknown-kind"),
        pytest.param({"Content-Type": "application/json"}, {}, BODY, id="a-body"),
        pytest.param({"Content-Type": "application/json"}, {}, b" " * (3 << 20), id="large-body"),
        pytest.param({"Content-Type": "application/yaml"}, {}, b" " * (300 << 10), id="large-yaml"),
        pytest.param({"If-Match": '"x"'}, {}, BODY, id="if-match"),
        pytest.param({"If-None-Match": "*"}, {}, None, id="if-none-match"),
        pytest.param({"Accept": "text/html"}, {}, None, id="accept-html"),
        pytest.param({"Idempotency-Key": "k" * 300}, {}, BODY, id="long-key"),
    ],
)
def test_whatever_is_answered_is_described(
    api: Api,
    name: str,
    described: dict[str, Any],
    headers: dict[str, str],
    query: dict[str, str],
    body: bytes | None,
) -> None:
    api.put(name, {"a": 1})
    api.put(f"{name}-nested", {"a": {"b": None}})
    undescribed = []
    for method, path, operation in operations(described):
        target = httpx2.URL(path, params={**example_query(operation, name), **query})
        response = api.http.request(method, target, headers=headers, content=body)
        answers = operation["responses"].get(str(response.status_code))
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if answers is None or kind not in {"", *answers.get("content", {})}:
            undescribed.append(f"{method} {path}: {response.status_code} {kind}")
    assert not undescribed, "\n".join(undescribed)


def test_a_body_that_comes_too_late_is_described(described: dict[str, Any]) -> None:
    """Any request can have a body, and one that stops half-way is a 408 wherever it is sent."""
    silent = [
        f"{method} {path}"
        for method, path, operation in operations(described)
        if "408" not in operation["responses"]
    ]
    assert not silent, "\n".join(silent)


# --- random requests after the document

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, with something of every sort in it."""
    with Server(tmp_path / "instance", wait_seconds=1, log_requests="false") as running:
        api = running.api
        for number in range(4):
            api.put("web", {"n": number, "nested": {"text": "é"}})
        api.enable("web", 1, False)
        api.enable("web", 2, False)
        api.delete("web", version=2)
        api.put("web/sub", {"flat": True})
        api.put("off", {})
        api.enable("off", 0, False)
        api.http.put("/api/v1/services/tags?service=web", json={"tags": ["a", "b"]})
        api.define("web", {"properties": {"n": {"type": "integer"}}}, indexes=["n"])
        api.define("web", {"properties": {"n": {"type": "number"}}})
        api.put("web/sub", {"flat": True}, definition="web")
        yield running


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_random_requests_are_answered_as_described(
    filled: Server, mode: GenerationMode, drill: bool
) -> None:
    document = filled.api.http.get("/api/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    failures = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
            continue  # there is nothing in it that could be wrong

        @settings(
            max_examples=1500 if drill else 4,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(cases(operation, mode))
        def ask(case: Case) -> None:
            response = case.call(base_url=filled.url)
            if response.status_code in {503, 507}:
                assert "retry-after" in response.headers
                return
            if response.status_code == 414:
                return  # the HTTP server's own answer to a line that is too long
            case.validate_response(response, checks=CHECKS)

        try:
            ask()
        except (FailureGroup, AssertionError, BaseExceptionGroup) as failure:
            failures.append(f"{operation.label}: {told(failure)}")
    assert not failures, "\n\n".join(failures)


def takes_anything(operation: Any) -> bool:
    return bool(operation.query or operation.headers or operation.body)


def cases(operation: Any, mode: GenerationMode) -> st.SearchStrategy[Case]:
    """Requests to ``operation``, most of them about services that are there."""
    queries: list[dict[str, str] | None] = [None]
    for asked in ("service", "definition"):
        if any(each.name == asked and each.is_required for each in operation.query):
            queries += [{asked: name} for name in ("web", "web/sub", "off", "absent")]
    return st.one_of(
        operation.as_strategy(generation_mode=mode, query=query) for query in queries
    ).filter(lambda case: not waits(case))


def waits(case: Case) -> bool:
    """Whether it asks for a revision that is not there: the server waits five seconds for it."""
    asked = str((case.query or {}).get("min_revision", ""))
    return asked.isdigit() and len(asked) > 1


def told(failure: BaseException) -> str:
    if isinstance(failure, BaseExceptionGroup):
        return "\n".join(told(each) for each in failure.exceptions)
    return f"{failure}"[:2000]
