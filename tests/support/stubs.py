"""Stand-ins for a server, for what a real one never sends or does."""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, Self

from tests.support.proxies import hang_up, run


class Stub:
    """Answers each request with the next of ``answers``, as raw bytes; the last one is repeated."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = deque(answers)
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        run(self._accept)

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            hang_up(each)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self._sockets.append(sock)
            run(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            while head := head_of(file):
                _, _, rest = head.lower().partition(b"content-length: ")
                file.read(int(rest.split(b"\r\n")[0]) if rest else 0)
                self.requests.append(head)
                self.times.append(time.monotonic())
                answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
                sock.sendall(answer)
                if b"Content-Length" not in answer:
                    hang_up(sock)
                    return


def head_of(file: BinaryIO) -> bytes:
    """Read the lines up to an empty one. Return nothing if the stream ends before that."""
    lines = []
    while (line := file.readline()) not in {b"", b"\r\n"}:
        lines.append(line)
    return b"".join(lines) if line else b""


def http_response(status: int, body: bytes, **headers: str) -> bytes:
    """Return a response as a server writes it; ``Config_Version`` is the header with a dash."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in {**fields, "Content-Length": len(body)}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} OK", *lines, "", ""]).encode("latin-1") + body


def document_response(body: bytes, version: str = "0") -> bytes:
    return http_response(
        200, body, Config_Version=version, Config_Revision="1", ETag=f'"{version}.a.b"'
    )


def layered_response(layers: str, document: bytes = b'{"n": 1}', etag: str = "a") -> bytes:
    """Return a response with a resolved document."""
    headers = {"Config_Version": "3", "Config_Revision": "9", "Config_Layers": layers}
    return http_response(200, document, ETag=f'"{etag}"', **headers)


def problem_response(status: int, code: str, **headers: str) -> bytes:
    body = {"code": code, "detail": "It is so.", "problems": []}
    return http_response(status, json.dumps(body).encode(), **headers)


class Recorder:
    """An HTTP server that records its requests, and gives every one the same response."""

    def __init__(self, answer: Any = None) -> None:
        self.requests: list[tuple[str, str, str]] = []
        requests = self.requests
        body = json.dumps(answer or {}).encode()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                requests.append((self.command, self.path, self.headers.get("Authorization", "")))
                self.send_response(200)
                for name, value in (("Config-Version", "0"), ("Config-Revision", "1")):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  # the library's names

            def log_message(self, *_: Any) -> None:
                """Log nothing: the tests look at ``requests``."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def token_server(tokens: dict[str, int]) -> Iterator[str]:
    """The address of a server that accepts ``tokens``, and has a version of its own for each."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            version = tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
            if self.headers.get("If-None-Match") == f'"{version}"':
                time.sleep(0.1)
                self.send_response(304)
            else:
                self.send_response(401 if version is None else 200)
            body = json.dumps({"n": version}).encode()
            headers = {"Config-Version": f"{version}", "ETag": f'"{version}"'}
            for each in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(*each)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def unresponsive_address() -> Iterator[str]:
    """The address of a host that does not even answer the first packet of a connection."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def non_http_address() -> Iterator[str]:
    """The address of something that answers, though not in HTTP."""

    def run() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(1 << 16)
                    caller.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/reload"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


FOREIGN = {
    "a page": http_response(200, b"<html></html>", Content_Type="text/html"),
    "nothing": http_response(200, b""),
    "an array": http_response(200, b"[]"),
    "an object": http_response(200, b"{}"),
    "a redirect": http_response(302, b"", Location="https://elsewhere/"),
    "a version that is no number": document_response(b"{}", version="x"),
    "an array as document": document_response(b"[]"),
    "half a document": document_response(b'{"a": '),
    "no UTF-8": document_response(b'{"a": "\xff"}'),
    "very deep": document_response(b"[" * 200_000),
    "junk": b"\x00\x01\x02 junk\r\n\r\n",
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"a',
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "a page for an error": http_response(404, b"<html></html>"),
    "an error that is an array": http_response(500, b"[1]"),
    "an error with strange problems": http_response(
        422, b'{"code": 1, "detail": [], "problems": [1]}'
    ),
    "an error that is very deep": http_response(500, b"[" * 200_000),
    "a strange time to retry": problem_response(503, "overloaded", Retry_After="\u00b2"),
}
