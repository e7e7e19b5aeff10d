"""The servers of a comparison: how they start and stop, and what processor and memory they use."""

import base64
import getpass
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from bench.documents import DOCUMENT

ROOT = Path(__file__).parent.parent
WORKERS = 2
CONNECTIONS = 32
JSON = {"Content-Type": "application/json"}

_TICKS = os.sysconf("SC_CLK_TCK")
_SHARED_MEMORY = Path("/dev/shm")


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A process with its workers, on a port of its own; use it in a ``with``.

    ``command`` may hold ``{port}``. Its output goes to ``log``.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        environment: dict[str, str] | None = None,
        probe: str = "/config?service=bench",
        port: int | None = None,
    ) -> None:
        self.name = name
        self.port = port or free_port()
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._command = [part.format(port=self.port) for part in command]
        self._environment = {
            **neutral_environment(),
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        self._probe = probe
        self._process: subprocess.Popen[bytes] | None = None
        self.startup_seconds = 0.0
        """Seconds from its start to its first answer."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait for its first response."""
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                # Away from the product's gunicorn.conf.py, which gunicorn would read by itself.
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the benchmark, which ends its servers itself.
                start_new_session=True,
            )
        try:
            self._wait_for_answer(began + 20)
        except BaseException:
            self.stop()
            raise
        self.startup_seconds = time.perf_counter() - began

    def stop(self) -> None:
        """Stop it and all its workers."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(12)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def processes(self) -> list[int]:
        """Return the ids of the first process and its workers."""
        assert self._process is not None
        pid = self._process.pid
        return [pid, *_children(pid)]

    def cpu_seconds(self) -> float:
        """Return the processor time that all its processes have used so far."""
        return sum(_cpu_seconds(pid) for pid in self.processes())

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request, to set up, or to check what will be measured."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def _wait_for_answer(self, deadline: float) -> None:
        assert self._process is not None
        while time.perf_counter() < deadline and self._process.poll() is None:
            try:
                self.request("GET", self._probe)
            except http.client.BadStatusLine:
                return  # it listens, and does not speak HTTP
            except OSError:
                time.sleep(0.005)
            else:
                return
        tail = self.log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.name} did not start:\n{tail}")


def ours(folder: Path, upgrade: bool = True, token: str = "") -> Server:
    """Return ``distconf serve`` with its default settings, a log line for each request included.

    With a ``token`` it requires authentication, and that is the administrator's token.
    """
    port = free_port()
    environment = {
        "DISTCONF_INSTANCE": str(folder / "instance"),
        "DISTCONF_BIND": f"127.0.0.1:{port}",
    }
    if token:
        environment |= {
            "DISTCONF_AUTH": "token",
            "DISTCONF_ADMIN_TOKEN": token,
            # The limiter counts as always, and never refuses.
            "DISTCONF_LIMIT_READS": "999999999 per minute",
        }
    command = [str(distconf()), "serve", *(["--upgrade"] if upgrade else [])]
    return Server("ours", command, folder, environment, "/healthz", port)


def distconf() -> Path:
    """Return the path of the command, which is installed beside the interpreter."""
    return Path(sys.executable).parent / "distconf"


def bare_asgi(folder: Path) -> Server:
    return Server("bare-asgi", _gunicorn("asgi", "bench.bare:app"), folder)


def minimal_asgi(folder: Path) -> Server | None:
    """Return minimal Flask on ASGI, or None where a2wsgi is not installed."""
    if importlib.util.find_spec("a2wsgi") is None:
        return None
    return Server("minimal-asgi", _gunicorn("asgi", "bench.minimal_asgi:app"), folder)


def minimal_gthread(folder: Path) -> Server:
    return Server("minimal-gthread", _gunicorn("gthread", "bench.minimal:app"), folder)


def plain_service(folder: Path) -> Server:
    """Return the Flask-SQLAlchemy service, with its tables created."""
    environment = {"BENCH_PLAIN_DATABASE": str(folder / "plain.db")}
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from bench import plain_service as p\n"
            "with p.create_app().app_context(): p.db.create_all()",
        ],
        cwd=ROOT,
        env={**neutral_environment(), **environment},
        check=True,
        timeout=60,
    )
    command = _gunicorn("gthread", "bench.plain_service:create_app()")
    return Server("plain", command, folder, environment)


def nginx(folder: Path) -> Server | None:
    """Return nginx with the document as a file that it keeps open; None if it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    home = folder / "nginx"
    home.mkdir()
    (home / "config").write_bytes(DOCUMENT)
    port = free_port()
    (home / "nginx.conf").write_text(
        f"""daemon off; worker_processes {WORKERS}; pid {home}/pid; error_log {home}/errors;
        user {getpass.getuser()};
        events {{ worker_connections 1024; }}
        http {{
          access_log off; keepalive_requests 1000000000; default_type application/json;
          open_file_cache max=10 inactive=1h;
          server {{ listen 127.0.0.1:{port} reuseport; root {home}; }}
        }}"""
    )
    command = [program, "-e", str(home / "errors"), "-p", str(home), "-c", str(home / "nginx.conf")]
    return Server("nginx", command, folder, port=port)


def bare_streams(folder: Path) -> Server:
    """Return two processes of bare streams (``bench/bare_streams.py``)."""
    command = [sys.executable, "-m", "bench.bare_streams", "{port}"]
    return Server("bare-streams", command, folder, probe="/probe")


def etcd(folder: Path) -> Server | None:
    """Return one etcd with its JSON gateway, or None where it is not installed."""
    program = shutil.which("etcd")
    if program is None:
        return None
    port, peer = free_port(), free_port()
    command = [
        program,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--log-level=error",
    ]
    return Server("etcd", command, folder, probe="/health", port=port)


def redis(folder: Path) -> Server | None:
    """Return one Redis without persistence, or None where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    port = free_port()
    command = [program, "--port", f"{port}", "--save", "", "--maxclients", "15000"]
    return Server("redis", command, folder, port=port)


def etcd_key() -> bytes:
    """Return the body of a range request for the one key."""
    return json.dumps({"key": _base64(b"bench")}).encode()


def etcd_put() -> bytes:
    """Return the body of a request that puts the document under that key."""
    return json.dumps({"key": _base64(b"bench"), "value": _base64(DOCUMENT)}).encode()


def etcd_value(response: bytes) -> bytes:
    """Return the value in a response of the gateway."""
    return base64.b64decode(json.loads(response)["kvs"][0]["value"])


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the memory of these processes; shared pages are divided among their users."""
    return sum(_pss_bytes(pid) for pid in pids)


def _gunicorn(worker: str, application: str) -> list[str]:
    """Return the command of gunicorn as the product runs it, as far as the worker allows."""
    # Measured with 2, 4, 8 and 16: reads are equally fast with all, writes no faster with more.
    threads = ["--threads", "4"] if worker == "gthread" else []
    memory = ["--worker-tmp-dir", str(_SHARED_MEMORY)] if _SHARED_MEMORY.is_dir() else []
    return [
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "--log-level", "warning"),
        *("--worker-class", worker, "--workers", str(WORKERS), *threads, *memory),
        *("--worker-connections", "25000", "--keep-alive", "75", "--reuse-port"),
        *("--bind", "127.0.0.1:{port}", application),
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def neutral_environment() -> dict[str, str]:
    """Return this process's environment without what would change a server's settings."""
    excluded = ("DISTCONF_", "PROMETHEUS_", "GUNICORN_", "ETCD_", "FLASK_", "WEB_CONCURRENCY")
    return {name: value for name, value in os.environ.items() if not name.startswith(excluded)}


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def _cpu_seconds(pid: int) -> float:
    # The program's name may contain spaces, so the fields are counted after its parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
