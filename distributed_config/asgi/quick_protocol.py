"""gunicorn's protocol, with two ways that are quicker than its own.

A request whose bytes are known is answered where they arrive (``known_requests.py``), and an event
is written where its subscriber is connected (``direct_events.py``). Everything else is gunicorn's.
What is asked of its state here, and of nothing else of it, is in this file.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.asgi.protocol import HIGH_WATER_LIMIT, ASGIProtocol
from gunicorn.workers.base import Worker

from distributed_config.asgi.direct_events import CONNECTION
from distributed_config.asgi.frames import CLOSING_SECONDS, Conversation
from distributed_config.asgi.known_requests import LEARN, LONGEST, KnownRequests
from distributed_config.asgi.response_cache import CachedResponse
from distributed_config.asgi.wsgi_bridge import Scope


class QuickProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """The protocol of one connection; without ``known``, no request is known."""

    _callback_parser: Any
    _current_request: Any
    _body_receiver: Any
    _request_ready: Any
    _response_buffer: Any
    _websocket: Any

    def __init__(self, worker: Worker, known: KnownRequests | None) -> None:
        super().__init__(worker)
        self.header_since = 0.0
        """When the first part of an unfinished header came; 0: there is none."""
        self._client = ""
        self._known = known
        # What came while it was idle, and is being parsed: a whole request, or more, or less.
        self._data = b""
        self._head = b""
        # Set while the connection is detached from its request.
        self._on_lost: Callable[[], None] | None = None
        # What a client says over a WebSocket that is not gunicorn's any more.
        self._conversation: Conversation | None = None
        self._has_said_something = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to serve the connection."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if isinstance(peer, tuple) else ""

    def data_received(self, data: bytes) -> None:
        """Answer a known request at once; hand everything else to gunicorn's protocol."""
        if self._on_lost is not None:
            # A response does not end before the connection, so that no request can follow it.
            if self._conversation is not None:
                self._converse(self._conversation, data)
            return
        if self._websocket is not None:
            self._has_said_something = True
        elif self._known is not None:
            if self._is_idle:
                response = self._known.answer(data, self._client)
                if response is not None:
                    self._send_known(response)
                    return
                self._data = data
            else:
                self._data = b""
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what the connection was for."""
        on_lost, self._on_lost = self._on_lost, None
        super().connection_lost(exc)
        if on_lost is not None:
            on_lost()

    def write_now(self, data: bytes) -> bool:
        """Write ``data``, unless the client has to take what was written; return whether it was.

        Only for whole parts of a response or a WebSocket, between those that were sent before and
        those that will be.
        """
        if self._closed or self.has_backlog:
            return False
        self.transport.write(data)
        return True

    def take_frames(self, answer_to: Callable[[str], str | None]) -> bool:
        """Answer the client of a WebSocket from now on; return whether it does.

        It does not if the client spoke before it was accepted, which nobody should: gunicorn's
        reader may have read a part of a frame.
        """
        if self._has_said_something:
            return False
        # gunicorn sends a closing frame when a request ends whose WebSocket is open.
        self._websocket.closed = True
        self._websocket = None
        self._conversation = Conversation(answer_to, self.cfg.websocket_max_message_size)
        return True

    def detach(self, on_lost: Callable[[], None]) -> None:
        """Keep the connection when its request ends; call ``on_lost`` if it is lost before ``end``.

        It is lost as well when the client ends a WebSocket.

        The request has to end by being cancelled, as if the client had gone.
        """
        if self._conn_lost_handled:
            # It was lost while the request was about to be told so.
            self.worker.loop.call_soon(on_lost)
            return
        self._on_lost = on_lost
        # gunicorn keeps the head of a response until the first part of its body.
        if self._response_buffer:
            self._safe_write(self._response_buffer)
            self._response_buffer = None
        # Most of the memory of a connection. None of it is needed to go on writing.
        self._callback_parser = self._current_request = self._body_receiver = None
        self._scope_addresses = self._forwarded_trust = self._secure_names = None
        self._request_ready = None
        self._head = b""

    async def send(self, data: bytes) -> None:
        """Write ``data`` on a detached connection, and wait until the client may get more."""
        self.transport.write(data)
        await self._flow_control.drain()

    async def end(self, last: bytes) -> None:
        """Write ``last`` on a detached connection, and close it.

        A WebSocket is closed when the client has answered, or should have.
        """
        if self._closed:
            return
        self._safe_write(last)
        if self._conversation is not None:
            self._conversation.is_closing = True
            gone = asyncio.Event()
            self._on_lost = gone.set
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await gone.wait()
        self._on_lost = None
        self._close_transport()

    def break_off(self) -> None:
        """Close a detached connection at once, unless it is being closed."""
        if not self._closed:
            self.drop()

    def drop(self) -> None:
        """Close the connection at once; what was not sent yet is lost."""
        self.transport.abort()

    def resume_writing(self) -> None:
        """Note that the client has taken enough for more to be written."""
        super().resume_writing()
        if self._conversation is not None:
            self._resume_reading()

    def _converse(self, conversation: Conversation, data: bytes) -> None:
        """Answer what a client says over a WebSocket."""
        answer = conversation.answer(data)
        if answer:
            self._safe_write(answer)
        if conversation.is_over:
            on_lost, self._on_lost = self._on_lost, None
            self._close_transport()
            if on_lost is not None:
                on_lost()
        elif answer and self._flow_control.write_paused:
            # Who does not read the answers is not asked for more questions.
            self._pause_reading()

    def _close_transport(self) -> None:
        """Close the connection, unless it was detached from the request that ends here."""
        if self._on_lost is None:
            super()._close_transport()

    @property
    def is_waiting(self) -> bool:
        """Whether no whole header has come since the last response."""
        is_detached = self._on_lost is not None
        return self._current_request is None and not self._finishing_calls and not is_detached

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not taken what was written for it."""
        return bool(self.transport.get_write_buffer_size())

    @property
    def has_backlog(self) -> bool:
        """Whether the client has to take what was written, before it gets more."""
        # A response is over only when it was taken. gunicorn waits for that while the transport
        # says that it is full, which Python 3.12 and 3.13 do not always say.
        most = 0 if self.is_waiting else HIGH_WATER_LIMIT
        size = self.transport.get_write_buffer_size()
        return bool(self._flow_control.write_paused or size > most)

    @property
    def is_unused(self) -> bool:
        return bool(self.req_count <= 1)

    @property
    def _is_idle(self) -> bool:
        """Whether it is between two requests, and the next one would be answered and keep it."""
        return (
            self._awaiting_request
            and not self._request_ready.is_set()
            and not self.header_since
            and not self._closed
            and not self.has_backlog
            and bool(self._keepalive)
            and self.worker.alive
            and self.worker.nr + 1 < self.worker.max_requests
        )

    def _send_known(self, response: bytes) -> None:
        """Send the response to a known request, and count it as gunicorn's protocol would."""
        self.transport.write(response)
        self.worker.nr += 1
        self.req_count += 1
        self._arm_keepalive_timer()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Note whether a header has begun, and is not whole yet."""
        may_continue = bool(super()._feed_callback_parser(data))
        if self._current_request is not None:
            self.header_since = 0.0
        elif not self.header_since:
            self.header_since = time.monotonic()
        return may_continue

    def _build_http_scope(self, request: Any, sockname: Any, peername: Any) -> Scope:
        """Add how to learn the request, where its bytes alone decide its response."""
        scope: Scope = super()._build_http_scope(request, sockname, peername)
        # Taken once: a second request in the same bytes must not be taken for all of them.
        data, self._data = self._data, b""
        if data and self._is_plain(data, request):
            scope[LEARN] = partial(self._learn, data)
        # An older version knows no chunks.
        if request.version == (1, 1):
            scope[CONNECTION] = self
        return scope

    def _build_websocket_scope(self, request: Any, sockname: Any, peername: Any) -> Scope:
        """Add how to write to the connection without the request."""
        scope: Scope = super()._build_websocket_scope(request, sockname, peername)
        scope[CONNECTION] = self
        return scope

    def _is_plain(self, data: bytes, request: Any) -> bool:
        """Whether ``data`` is the whole request, which asks nothing of the connection."""
        receiver = self._body_receiver
        return (
            len(data) <= LONGEST
            and request.version == (1, 1)
            and not request.should_close()
            and not request.may_upgrade()
            and not request._expect_100_continue
            and receiver._complete
            and not receiver.buffered
            and not self._callback_parser.remaining()
        )

    def _send_response_start(self, status: int, headers: Any, request: Any, **options: Any) -> None:
        """Keep the head of the response, for ``_learn``."""
        super()._send_response_start(status, headers, request, **options)
        self._head = self._response_buffer

    def _learn(self, data: bytes, cached: CachedResponse) -> None:
        """Remember that the request ``data`` got the response that has just been sent."""
        if self._known is not None and not self._closed:
            self._known.learn(data, cached, self._head)
