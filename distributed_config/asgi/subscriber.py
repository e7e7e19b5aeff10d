"""One subscriber of a stream: where it is, and what it waits for."""

import asyncio
from collections.abc import Callable
from typing import Any

from distributed_config.asgi.direct_events import Direct
from distributed_config.asgi.response_cache import is_expired
from distributed_config.live.feed import EncodedMessage, Subscription
from distributed_config.services.policy.actor import LOCAL_OPERATOR

CATCH_UP = EncodedMessage(-1, [], Subscription(LOCAL_OPERATOR, 0, ""))
"""Stands in for a message: there is more than one, so read all that comes after the cursor."""


Messages = list[tuple[int, EncodedMessage | None]]
"""Revisions in their order, each with what a subscriber receives of it; None: nothing."""


class Subscriber:
    """One open stream: where it is, and what it waits for."""

    __slots__ = (
        "cursor",
        "direct",
        "ended",
        "expires_at",
        "on_end",
        "resume",
        "sending_since",
        "subscription",
        "task",
        "waiting",
    )

    def __init__(
        self,
        subscription: Subscription,
        cursor: int,
        *,
        expires_at: int | None,
        direct: Direct | None,
        on_end: Callable[[], None] | None,
    ) -> None:
        self.subscription = subscription
        self.direct = direct
        self.on_end = on_end
        self.resume: Callable[[], None] | None = None
        self.expires_at = expires_at
        self.ended = False
        self.cursor = cursor
        self.task: asyncio.Task[Any] | None = None
        self.waiting: asyncio.Future[EncodedMessage | None] | None = None
        self.sending_since = 0.0

    def offer(self, messages: Messages, up_to: int) -> bool:
        """Give it the ``messages`` of its subscription, which are all up to ``up_to``.

        Returns whether that is anything. Nothing is given to a subscriber that is not waiting: its
        task looks for itself when it has sent what it is sending.
        """
        if not self._is_waiting:
            return False
        received = False
        for revision, message in messages:
            if revision <= self.cursor:
                continue
            if message is not None:
                received = True
                if not self._pushed(message):
                    # The usual case, one commit and one message, goes without another look.
                    self._wake(message if revision == messages[-1][0] else CATCH_UP)
                    return True
            self.cursor = revision
        # It can skip ahead, and need not catch up from far back later.
        self.cursor = max(self.cursor, up_to)
        return received

    def end(self) -> None:
        """End the stream once it has sent what it is sending."""
        self.ended = True
        self.notify(CATCH_UP)

    def notify(self, message: EncodedMessage | None) -> int:
        """Give it ``message``, None for a heartbeat, if it is waiting; return how many got it."""
        if not self._is_waiting:
            return 0
        if message is CATCH_UP or not self._pushed(message):
            self._wake(message)
        return 1

    @property
    def _is_waiting(self) -> bool:
        if self.resume is not None:
            return True
        return self.waiting is not None and not self.waiting.done()

    def _wake(self, message: EncodedMessage | None) -> None:
        """Have a task deliver ``message``, and whatever else comes after the cursor."""
        if self.resume is not None:
            # A heartbeat that could not be written needs no task: the client has enough to read.
            if message is not None or self.ended:
                self.resume()
        elif self.waiting is not None:
            self.waiting.set_result(message)

    def _pushed(self, message: EncodedMessage | None) -> bool:
        """Write ``message`` to its connection, where that can be."""
        if self.direct is None or self.ended or is_expired(self.expires_at):
            return False
        return self.direct.push(self.subscription, self.cursor, message)
