"""The two load generators: ``wrk`` where it is installed, and otherwise a small one of our own.

Our own is written in Python and takes as much of the processor as a fast server does: on the cores
that they share it makes ratios smaller than they are.
"""

import json
import re
import select
import shutil
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.servers import CONNECTIONS, Server

_PATIENCE = 30  # seconds for one response
_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Request:
    """A request, to be sent again and again; any other ``status`` counts as a failure."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    def encode(self, port: int) -> bytes:
        """Return the request as bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Sample:
    """The result of one measurement. Times are in seconds; ``cpu`` is per request."""

    rate: float
    cpu: float
    answers: int
    failures: int
    p50: float
    p99: float
    slowest: float


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def send(server: Server, request: Request, seconds: int, services: int = 1) -> Sample:
    """Send one request over all connections, with wrk if it is installed.

    With several ``services``, each request goes to the next of so many: the path of ``request``
    ends with the first of them, which ends with ``-0``, and its body names it.
    """
    if not has_wrk():
        return own(server, [_to_service(request, number) for number in range(services)], seconds)
    before = server.cpu_seconds()
    command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
    command += ["--latency", f"--timeout={_PATIENCE}s", f"--script={_SCRIPT}"]
    for name, value in request.headers:
        command += ["--header", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{server.port}{request.path}", "--", request.method]
    command += [request.body.decode(), str(services)] if request.body else []
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + _PATIENCE
    ).stdout
    cpu = server.cpu_seconds() - before
    (line,) = [line for line in output.splitlines() if line.startswith("RESULT ")]
    result = json.loads(line.removeprefix("RESULT "))
    return Sample(
        rate=result["requests"] / result["microseconds"] * 1e6,
        cpu=cpu / max(result["requests"], 1),
        answers=result["requests"],
        failures=result["failures"],
        p50=result["p50"] / 1e6,
        p99=result["p99"] / 1e6,
        slowest=result["slowest"] / 1e6,
    )


def _to_service(request: Request, number: int) -> Request:
    path = re.sub("-0$", f"-{number}", request.path)
    return replace(request, path=path, body=request.body.replace(b'-0"', b'-%d"' % number))


def own(server: Server, requests: list[Request], seconds: int) -> Sample:
    """Send one of ``requests`` over and over on every connection, for ``seconds``.

    It waits for every response; the rate counts those that came in time.
    """
    before = server.cpu_seconds()
    run = _Run(server.port, requests)
    run.drive(seconds)
    cpu = server.cpu_seconds() - before
    spent = sorted(run.spent)
    percentiles = statistics.quantiles(spent, n=100) if len(spent) > 1 else [0.0] * 99
    return Sample(
        rate=run.in_time / seconds,
        cpu=cpu / max(len(spent), 1),
        answers=len(spent) - run.refused,
        failures=run.refused + run.lost,
        p50=percentiles[49],
        p99=percentiles[98],
        slowest=max(spent, default=0.0),
    )


class _Run:
    """One run of our own generator: a single thread over all connections."""

    def __init__(self, port: int, requests: list[Request]) -> None:
        self.spent: list[float] = []
        self.in_time = 0
        self.refused = 0
        self.lost = 0
        self._status = str(requests[0].status).encode()
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        for i in range(CONNECTIONS):
            connection = _Connection(port, requests[i % len(requests)].encode(port))
            self._connections[connection.socket.fileno()] = connection
            self._poll.register(connection.socket, select.EPOLLIN)

    def drive(self, seconds: int) -> None:
        end = time.perf_counter() + seconds
        try:
            for connection in self._connections.values():
                connection.send()
            waiting = set(self._connections)
            while waiting and time.perf_counter() < end + _PATIENCE:
                for descriptor, _ in self._poll.poll(0.1):
                    if not self._take(self._connections[descriptor], end):
                        self._poll.unregister(descriptor)
                        waiting.discard(descriptor)
            self.lost += len(waiting)
        finally:
            for connection in self._connections.values():
                connection.socket.close()
            self._poll.close()

    def _take(self, connection: "_Connection", end: float) -> bool:
        """Read what arrived, and send again if there is time; return whether to wait for more."""
        try:
            complete = connection.receive()
        except ConnectionError:
            self.lost += 1
            return False
        if not complete:
            return True
        now = time.perf_counter()
        self.spent.append(now - connection.sent_at)
        self.refused += connection.status != self._status
        self.in_time += now <= end
        if now < end:
            connection.send()
            return True
        return False


class _Connection:
    """One connection, with just enough HTTP to see where a response ends."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.status = b""
        self._request = request
        self._response = b""

    def send(self) -> None:
        self._response = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Read what arrived; return whether the response is complete."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionResetError
        self._response += part
        head, end, body = self._response.partition(b"\r\n\r\n")
        if not end:
            return False
        self.status = head[9:12]
        if self.status == b"304":
            return True
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return body.endswith(b"0\r\n\r\n")
        length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return len(body) >= int(length)
