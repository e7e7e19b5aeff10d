"""What clients of Tartarus find beside its doors: the greeting, the description, and a page."""

import re
from pathlib import Path

import httpx2
import pytest
from jsonschema_rs import validator_for

from distributed_config.dialects.tartarus import openapi
from distributed_config.services.access.token_format import new_token
from tests.support.server import Api, Server

WELCOME = {"message": "Welcome to Tartarus API"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/", "/health", "/readiness-probe"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_it_greets_as_the_original_does(api: Api, path: str, accept: str) -> None:
    answer = api.http.get(path, headers={"Accept": accept})

    assert (answer.status_code, answer.json()) == (200, WELCOME)


def test_a_person_with_a_browser_is_not_greeted_but_shown_the_interface(api: Api) -> None:
    answer = api.http.get("/", headers={"Accept": BROWSER})

    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")


def test_the_description_is_that_of_its_doors(api: Api) -> None:
    answer = api.http.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    described = answer.json()
    assert described["info"]["title"] == "Tartarus API"
    assert described["openapi"].startswith("3.1")
    for schema in described["components"]["schemas"].values():
        validator_for(schema)

    for path, operations in described["paths"].items():
        filled = re.sub(r"\{\w+\}", "absent", path)
        for method, operation in operations.items():
            response = api.http.request(method, filled, json={})
            assert response.status_code in {200, 404, 422}, (method, path)
            assert (
                response.json().get("status") != "FAILURE"
                or response.status_code == 404
                or "errors" in response.json()
            )
            assert str(response.status_code) in {*operation["responses"], "200"}
    fields = set(described["components"]["schemas"]["ConfigDefinition"]["properties"])
    assert fields == {"config_definition_key", "json_schema", "indexes"}


def test_every_operation_is_on_the_page(api: Api) -> None:
    answer = api.http.get("/docs")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, operations in openapi.document()["paths"].items():
        assert answer.text.count(f"<code>{path}</code>") == len(operations)
    assert "config_key, data" in answer.text


def test_they_need_no_token_and_are_there_with_the_dialect_only(tmp_path: Path) -> None:
    for dialects, status in (("tartarus", 200), ("unified", 404)):
        server = Server(
            tmp_path / dialects, auth="token", admin_token=new_token(), dialects=dialects, workers=1
        )
        with server:
            for path in ("/", "/openapi.json", "/docs"):
                answer = httpx2.get(f"{server.url}{path}", trust_env=False)
                assert answer.status_code == status, path
