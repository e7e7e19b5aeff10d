"""What a refused request must not have changed."""

import http.client

from tests.support.server import Server


class ServiceState:
    """All services whose names begin with ``name``, and the journal's revision.

    It creates one of them, and looks over one connection of its own.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        assert server.api.put(name, {"kept": True}).status_code == 200

    def read(self) -> tuple[bytes, str | None]:
        """Return everything that a refused request could have changed."""
        self._connection.request("GET", f"/api/v1/export?prefix={self.name}")
        response = self._connection.getresponse()
        return response.read(), response.headers["Config-Revision"]

    def close(self) -> None:
        self._connection.close()
