"""The sidecar: follows services and keeps files as they say, beside an application.

What changes is gathered for a moment, written to a file beside the target, checked by a command of
yours, put in place in one step, and then the application is told. What fails is told in the log
and by ``/healthz``, and leaves the last good file where it is.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from distributed_config.client.sidecar.plan import Plan
from distributed_config.client.sidecar.target_file import TargetFile
from distributed_config.errors import Invalid, Problem

_PROBE_SECONDS = 5

_logger = logging.getLogger("distconf.sidecar")

Health = tuple[bool, list[dict[str, Any]]]


class Sidecar:
    """All targets of one plan. ``/healthz`` is answered from here on.

    ``before``: what this one takes the place of, where there is one; if both are asked at one
    address, this one answers there now. Raises Invalid if nothing can listen at the address.
    """

    def __init__(self, plan: Plan, before: "Sidecar | None" = None) -> None:
        self.plan = plan
        self.keepers = [TargetFile(target, plan) for target in plan.targets]
        self._ended = threading.Event()
        self._door: _Door | None = None
        if before is not None and before.plan.health == plan.health:
            self._door, before._door = before._door, None
            if self._door is not None:
                self._door.ask = self.health
        elif plan.health:
            self._door = _Door(plan.health, self.health)

    def start(self) -> bool:
        """Loads and writes every target once; whether all of them are current."""
        # One after the other they would wait for a server that is away one deadline each.
        loading = [threading.Thread(target=each.load, daemon=True) for each in self.keepers]
        for thread in loading:
            thread.start()
        for thread in loading:
            thread.join()
        good = [not self._ended.is_set() and keeper.attempt() for keeper in self.keepers]
        return all(good)

    def follow(self) -> None:
        """Keeps the targets in the background."""
        for keeper in self.keepers:
            threading.Thread(target=keeper.run, name=keeper.target.service, daemon=True).start()

    def end(self) -> None:
        """Ends everything; files stay as they are, also where this one has not started yet."""
        self._ended.set()
        for keeper in self.keepers:
            keeper.leave()  # all of them at once: another plan may be about to begin
        for keeper in self.keepers:
            keeper.end()
        if self._door is not None:
            self._door.shut()

    def health(self) -> Health:
        """Whether every file is good, and what there is to say of each, in the plan's order."""
        told = [keeper.health() for keeper in self.keepers]
        return all(each["good"] for each in told), told


class _Door(ThreadingHTTPServer):
    """Answers ``/healthz`` with what ``ask`` says."""

    def __init__(self, address: str, ask: Callable[[], Health]) -> None:
        """Raises Invalid if nothing can listen at ``address``."""
        self.ask = ask
        host, _, port = address.rpartition(":")
        try:
            super().__init__((host, int(port)), _Answer)
        except (OSError, OverflowError) as error:
            message = f"Nothing can listen at {address}: {error}. Give another address."
            raise Invalid.from_problems([Problem("/health", message, "address")]) from None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def shut(self) -> None:
        """Ends it."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """A probe may go away whenever it likes; nobody wants a line for that."""
        if not isinstance(sys.exc_info()[1], OSError):
            _logger.exception("/healthz could not be answered")


class _Answer(BaseHTTPRequestHandler):
    server: _Door
    timeout = _PROBE_SECONDS  # who connects and says nothing is let go

    def do_GET(self) -> None:  # the library's name
        self.wfile.write(self._head())

    def do_HEAD(self) -> None:  # the library's name
        self._head()

    def _head(self) -> bytes:
        """Sends all but the body, and returns that."""
        good, targets = self.server.ask()
        body = json.dumps({"status": "good" if good else "bad", "targets": targets}).encode()
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        if self.path.partition("?")[0] != "/healthz":
            status, body = HTTPStatus.NOT_FOUND, b'{"detail": "There is only /healthz."}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Probes come every few seconds; nobody wants a line for each."""
