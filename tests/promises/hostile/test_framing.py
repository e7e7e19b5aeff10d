"""Bodies that are endless, cut off, slow, or of doubtful length."""

import socket
import time
from collections.abc import Iterable

import pytest

from tests.promises.hostile.state import ServiceState
from tests.support.raw_http import JSON, MEBIBYTE, RawResponse, read_response, send, send_bytes
from tests.support.server import Server

pytestmark = pytest.mark.many


def flood(server: Server, head: bytes, parts: Iterable[bytes]) -> RawResponse:
    """Send ``parts`` until the server answers or stops listening; return the response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(head)
        wire.setblocking(False)
        for part in parts:
            if not _send_part(wire, part):
                break
        wire.settimeout(20)
        return read_response(wire)


def _send_part(wire: socket.socket, part: bytes) -> bool:
    """Send ``part``; return whether all of it went out before anything came in."""
    while part:
        try:
            if wire.recv(1, socket.MSG_PEEK):
                return False
        except BlockingIOError:
            pass
        try:
            part = part[wire.send(part) :]
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return False
    return True


def head_of(method: str, path: str, *framing: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {JSON}", *framing]
    return "\r\n".join([*lines, "", ""]).encode()


WRITES = [
    pytest.param("POST", "/config?service=NAME-absent", id="POST"),
    pytest.param("PUT", "/config?service=NAME", id="PUT"),
    pytest.param("PATCH", "/config?service=NAME", id="PATCH"),
    pytest.param("POST", "/api/v1/changesets", id="changesets"),
    pytest.param("POST", "/api/v1/import", id="import"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "expect"])
def test_a_hundred_mebibytes_are_refused_by_their_length(
    server: Server, target: str, method: str, path: str, expect: tuple[str, ...]
) -> None:
    length = f"Content-Length: {100 * MEBIBYTE}"
    head = head_of(method, path.replace("NAME", target), length, *expect)

    response = flood(server, head, (b" " * MEBIBYTE for _ in range(100)))

    assert response.status == 413
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        *(pytest.param(*case.values, 64 << 10, id=str(case.id)) for case in WRITES),
        pytest.param("GET", "/config?service=NAME", 64 << 10, id="GET"),
        pytest.param("PUT", "/config?service=NAME", 50, id="PUT-small-chunks"),
    ],
)
def test_a_body_without_an_end_is_refused_when_it_is_too_large(
    server: Server, target: str, method: str, path: str, size: int
) -> None:
    head = head_of(method, path.replace("NAME", target), "Transfer-Encoding: chunked")
    piece = (b"%x\r\n%s\r\n" % (size, b" " * size)) * max(1, (64 << 10) // size)

    # As much as a hundred mebibytes, unless the server answers before.
    response = flood(server, head, (piece for _ in range(100 * MEBIBYTE // len(piece))))

    assert response.status == 413
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
@pytest.mark.parametrize("half", [True, False], ids=["half-closed", "closed"])
def test_a_body_that_is_cut_off_is_not_written(
    server: Server, target: str, method: str, path: str, framing: str, half: bool
) -> None:
    """The part that arrived is valid JSON by itself, and must still not be taken for the body."""
    piece = b'{"a": 1}'
    if "chunked" in framing:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(head_of(method, path.replace("NAME", target), framing) + piece)
        if half:
            wire.shutdown(socket.SHUT_WR)
            # The server may just close; if it does answer, it says why.
            answer = wire.recv(65536)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("framing", "arrived"),
    [
        pytest.param("Content-Length: 9", b'{"a": 1}', id="length"),
        pytest.param("Content-Length: 2000000", b"", id="nothing"),
        pytest.param("Transfer-Encoding: chunked", b'8\r\n{"a": 1}\r\n', id="chunked"),
        pytest.param("Transfer-Encoding: chunked", b"f" * 40 + b"\r\n{}", id="huge-chunk"),
    ],
)
def test_a_body_that_does_not_come_in_time_is_408(
    slow_server: Server, name: str, framing: str, arrived: bytes
) -> None:
    state = ServiceState(slow_server, name)
    before = state.read()
    head = head_of("PUT", f"/config?service={name}", framing)

    response = send_bytes(slow_server, head + arrived)

    assert response.status == 408
    assert response.problem["code"] == "body-incomplete"
    assert response.headers["connection"] == "close"
    assert state.read() == before
    state.close()


def test_many_slow_senders_do_not_stop_the_others(slow_server: Server, name: str) -> None:
    """There are more slow senders than threads: waiting for a body must not take a thread."""
    slow_server.api.put(name, {"a": 1})
    head = head_of("PUT", f"/config?service={name}", "Content-Length: 9")
    lines = []
    try:
        for _ in range(150):
            line = socket.create_connection(("127.0.0.1", slow_server.port), timeout=20)
            line.sendall(head + b'{"a": 1')
            lines.append(line)
        assert send(slow_server, "GET", f"/config?service={name}").body == b'{"a": 1}'
        assert send(slow_server, "PATCH", f"/config?service={name}", JSON, b"{}").status == 200
        assert {read_response(line).status for line in lines} == {408}
    finally:
        for line in lines:
            line.close()


SMUGGLED = b"PUT /config?service=NAME-absent HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"  # noqa: E501


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(("Content-Length: 5", "Transfer-Encoding: chunked"), id="length-and-chunked"),
        pytest.param(("Transfer-Encoding: chunked", "Content-Length: 5"), id="chunked-and-length"),
        pytest.param(("Content-Length: 5", "Content-Length: 6"), id="two-lengths"),
        pytest.param(("Content-Length: 5, 6",), id="list-of-lengths"),
        pytest.param(("Content-Length: +5",), id="plus"),
        pytest.param(("Content-Length: -5",), id="minus"),
        pytest.param(("Content-Length: 0x5",), id="hex"),
        pytest.param(("Content-Length: 5 5",), id="space"),
        pytest.param(("Content-Length: \xb2",), id="superscript"),
        pytest.param(("Content-Length: " + "9" * 5000,), id="5000-digits"),
        pytest.param(("Content-Length:",), id="empty"),
        pytest.param(("Transfer-Encoding: gzip",), id="gzip"),
        pytest.param(("Transfer-Encoding: chunked, gzip",), id="chunked-gzip"),
        pytest.param(("Transfer-Encoding: xchunked",), id="xchunked"),
        pytest.param(("Transfer-Encoding : chunked",), id="space-before-colon"),
        pytest.param(("Transfer_Encoding: chunked", "Content-Length: -1"), id="underscore"),
    ],
)
def test_a_body_of_doubtful_length_is_refused_and_no_request_hides_in_it(
    server: Server, target: str, framing: tuple[str, ...]
) -> None:
    head = head_of("PUT", f"/config?service={target}", *framing)
    inside = b"0\r\n\r\n" + SMUGGLED.replace(b"NAME", target.encode())

    response = send_bytes(server, head + inside)

    assert response.status == 400


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"zz\r\n{}\r\n0\r\n\r\n", id="not-hex"),
        pytest.param(b"-2\r\n{}\r\n0\r\n\r\n", id="negative"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="0x"),
        pytest.param(b"1\r\n{}\r\n0\r\n\r\n", id="shorter-than-sent"),
    ],
)
def test_bad_chunks_are_refused(server: Server, target: str, chunks: bytes) -> None:
    head = head_of("PUT", f"/config?service={target}", "Transfer-Encoding: chunked")

    response = send_bytes(server, head + chunks)

    assert response.status == 400
