"""Connections that are held open for nothing, and how many there may be, at a real server."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from distributed_config.models.sqlite import raw_connection
from tests.support.processes import workers_of
from tests.support.server import Server
from tests.support.sockets import WHOLE, answer, connect
from tests.support.waiting import until

HEADER_SECONDS = 1
ANSWER_SECONDS = 1
PROMISED = 10  # seconds in which the server ends, always
HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
EVENTS = HALF.replace(b"/healthz", b"/api/v1/changes") + b"Accept: text/event-stream\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process that does not wait for long."""
    folder = tmp_path_factory.mktemp("hasty") / "instance"
    limits: dict[str, Any] = {"header_seconds": HEADER_SECONDS, "answer_seconds": ANSWER_SECONDS}
    with Server(folder, workers=1, **limits) as running:
        yield running


def rest(sock: socket.socket) -> bytes:
    """Everything that comes until the other side ends it."""
    came = b""
    with suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            came += part
    return came


def is_answered(server: Server, address: str = "127.0.0.1") -> bool:
    with closing(connect(server, address)) as sock:
        sock.sendall(WHOLE)
        return answer(sock).startswith(b"HTTP/1.1 200 ")


# --- clients that send nothing, or only a part


@pytest.mark.parametrize(
    "sent", [HALF, HALF[:3], b"GET /" + b"x" * 5_000, HALF + b"X-Long: " + b"x" * 3_000]
)
def test_headers_that_stop_half_way_are_answered_with_a_timeout(hasty: Server, sent: bytes) -> None:
    with closing(connect(hasty)) as sock:
        sock.sendall(sent)

        assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_headers_that_trickle_for_ever_are_ended_as_well(hasty: Server) -> None:
    with closing(connect(hasty)) as sock:
        sock.settimeout(0.2)
        came = b""
        sock.sendall(HALF)
        for number in range(100):
            with suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                sock.sendall(b"X-%d: 1\r\n" % number)
                came = sock.recv(100)
            if came:
                break

    assert came.startswith(b"HTTP/1.1 408 ")


def test_a_connection_on_which_nothing_comes_is_closed_in_silence(hasty: Server) -> None:
    with closing(connect(hasty)) as sock:
        assert rest(sock) == b""


def test_a_later_request_has_no_longer_than_the_first(hasty: Server) -> None:
    with closing(connect(hasty)) as sock:
        sock.sendall(WHOLE)
        assert answer(sock).startswith(b"HTTP/1.1 200 ")
        sock.sendall(HALF)

        assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_a_half_request_sent_together_with_a_whole_one_has_no_longer(hasty: Server) -> None:
    with closing(connect(hasty)) as sock:
        sock.sendall(WHOLE + HALF)

        came = rest(sock)

    assert came.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nHTTP/1.1 408 " in came.replace(b"}\n", b"}\r\n").replace(b"}H", b"}\r\nH")


def test_a_connection_that_was_used_stays_open_for_the_next_request(hasty: Server) -> None:
    with closing(connect(hasty)) as sock:
        for pause in (0, HEADER_SECONDS + 2):
            time.sleep(pause)
            sock.sendall(WHOLE)
            assert answer(sock).startswith(b"HTTP/1.1 200 ")


def test_whoever_waits_for_news_is_not_taken_for_silent(hasty: Server, name: str) -> None:
    hasty.api.put(name, {"n": 0})
    with closing(connect(hasty)) as sock:
        sock.sendall(EVENTS)
        assert answer(sock).startswith(b"HTTP/1.1 200 ")
        time.sleep(HEADER_SECONDS + ANSWER_SECONDS + 2)

        hasty.api.put(name, {"n": 1})

        assert b"event: changes" in answer(sock)


# --- clients that do not take their answers


@pytest.fixture(scope="module")
def large(hasty: Server) -> str:
    """The request for an answer that no buffer of the system holds."""
    for number in range(12):
        assert hasty.api.put("large", {"text": f"{number}" + "x" * 1_000_000}).status_code == 200
    return "/config?service=large"


def asking(server: Server, path: str, buffer: int = 4_096) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return sock


def established(server: Server, sock: socket.socket) -> bool:
    """Whether the server's end of a connection is still open."""
    port = f"{sock.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if local.endswith(f":{server.port:04X}") and remote.endswith(f":{port}"):
            return state == "01"
    return False


def test_an_answer_that_nobody_takes_is_dropped(hasty: Server, large: str) -> None:
    with closing(asking(hasty, large)) as sock:
        until(lambda: not established(hasty, sock))


def test_an_answer_that_is_taken_slowly_comes_whole(hasty: Server, large: str) -> None:
    with closing(asking(hasty, large, 1 << 16)) as sock:
        came = 0
        end = time.monotonic() + ANSWER_SECONDS + 3
        while time.monotonic() < end:
            came += len(sock.recv(1 << 17))
            time.sleep(0.1)
        assert established(hasty, sock)
        while came < 12_000_000:
            part = sock.recv(1 << 20)
            assert part
            came += len(part)


# --- too many connections


@contextmanager
def held(server: Server, number: int, sent: bytes, address: str) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        socks = []
        for _ in range(number):
            sock = stack.enter_context(closing(connect(server, address)))
            sock.sendall(sent)
            socks.append(sock)
        yield socks


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process with eight connections for each address."""
    folder = tmp_path_factory.mktemp("narrow") / "instance"
    with Server(folder, workers=1, connections_per_address=8) as running:
        yield running


def open_ones(socks: list[socket.socket]) -> list[int]:
    """Those that the server has not closed."""
    found = []
    for number, sock in enumerate(socks):
        sock.setblocking(False)
        try:
            is_open = bool(sock.recv(1 << 16))
        except BlockingIOError:
            is_open = True
        except ConnectionResetError:
            is_open = False
        if is_open:
            found.append(number)
    return found


def test_an_address_with_too_many_connections_loses_its_oldest_silent_ones(
    narrow: Server,
) -> None:
    with held(narrow, 20, HALF, "127.0.0.2") as socks:
        assert is_answered(narrow, "127.0.0.2")
        until(lambda: len(open_ones(socks)) == 7)
        assert open_ones(socks) == list(range(13, 20))


def test_a_connection_that_was_not_used_for_a_while_goes_before_one_that_is_being_opened(
    narrow: Server,
) -> None:
    with held(narrow, 4, WHOLE, "127.0.0.3") as idle:
        for sock in idle:
            assert answer(sock)
        time.sleep(1.5)
        with held(narrow, 8, HALF, "127.0.0.3") as silent:
            until(lambda: not open_ones(idle))
            assert open_ones(silent) == list(range(8))


def test_an_address_on_which_all_connections_are_in_use_gets_no_more_and_others_do(
    narrow: Server,
) -> None:
    with held(narrow, 8, EVENTS, "127.0.0.4") as socks:
        for sock in socks:
            assert answer(sock).startswith(b"HTTP/1.1 200 ")
        with closing(connect(narrow, "127.0.0.4")) as sock:
            said = rest(sock)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in said
        assert is_answered(narrow, "127.0.0.5")
        assert is_answered(narrow)
    until(lambda: is_answered(narrow, "127.0.0.4"))


def test_a_place_is_free_again_when_its_connection_is_gone(narrow: Server) -> None:
    for _ in range(3):
        with held(narrow, 8, EVENTS, "127.0.0.6") as socks:
            for sock in socks:
                assert answer(sock).startswith(b"HTTP/1.1 200 ")
        until(lambda: is_answered(narrow, "127.0.0.6"))


def test_unfinished_uploads_make_room_for_others(narrow: Server) -> None:
    part = WHOLE.replace(b"GET /healthz", b"PUT /config?service=x")
    part = part.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n{")
    with held(narrow, 12, part, "127.0.0.7"):
        assert is_answered(narrow, "127.0.0.7")


def files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_slow_connections_from_many_addresses_stop_nobody(tmp_path: Path, drill: bool) -> None:
    """More of them than there may be files; the probes and hot reads are answered throughout."""
    files, slow = (1024, 3_000) if drill else (400, 700)
    with Server(tmp_path / "instance", files=files, workers=1 + drill) as server:
        server.api.put("hot", {"a": 1})
        read = WHOLE.replace(b"/healthz", b"/config?service=hot")
        stop = threading.Event()
        answered: list[bool] = []

        def ask() -> None:
            with ExitStack() as stack:
                kept = stack.enter_context(closing(connect(server)))
                while not stop.is_set():
                    kept.sendall(read)
                    answered.append(answer(kept).endswith(b'{"a": 1}'))
                    answered.append(is_answered(server))
                    time.sleep(0.01)

        asking = threading.Thread(target=ask)
        asking.start()
        with ExitStack() as stack:
            for number in range(slow):
                sock = stack.enter_context(closing(connect(server, f"127.0.1.{number % 250}")))
                with suppress(ConnectionError):
                    sock.sendall((HALF, b"", HALF[:5])[number % 3])
            before = len(answered)
            until(lambda: len(answered) > before + (200 if drill else 20), 60)
            most = [files_of(pid) for pid in workers_of(server)]
            stop.set()
            asking.join()

        assert all(answered)
        assert all(files // 4 < each < files for each in most)
        assert "Too many open files" not in server.log.read_text()


def test_a_process_without_files_says_so_once_waits_and_goes_on(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", workers=1) as server:
        [pid] = workers_of(server)
        # A connection that is in use, so that nothing can be closed to make room.
        with closing(connect(server)) as watching:
            watching.sendall(EVENTS)
            assert answer(watching)
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (files_of(pid), hard))
            with held(server, 20, WHOLE, "127.0.0.1") as waiting:
                before = spent(pid)
                time.sleep(2)
                assert spent(pid) - before < 0.5
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
                assert all(answer(sock).startswith(b"HTTP/1.1 200 ") for sock in waiting)
        log = server.log.read_text()
    assert log.count("Too many open files") == 1
    assert "Traceback" not in log


def test_a_process_without_files_closes_idle_connections_for_new_ones(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "instance", workers=1) as server,
        held(server, 10, WHOLE, "127.0.0.2") as idle,
    ):
        assert all(answer(sock) for sock in idle)
        [pid] = workers_of(server)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files_of(pid), limits[1]))

        assert is_answered(server)

        assert open_ones(idle) != list(range(10))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def spent(pid: int) -> float:
    """The processor's time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the end


def test_clients_that_are_slow_cannot_put_off_the_end(tmp_path: Path) -> None:
    """Slow uploads, downloads that nobody takes, half-sent headers, watchers who do not read."""
    with Server(tmp_path / "instance") as server:
        for number in range(12):
            server.api.put("large", {"text": f"{number}" + "x" * 1_000_000})
        part = WHOLE.replace(b"GET /healthz", b"PUT /config?service=x")
        upload = part.replace(b"\r\n\r\n", b"\r\nContent-Length: 9000\r\n\r\n{")
        with ExitStack() as stack:
            for sent in (upload, HALF, b"", EVENTS, WHOLE) * 4:
                sock = stack.enter_context(closing(connect(server)))
                sock.sendall(sent)
            first, *_ = [
                stack.enter_context(closing(asking(server, "/config?service=large")))
                for _ in range(5)
            ]
            time.sleep(0.5)
            stopped = threading.Event()
            trickle = threading.Thread(target=_take_slowly, args=(first, stopped))
            trickle.start()
            began = time.monotonic()
            code = server.stop(signal.SIGTERM)
            took = time.monotonic() - began
            stopped.set()
            trickle.join()

    assert code == 0
    # Slow clients have 3 s; a process that waited for them would end after 7, or be killed after 8.
    assert took < 6.5


def test_a_write_that_waits_for_a_lock_cannot_put_off_the_end(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", lock_seconds=60) as server:
        body = WHOLE.replace(b"GET /healthz", b"PUT /config?service=x").replace(
            b"\r\n\r\n", b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        with raw_connection(server.database) as other, held(server, 20, body, "127.0.0.1"):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.5)
            began = time.monotonic()
            code = server.stop(signal.SIGTERM)
            took = time.monotonic() - began

    assert code == 0
    assert took < PROMISED


def _take_slowly(sock: socket.socket, end: threading.Event) -> None:
    with suppress(OSError):
        while not end.wait(0.05) and sock.recv(4_096):
            pass


@pytest.mark.parametrize("megabytes", [12, 6], ids=["through-flask", "from-memory"])
def test_an_answer_that_is_being_taken_at_the_end_comes_whole(
    tmp_path: Path, megabytes: int
) -> None:
    """Also what waits in the server's own buffer for the system to take it."""
    with Server(tmp_path / "instance", workers=1) as server:
        for number in range(megabytes):
            server.api.put("large", {"text": f"{number}" + "x" * 1_000_000})
        # The same question before: what fits into the memory for answers is given from there.
        with closing(asking(server, "/config?service=large", 1 << 16)) as sock:
            came = b""
            while len(came) < megabytes * 1_000_000:
                came += sock.recv(1 << 20)
        with closing(asking(server, "/config?service=large", 1 << 16)) as sock:
            head = sock.recv(1_000)
            ending = threading.Thread(target=server.stop)
            ending.start()
            time.sleep(0.5)
            came = head + rest(sock)
            ending.join()

    length = int(came.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(came.partition(b"\r\n\r\n")[2]) == length


def test_the_event_loop_is_asyncios_whatever_is_installed(tmp_path: Path) -> None:
    """gunicorn would take uvloop where it finds it."""
    (tmp_path / "uvloop.py").write_text("raise RuntimeError('this is not to be loaded')\n")
    server = Server(tmp_path / "instance", workers=1)
    server.prepare()
    environment = {**server.environment, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "distributed_config", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: _answers(server) or process.poll() is not None)
            assert process.poll() is None
        finally:
            process.terminate()


def _answers(server: Server) -> bool:
    with suppress(OSError), closing(connect(server)):
        return True
    return False
