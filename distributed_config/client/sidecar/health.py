"""The sidecar's ``/healthz``, for probes such as those of Kubernetes."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from distributed_config.errors import Invalid, Problem

# A client that connects and sends nothing is dropped after this.
_PROBE_SECONDS = 5

_logger = logging.getLogger("distconf.sidecar")

Health = tuple[bool, list[dict[str, Any]]]
"""Whether every target is good, and a report on each, in the order of the plan."""


class HealthServer(ThreadingHTTPServer):
    """Serves ``/healthz`` with what ``check`` returns, from threads of its own.

    ``check`` may be replaced while it runs.
    """

    def __init__(self, address: str, check: Callable[[], Health]) -> None:
        """Listen at ``address``, a host and a port. Raises Invalid if nothing can listen there."""
        self.check = check
        host, _, port = address.rpartition(":")
        try:
            super().__init__((host, int(port)), _HealthHandler)
        except (OSError, OverflowError) as error:
            message = f"Nothing can listen at {address}: {error}. Give another address."
            raise Invalid.from_problems([Problem("/health", message, "address")]) from None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Log an error, unless a probe has only gone away."""
        if not isinstance(sys.exc_info()[1], OSError):
            _logger.exception("/healthz could not be answered")


class _HealthHandler(BaseHTTPRequestHandler):
    server: HealthServer
    timeout = _PROBE_SECONDS

    def do_GET(self) -> None:  # the library's name
        self.wfile.write(self._send_head())

    def do_HEAD(self) -> None:  # the library's name
        self._send_head()

    def _send_head(self) -> bytes:
        """Send everything but the body. Return the body."""
        is_good, targets = self.server.check()
        body = json.dumps({"status": "good" if is_good else "bad", "targets": targets}).encode()
        status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
        if self.path.partition("?")[0] != "/healthz":
            status, body = HTTPStatus.NOT_FOUND, b'{"detail": "There is only /healthz."}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Log nothing: a probe comes every few seconds."""
