"""A real server for tests: gunicorn with its workers, on a port and a folder of its own."""

import atexit
import io
import multiprocessing
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self
from unittest import mock

import httpx2

from distributed_config.cli import main
from distributed_config.models.sqlite import raw_connection

JSON = {"Content-Type": "application/json"}

# Servers are forked off a process that has the packages in memory already: loading them is most
# of what a start costs. prometheus_client is not among them, because it looks at the environment
# when it is loaded, and the environment is each server's own.
_warm = multiprocessing.get_context("forkserver")
_warm.set_forkserver_preload(
    [
        "apispec.ext.marshmallow",
        "distributed_config.cli",
        "distributed_config.schemas.answers",
        "distributed_config.services.definitions",
        "distributed_config.services.secrets",
        "distributed_config.services.access.tokens",
        "gunicorn.app.wsgiapp",
        "gunicorn.workers.gasgi",
        "limits.strategies",
        "structlog",
    ]
)


def _serve(environment: dict[str, str], log: Path, files: int | None) -> None:
    """Do what ``python -m distributed_config serve --upgrade`` does, in a session of its own."""
    os.setsid()
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files // 2, files))
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    try:
        main(["serve", "--upgrade"])
    finally:
        atexit._run_exitfuncs()  # a forked process would leave them out


class Process:
    """A forked server process, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, environment: dict[str, str], log: Path, files: int | None = None) -> None:
        self._process = _warm.Process(target=_serve, args=(environment, log, files), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        self._process.join(seconds)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("distconf serve", seconds)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@lru_cache
def _empty_database() -> bytes:
    """Return the bytes of a fresh database; cached, because creating one takes a second."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder, "instance"))
        done = server.run("db", "upgrade")
        assert done.returncode == 0, done.stderr
        return server.database.read_bytes()


def free_port() -> int:
    """Return a port that nobody listens on at the moment.

    It is below those that systems give to outgoing connections, so that a server which is started
    again at its old port finds it free.
    """
    while True:
        # Not by ``random``: Hypothesis seeds it alike in every process of the suite.
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Api:
    """Requests in few words: ``api.put("web", {"a": 1})``. Each returns the response."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def get(self, service: str, **query: Any) -> httpx2.Response:
        headers = query.pop("headers", {})
        return self.http.get("/config", params={"service": service, **query}, headers=headers)

    def post(self, service: str, document: Any, **query: Any) -> httpx2.Response:
        return self._send("POST", service, document, query)

    def put(self, service: str, document: Any, **query: Any) -> httpx2.Response:
        return self._send("PUT", service, document, query)

    def patch(self, service: str, document: Any, **query: Any) -> httpx2.Response:
        return self._send("PATCH", service, document, query)

    def enable(
        self, service: str, version: int, enabled: bool, *, headers: Any = None
    ) -> httpx2.Response:
        query = {"service": service, "version": version, "enabled": str(enabled).lower()}
        return self.http.patch("/config", params=query, headers=headers)

    def delete(self, service: str, **query: Any) -> httpx2.Response:
        headers = query.pop("headers", {})
        return self.http.delete("/config", params={"service": service, **query}, headers=headers)

    def define(
        self, definition: str, schema: Any = None, *, query: Any = None, **body: Any
    ) -> httpx2.Response:
        """Create or revise a definition."""
        if schema is not None:
            body["schema"] = schema
        params = {"definition": definition, **(query or {})}
        return self.http.put("/api/v1/definitions", params=params, json=body)

    def conforming(self, definition: str, **query: Any) -> list[str]:
        """Return the names of all services that conform to ``definition``."""
        names: list[str] = []
        url: str | None = "/api/v1/definitions/services"
        params: Any = {"definition": definition, **query}
        while url:
            response = self.http.get(url, params=params)
            assert response.status_code == 200, response.text
            names += [service["name"] for service in response.json()["services"]]
            url = response.links.get("next", {}).get("url")
            params = None
        return names

    def changes(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the whole journal after the revision ``after``."""
        changes: list[dict[str, Any]] = []
        while True:
            answer = self.http.get("/api/v1/changes", params={"after": after, "limit": 500}).json()
            changes += answer["changes"]
            after = answer["revision"]
            if not answer["more"]:
                return changes

    def versions(self, service: str) -> list[dict[str, Any]]:
        """Return every version of ``service``, oldest first, with documents."""
        versions: list[dict[str, Any]] = []
        url: str | None = "/api/v1/versions"
        query: Any = {"service": service, "documents": "true", "limit": 500}
        while url:
            response = self.http.get(url, params=query)
            versions += response.json()["versions"]
            url = response.links.get("next", {}).get("url")
            query = None
        return versions[::-1]

    def _send(self, method: str, service: str, document: Any, query: dict[str, Any]) -> Any:
        headers = query.pop("headers", {})
        return self.http.request(
            method,
            "/config",
            params={"service": service, **query},
            json=document,
            headers={**JSON, **headers},
        )


class Server:
    """``distconf serve`` on the data in ``instance``; use it in a ``with``.

    ``files`` is the hard limit of open files for each of its processes; the soft one is half of it.
    """

    def __init__(
        self, instance: Path, port: int | None = None, *, files: int | None = None, **settings: Any
    ) -> None:
        self.files = files
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.instance = instance
        self.environment = {
            **{name: value for name, value in os.environ.items() if "DISTCONF" not in name},
            "DISTCONF_BIND": f"127.0.0.1:{self.port}",
            "DISTCONF_INSTANCE": str(instance),
            **{f"DISTCONF_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.log = instance.parent / f"{instance.name}.log"
        self.process: Process | None = None

    def __enter__(self) -> Self:
        if not {"DISTCONF_DATABASE_URL", "DISTCONF_BOOTSTRAP"} & self.environment.keys():
            self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @cached_property
    def api(self) -> Api:
        """Requests to this server; closed with it."""
        return Api(self.url)

    @property
    def database(self) -> Path:
        return self.instance / "distconf.db"

    def prepare(self) -> None:
        """Put an empty database there, unless there is one, as `distconf db upgrade` does."""
        if self.database.exists():
            return
        self.instance.mkdir(parents=True, exist_ok=True)
        self.database.write_bytes(_empty_database())
        with raw_connection(self.database) as connection:
            epoch = secrets.token_hex(4)
            connection.execute("UPDATE head SET epoch = ?, first_epoch = ?", (epoch, epoch))

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = Process(self.environment, self.log, self.files)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx2.get(f"{self.url}/healthz", trust_env=False).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the server with the signal ``how``; return its exit code."""
        assert self.process is not None
        self.api.close()
        del self.api
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill the server and all its workers at once, as a power cut would."""
        assert self.process is not None
        self.api.close()
        del self.api
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(15)

    def tell(self, *arguments: str, input: str = "") -> "subprocess.CompletedProcess[str]":  # noqa: A002  # as subprocess has it
        """Run ``distconf`` as ``run`` does, but in this process: it takes a tenth of the time."""
        out, error = io.StringIO(), io.StringIO()
        code = 0
        with (
            mock.patch.dict(os.environ, self.environment, clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(input)),
            redirect_stdout(out),
            redirect_stderr(error),
        ):
            try:
                main(list(arguments))
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        outputs = (out.getvalue(), error.getvalue())
        return subprocess.CompletedProcess(list(arguments), code, *outputs)

    def run(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run ``distconf`` in a process of its own, with the settings of this server."""
        return subprocess.run(
            [sys.executable, "-m", "distributed_config", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
