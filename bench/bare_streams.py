"""The least that a server of streams can do: bytes that are ready, written to every transport.

``python -m bench.bare_streams PORT``: two processes share the port. Each answers a request with
a greeting, and at SIGUSR1 writes the same kilobyte to all its connections. It knows no rights, no
filters and no history. It is the limit for what asyncio can do on this machine.
"""

import asyncio
import os
import signal
import socket
import sys

WORKERS = 2
_AT_ONCE = 200
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: hello\n\n"
_EVENT = b"event: changes\ndata: " + b"x" * 1_000 + b"\n\n"
_open: set[asyncio.Transport] = set()


class _Stream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /probe "):
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            self._transport.close()
            return
        self._transport.write(_HEAD)
        _open.add(self._transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        _open.discard(self._transport)


async def _broadcast() -> None:
    for number, transport in enumerate(list(_open), 1):
        transport.write(_EVENT)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
    loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.add(loop.create_task(_broadcast())))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(2_048)
        server = await loop.create_server(_Stream, sock=sock)
        await server.serve_forever()


def main() -> None:
    port = int(sys.argv[1])
    workers = []
    for _ in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            asyncio.run(_serve(port))
        workers.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in workers])
    for pid in workers:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
