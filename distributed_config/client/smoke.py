"""Smoke checks: the walk of the README against a server that runs, with nothing but ``unittest``.

    DISTCONF_URL=http://config:5000 python3 -m unittest distributed_config.client.smoke -v

Without ``DISTCONF_URL`` the checks start a server of their own, in a temporary folder, and end it
afterwards; that takes an installation with the server. ``DISTCONF_TOKEN`` or
``DISTCONF_TOKEN_FILE`` is shown where the server asks for a token, which has to be good for a
publisher. Every check works on a service of its own and deletes it in the end.
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

from distributed_config.client.client import token_of

_START_SECONDS = 30
_END_SECONDS = 15
_TIMEOUT = 30

JSON = "application/json"


class Answer(NamedTuple):
    """What a server answered; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def run(url: str, token: str) -> bool:
    """Runs all checks against the server at ``url``, telling each on standard error.

    Returns whether all of them passed.
    """
    with mock.patch.dict(os.environ, {"DISTCONF_URL": url, "DISTCONF_TOKEN": token}):
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Smoke)
        return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


def setUpModule() -> None:
    """Starts a server unless ``DISTCONF_URL`` names one; it ends after the last check."""
    if "DISTCONF_URL" not in os.environ:
        url = unittest.enterModuleContext(own_server())
        os.environ["DISTCONF_URL"] = url
        unittest.addModuleCleanup(os.environ.pop, "DISTCONF_URL")


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """A server on a free port of the loopback, with an empty database; its URL."""
    with tempfile.TemporaryDirectory(prefix="distconf-smoke-") as folder:
        url = f"127.0.0.1:{_free_port()}"
        environment = {
            **{name: value for name, value in os.environ.items() if "DISTCONF" not in name},
            "DISTCONF_BIND": url,
            "DISTCONF_INSTANCE": folder,
            "DISTCONF_LOG_REQUESTS": "false",
        }
        command = [sys.executable, "-m", "distributed_config", "serve", "--upgrade"]
        process = subprocess.Popen(command, env=environment)  # noqa: S603  # our own command
        try:
            _wait_until_alive(f"http://{url}", process)
            yield f"http://{url}"
        finally:
            process.terminate()
            process.wait(_END_SECONDS)


class Smoke(unittest.TestCase):
    """One walk after another, each on a service that nobody else has."""

    def setUp(self) -> None:
        self.service = f"smoke-{secrets.token_hex(6)}"
        self.addCleanup(self._remove_service)

    def test_a_server_is_alive_and_ready(self) -> None:
        self.assertEqual(self.ask("GET", "/healthz").status, 200)
        self.assertEqual(self.ask("GET", "/readyz").status, 200)

    def test_a_service_is_created_and_read_byte_for_byte(self) -> None:
        text = b'{"service": "%b", "data": [{"key1": "value1"}]}' % self.service.encode()

        created = self.config("POST", text)
        again = self.config("POST", text)

        self.assertEqual(created.status, 200, created.body)
        self.assertEqual(created.json()["serviceJSONconf"], text.decode())
        self.assertEqual(again.status, 422)
        self.assertEqual(self.config("GET").body, text)

    def test_a_version_is_added_and_several_are_shown_as_strings(self) -> None:
        self.config("POST", b'{"n": 0}')

        self.assertIs(self.config("PATCH", b'{"n": 1}').json()["success"], True)

        self.assertEqual(self.config("GET").json(), {"0": '{"n": 0}', "1": '{"n": 1}'})
        self.assertEqual(self.config("GET", version="current").json(), {"n": 1})

    def test_a_bad_version_is_turned_off_and_the_one_before_is_current(self) -> None:
        self.config("PUT", b'{"n": 0}')
        self.config("PUT", b'{"n": 1}')

        done = self.config("PATCH", version="1", enabled="false", note="smoke")

        self.assertEqual(done.json()["current"], 0)
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

        again = self.ask("GET", self._path(version="current"), headers={"If-None-Match": tag})

        self.assertEqual((again.status, again.body), (304, b""))

    def test_a_mistake_is_told_whole_and_changes_nothing(self) -> None:
        self.config("PUT", b'{"port": 8080}')

        refused = self.config("PUT", b'{"port": 1e999, "service": "another"}')

        self.assertEqual(refused.status, 422)
        pointers = {each["pointer"] for each in refused.json()["problems"]}
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
    ) -> Answer:
        """A request to ``/config`` about this check's service."""
        headers = {} if body is None else {"Content-Type": kind}
        return self.ask(method, self._path(**query), body, headers)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return _request(os.environ["DISTCONF_URL"], method, path, body, headers or {})

    def _path(self, **query: str) -> str:
        return f"/config?{urlencode({'service': self.service, **query})}"

    def _remove_service(self) -> None:
        """Turns every version off and deletes the service, if the check left one."""
        versions = self.ask("GET", f"/api/v1/versions?service={self.service}")
        for each in versions.json().get("versions", ()) if versions.status == 200 else ():
            self.config("PATCH", version=str(each["number"]), enabled="false")
        self.config("DELETE")


def _request(
    url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    token = token_of(os.environ)
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    with contextlib.closing(connection):
        connection.request(method, parts.path.rstrip("/") + path, body, {**headers, **shown})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())


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
        "`pip install 'distributed-config[server]'`, or name one that runs in DISTCONF_URL."
    )
