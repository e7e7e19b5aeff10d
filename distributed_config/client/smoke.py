"""Smoke checks: the steps of the README against a running server, with nothing but ``unittest``.

    DISTCONF_URL=http://config:5000 python3 -m unittest distributed_config.client.smoke -v

Without ``DISTCONF_URL`` the checks start a server of their own, in a temporary folder, and stop it
afterwards; that needs an installation with the server. Where the server requires a token, set
``DISTCONF_TOKEN`` or ``DISTCONF_TOKEN_FILE`` to that of a publisher. Every check works on a service
of its own, and deletes it at the end.

Requests are sent with ``http.client``, and not with ``Client``: these checks are also about what
any other HTTP client sees.
"""

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import urlencode, urlsplit

from distributed_config.client.http.token_file import token_from

# Generous: in CI the machine may be slow, and a check that fails for that reason helps nobody.
_START_SECONDS = 30
_STOP_SECONDS = 15
_TIMEOUT = 30

JSON = "application/json"


class Response(NamedTuple):
    """A response of the server; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def run(url: str, token: str) -> bool:
    """Run all checks against the server at ``url``, with reports on standard error.

    Returns whether all of them passed.
    """
    with mock.patch.dict(os.environ, {"DISTCONF_URL": url, "DISTCONF_TOKEN": token}):
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Smoke)
        return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


def setUpModule() -> None:
    """Start a server unless ``DISTCONF_URL`` names one; it is stopped after the last check."""
    if "DISTCONF_URL" not in os.environ:
        url = unittest.enterModuleContext(own_server())
        os.environ["DISTCONF_URL"] = url
        unittest.addModuleCleanup(os.environ.pop, "DISTCONF_URL")


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """Run a server with an empty database on a free port of the loopback. Yields its URL."""
    with tempfile.TemporaryDirectory(prefix="distconf-smoke-") as folder:
        address = f"127.0.0.1:{_free_port()}"
        environment = {
            **{name: value for name, value in os.environ.items() if "DISTCONF" not in name},
            "DISTCONF_BIND": address,
            "DISTCONF_INSTANCE": folder,
            "DISTCONF_LOG_REQUESTS": "false",
        }
        command = [sys.executable, "-m", "distributed_config", "serve", "--upgrade"]
        process = subprocess.Popen(command, env=environment)  # noqa: S603  # our own command
        try:
            _wait_until_alive(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


class Smoke(unittest.TestCase):
    """The checks, each on a service of its own."""

    def setUp(self) -> None:
        self.service = f"smoke-{secrets.token_hex(6)}"
        self.addCleanup(self._remove_service)

    def test_a_server_is_alive_and_ready(self) -> None:
        self.assertEqual(self.request("GET", "/healthz").status, 200)
        self.assertEqual(self.request("GET", "/readyz").status, 200)

    def test_a_service_is_created_and_read_byte_for_byte(self) -> None:
        text = b'{"service": "%b", "data": [{"key1": "value1"}]}' % self.service.encode()

        created = self.config("POST", text)
        again = self.config("POST", text)

        self.assertEqual(created.status, 200, created.body)
        self.assertEqual(created.json()["serviceJSONconf"], text.decode())
        self.assertEqual(again.status, 422)
        self.assertEqual(self.config("GET").body, text)

    def test_a_version_is_added_and_several_are_returned_as_strings(self) -> None:
        self.config("POST", b'{"n": 0}')

        self.assertIs(self.config("PATCH", b'{"n": 1}').json()["success"], True)

        self.assertEqual(self.config("GET").json(), {"0": '{"n": 0}', "1": '{"n": 1}'})
        self.assertEqual(self.config("GET", version="current").json(), {"n": 1})

    def test_a_bad_version_is_disabled_and_the_one_before_is_current(self) -> None:
        self.config("PUT", b'{"n": 0}')
        self.config("PUT", b'{"n": 1}')

        disabled = self.config("PATCH", version="1", enabled="false", note="smoke")

        self.assertEqual(disabled.json()["current"], 0)
        self.assertEqual(self.config("GET", version="current").json(), {"n": 0})

    def test_putting_the_same_again_makes_no_version(self) -> None:
        first = self.config("PUT", b'{"port": 8080}').json()
        second = self.config("PUT", b'{"port": 8080}').json()

        self.assertEqual((first["version"], first["changed"]), (0, True))
        self.assertEqual((second["version"], second["changed"]), (0, False))

    def test_one_key_is_changed_by_a_merge_patch(self) -> None:
        self.config("PUT", b'{"port": 8080, "hosts": ["a", "b"]}')

        self.config("PATCH", b'{"port": 9090}', "application/merge-patch+json")

        current = self.config("GET", version="current").json()
        self.assertEqual(current, {"port": 9090, "hosts": ["a", "b"]})

    def test_what_is_known_already_is_not_sent_again(self) -> None:
        self.config("PUT", b'{"port": 8080}')
        tag = self.config("GET", version="current").headers["etag"]

        again = self.request("GET", self._path(version="current"), headers={"If-None-Match": tag})

        self.assertEqual((again.status, again.body), (304, b""))

    def test_every_mistake_is_reported_and_nothing_changes(self) -> None:
        self.config("PUT", b'{"port": 8080}')

        refused = self.config("PUT", b'{"port": 1e999, "service": "another"}')

        self.assertEqual(refused.status, 422)
        pointers = {problem["pointer"] for problem in refused.json()["problems"]}
        self.assertEqual(pointers, {"/port", "/service"})
        self.assertEqual(self.config("GET", version="current").json(), {"port": 8080})

    def test_a_service_that_is_served_is_not_deleted(self) -> None:
        self.config("PUT", b"{}")

        self.assertEqual(self.config("DELETE").status, 409)
        self.config("PATCH", version="0", enabled="false")
        self.assertEqual(self.config("DELETE").status, 200)
        self.assertEqual(self.config("GET").status, 404)

    # --- requests

    def config(
        self, method: str, body: bytes | None = None, kind: str = JSON, **query: str
    ) -> Response:
        """Send a request to ``/config`` about this check's service."""
        headers = {} if body is None else {"Content-Type": kind}
        return self.request(method, self._path(**query), body, headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return _request(os.environ["DISTCONF_URL"], method, path, body, headers or {})

    def _path(self, **query: str) -> str:
        return f"/config?{urlencode({'service': self.service, **query})}"

    def _remove_service(self) -> None:
        """Disable every version and delete the service, if the check left one."""
        versions = self.request("GET", f"/api/v1/versions?service={self.service}")
        for version in versions.json().get("versions", ()) if versions.status == 200 else ():
            self.config("PATCH", version=str(version["number"]), enabled="false")
        self.config("DELETE")


def _request(
    url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Response:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connection_class = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connection_class(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    token = token_from(os.environ)
    credentials = {"Authorization": f"Bearer {token}"} if token else {}
    with contextlib.closing(connection):
        connection.request(method, parts.path.rstrip("/") + path, body, {**headers, **credentials})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, names, response.read())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_alive(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if _request(url, "GET", "/healthz", None, {}).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(
        "The server for the smoke checks did not start. Install it with "
        "`pip install 'distributed-config[server]'`, or set DISTCONF_URL to one that is running."
    )
