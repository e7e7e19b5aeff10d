"""Between a client and a real server: a proxy that spoils responses, a gate that shuts."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.server import Server, free_port


@dataclass
class Plan:
    """What a proxy does to one connection: it passes ``after`` bytes on, and then closes it.

    A negative ``after`` counts from the end of the first data that comes. With ``stall`` the
    connection stays open and silent instead. ``pause`` is waited before each single byte.
    """

    after: int | None = None
    stall: bool = False
    pause: float = 0.0


class Proxy:
    """A small TCP proxy in front of a server; ``plans`` are those of the next connections."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.plans: deque[Plan] = deque()
        self.silent = False
        self.connections = 0
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.resume()

    def resume(self) -> None:
        """Let everything through from now on."""
        self.silent = False
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            run(self._accept, self._listener)

    def refuse(self) -> None:
        """Close every connection, and accept no other."""
        if self._listener is not None:
            hang_up(self._listener)
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Close every connection."""
        for each in list(self._sockets):
            hang_up(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            self.connections += 1
            plan = self.plans.popleft() if self.plans else Plan()
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._sockets |= {client, server}
            run(self._upload, client, server)
            run(self._download, server, client, plan)

    def _upload(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(65_536):
            server.sendall(data)
        self._end(client, server)

    def _download(self, server: socket.socket, client: socket.socket, plan: Plan) -> None:
        left = plan.after
        while data := server.recv(65_536):
            if self.silent:
                continue
            if left is not None and left < 0:
                left += len(data)
            data = data[:left]
            for part in [data[i : i + 1] for i in range(len(data))] if plan.pause else [data]:
                time.sleep(plan.pause)
                client.sendall(part)
            if left is not None:
                left -= len(data)
                if left == 0 and not plan.stall:
                    break
        self._end(client, server)

    def _end(self, *both: socket.socket) -> None:
        for each in both:
            self._sockets.discard(each)
            hang_up(each)


def run(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Run ``work`` in a thread, where a broken connection is no failure."""

    def quietly() -> None:
        with suppress(OSError):
            work(*arguments)

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    return thread


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Gate:
    """A way to a server that can be shut, as if the server had died, and opened again."""

    def __init__(self, server: Server) -> None:
        self._to = server.port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        self._begin(self._accept_all, socket.create_server(("127.0.0.1", self.port)))

    def shut(self) -> None:
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def _begin(self, run: Callable[..., None], *sockets: socket.socket) -> None:
        self._sockets |= set(sockets)
        thread = threading.Thread(target=run, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept_all(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                self._begin(self._pass_on, here, there)
                self._begin(self._pass_on, there, here)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
