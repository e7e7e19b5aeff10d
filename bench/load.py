"""The two load generators: ``wrk`` for reads where it is installed, and a small one of our own.

Our own waits for every answer that was asked for, so that a write which hangs is seen. It is the
one for writes, and for reads where there is no wrk.
"""

import json
import select
import shutil
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.servers import CONNECTIONS, Server

_PATIENCE = 30
_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Question:
    """A request, to be sent again and again."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    def encode(self, port: int) -> bytes:
        """The request as it goes over the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Sample:
    """What one measurement came to. Times are in seconds; ``cpu`` is per request."""

    rate: float
    cpu: float
    answers: int
    failures: int
    p50: float
    p99: float
    slowest: float


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def reads(server: Server, question: Question, seconds: int) -> Sample:
    """The same read over all connections, by wrk if it is there."""
    if not has_wrk():
        return own(server, [question], seconds)
    before = server.cpu_seconds()
    command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
    command += ["--latency", f"--timeout={_PATIENCE}s", f"--script={_SCRIPT}"]
    for name, value in question.headers:
        command += ["--header", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{server.port}{question.path}", "--", question.method]
    command += [question.body.decode()] if question.body else []
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + _PATIENCE
    )
    cpu = server.cpu_seconds() - before
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found = json.loads(line.removeprefix("RESULT "))
    return Sample(
        rate=found["requests"] / found["microseconds"] * 1e6,
        cpu=cpu / max(found["requests"], 1),
        answers=found["requests"],
        failures=found["failures"],
        p50=found["p50"] / 1e6,
        p99=found["p99"] / 1e6,
        slowest=found["slowest"] / 1e6,
    )


def own(server: Server, questions: list[Question], seconds: int) -> Sample:
    """Every connection asks one of ``questions`` over and over for ``seconds``.

    Every answer is waited for; the rate counts those that came in time.
    """
    before = server.cpu_seconds()
    run = _Run(server.port, questions)
    run.drive(seconds)
    cpu = server.cpu_seconds() - before
    spent = sorted(run.spent)
    hundredths = statistics.quantiles(spent, n=100) if len(spent) > 1 else [0.0] * 99
    return Sample(
        rate=run.in_time / seconds,
        cpu=cpu / max(len(spent), 1),
        answers=len(spent) - run.refused,
        failures=run.refused + run.lost,
        p50=hundredths[49],
        p99=hundredths[98],
        slowest=max(spent, default=0.0),
    )


class _Run:
    """One go of our own generator: a single thread over all connections."""

    def __init__(self, port: int, questions: list[Question]) -> None:
        self.spent: list[float] = []
        self.in_time = 0
        self.refused = 0
        self.lost = 0
        self._status = str(questions[0].status).encode()
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        for i in range(CONNECTIONS):
            connection = _Connection(port, questions[i % len(questions)].encode(port))
            self._connections[connection.socket.fileno()] = connection
            self._poll.register(connection.socket, select.EPOLLIN)

    def drive(self, seconds: int) -> None:
        end = time.perf_counter() + seconds
        try:
            for connection in self._connections.values():
                connection.ask()
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
        """Takes what has come, and asks again if it is time; whether there is more to wait for."""
        try:
            answered = connection.receive()
        except ConnectionError:
            self.lost += 1
            return False
        if not answered:
            return True
        now = time.perf_counter()
        self.spent.append(now - connection.asked_at)
        self.refused += connection.status != self._status
        self.in_time += now <= end
        if now < end:
            connection.ask()
            return True
        return False


class _Connection:
    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked_at = 0.0
        self.status = b""
        self._request = request
        self._answer = b""

    def ask(self) -> None:
        self._answer = b""
        self.asked_at = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Reads what has come; whether the answer is whole."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionResetError
        self._answer += part
        head, end, body = self._answer.partition(b"\r\n\r\n")
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
