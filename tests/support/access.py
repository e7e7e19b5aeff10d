"""What tests of access control have in common."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from distributed_config.services.access.token_format import new_token
from tests.support.callers import Answer, Caller
from tests.support.server import Server
from tests.support.waiting import until

ADMINISTRATOR = new_token()


As = Callable[..., Caller]


def alike(one: Answer, other: Answer, *names: str) -> bool:
    """Whether two answers tell the same, but for the names that were asked about."""

    def told(answer: Answer) -> tuple[int, str]:
        text = answer.text
        for name in names:
            text = text.replace(name, "NAME")
        if "request_id" in text:
            body = json.loads(text)
            body.pop("request_id", None)
            text = json.dumps(body)
        return answer.status_code, text

    return told(one) == told(other)


# --- words


@contextmanager
def watching(server: Server, token: str, heard: list[str]) -> Iterator[threading.Thread]:
    """A stream of changes that is read in the background."""
    sock = socket.create_connection(("127.0.0.1", server.port), 10)
    sock.sendall(
        f"GET /api/v1/changes?include=document HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Accept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )

    def read() -> None:
        sock.settimeout(20)
        try:
            while data := sock.recv(65536):
                heard.append(data.decode())
                if data.endswith(b"0\r\n\r\n"):
                    return
        except OSError:
            return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    until(lambda: "event: hello" in "".join(heard))
    try:
        yield thread
    finally:
        with closing(sock):
            sock.shutdown(socket.SHUT_RDWR)
        thread.join(5)
