"""How a write becomes a response: after the commit, or in it where the response is stored."""

import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from distributed_config.app import create_app
from distributed_config.http import auth
from distributed_config.http.response import ResponseData, json_response, to_response
from distributed_config.http.writes import commit
from distributed_config.services import versions
from distributed_config.services.documents.preconditions import no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.versions import WriteResult
from distributed_config.settings import Settings
from distributed_config.wire import DocumentLimits, make_object
from tests.support.server import Server

PATH = "/test/writes/"
WRITER = "writer"
"""The name of the thread that holds the write lock."""


class Rendering:
    """Renders results, and remembers in which threads."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def __call__(self, written: WriteResult, head: Head) -> ResponseData:
        self.threads.append(threading.current_thread().name)
        if written.service.startswith("broken"):
            raise RuntimeError("it cannot be rendered")
        return json_response({"version": written.number})


@pytest.fixture
def rendering() -> Rendering:
    return Rendering()


@pytest.fixture
def client(server: Server, rendering: Rendering) -> Iterator[FlaskClient]:
    """Requests to an application in this process, with a route that puts a document."""
    app = create_app(Settings(instance=server.instance))
    _add_route(app, rendering)
    yield app.test_client()
    app.extensions["distributed_config"].close()


def _add_route(app: Flask, rendering: Rendering) -> None:
    @app.put(f"{PATH}<name>/<int:number>")
    @auth.requires("config:write")
    def put(name: str, number: int) -> Response:
        document = make_object({"n": number}, DocumentLimits())
        query = {"note": None, "dry_run": name.startswith("rehearsed")}
        series = Series(name)
        return to_response(
            commit(query, versions.put, series, document, no_precondition, render=rendering)
        )


def test_a_response_is_rendered_after_the_writer_is_free_again(
    client: FlaskClient, rendering: Rendering, name: str
) -> None:
    assert client.put(f"{PATH}{name}/1").json == {"version": 0}

    [thread] = rendering.threads
    assert thread != WRITER


def test_a_response_that_is_stored_is_rendered_in_its_write_and_once(
    client: FlaskClient, rendering: Rendering, name: str
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first, second = (client.put(f"{PATH}{name}/1", headers=headers) for _ in range(2))

    assert first.json == second.json == {"version": 0}
    assert first.headers["Config-Revision"] == second.headers["Config-Revision"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert rendering.threads == [WRITER]


def test_a_rehearsal_is_rendered_and_has_no_revision(
    client: FlaskClient, rendering: Rendering, name: str
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    response = client.put(f"{PATH}rehearsed-{name}/1", headers=headers)

    assert response.headers["Config-Dry-Run"] == "true"
    assert "Config-Revision" not in response.headers
    assert WRITER not in rendering.threads


def test_a_stored_response_that_cannot_be_rendered_takes_its_write_back(
    client: FlaskClient, server: Server, name: str
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    assert client.put(f"{PATH}broken-{name}/1", headers=headers).status_code == 500

    assert server.api.get(f"broken-{name}").status_code == 404
