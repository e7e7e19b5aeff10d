"""Sockets to a server, byte by byte."""

import socket
from contextlib import suppress

from tests.support.server import Server

WHOLE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""One whole request."""


def connect(server: Server, address: str = "127.0.0.1") -> socket.socket:
    """Return a connection to ``server`` that comes from ``address``."""
    return socket.create_connection(("127.0.0.1", server.port), 20, (address, 0))


def answer(sock: socket.socket) -> bytes:
    """Return what arrives next; nothing if the other side closed the connection."""
    with suppress(ConnectionResetError):
        return sock.recv(1 << 16)
    return b""
