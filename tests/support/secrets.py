"""Services with secrets, and actors that may or may not read them."""

import base64
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from distributed_config.services.access import tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer
from tests.support.server import Api, Server

ROLES = ("reader", "editor", "publisher", "organisation-administrator")


class World:
    """A server that requires tokens, and a client of each role."""

    def __init__(self, server: Server) -> None:
        self.server = server
        with open_writer(Settings(instance=server.instance)) as writer:
            tokens_by_role = {
                role: writer.write(
                    LOCAL_OPERATOR,
                    lambda transaction, r=role: tokens.create_machine(transaction, r, Grant(r)),
                ).secret
                for role in ROLES
            }
        self.tokens = tokens_by_role
        self.canaries: list[str] = []

    def start(self) -> None:
        self.server.start()
        self.apis = {role: Api(self.server.url) for role in ROLES}
        for role, api in self.apis.items():
            api.http.headers["Authorization"] = f"Bearer {self.tokens[role]}"
        self.reader, self.editor, self.publisher, self.boss = (self.apis[each] for each in ROLES)

    def stop(self) -> None:
        for api in self.apis.values():
            api.close()
        self.server.stop()

    def canary(self) -> str:
        """Return a secret that occurs nowhere else."""
        self.canaries.append(f"canary{secrets.token_hex(16)}")
        return self.canaries[-1]

    def found_in(self, text: str | bytes) -> list[str]:
        data = text.encode() if isinstance(text, str) else text
        return [each for each in self.canaries if each.encode() in data]


@contextmanager
def world_in(folder: Path, workers: int = 1) -> Iterator[World]:
    server = Server(folder / "instance", auth="token", workers=workers)
    server.prepare()
    running = World(server)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def listening(world: World, role: str, path: str, websocket: bool) -> Iterator[bytearray]:
    """Collect all bytes that a stream sends, as they arrive."""
    lines = {
        "Host": f"127.0.0.1:{world.server.port}",
        "Authorization": f"Bearer {world.tokens[role]}",
        "Accept": "text/event-stream",
    }
    if websocket:
        key = base64.b64encode(os.urandom(16)).decode()
        lines |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key}
        lines |= {"Sec-WebSocket-Version": "13"}
    heard = bytearray()
    with closing(socket.create_connection(("127.0.0.1", world.server.port))) as wire:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        wire.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())

        def hear() -> None:
            try:
                while data := wire.recv(65536):
                    heard.extend(data)
            except OSError:
                pass

        thread = threading.Thread(target=hear, daemon=True)
        thread.start()
        deadline = time.monotonic() + 5
        while b"\r\n\r\n" not in heard and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        yield heard
        wire.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def wait_for(heard: bytearray, expected: bytes) -> None:
    deadline = time.monotonic() + 5
    while expected not in heard and time.monotonic() < deadline:
        time.sleep(0.01)
    assert expected in heard, bytes(heard)[-2000:]
