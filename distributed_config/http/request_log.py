"""The log: a request's id, its line, and its counts in the metrics."""

import json
import logging
import re
import secrets
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import structlog
from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from distributed_config.http import auth
from distributed_config.http.request import exchange_of_request
from distributed_config.live import metrics
from distributed_config.live.exchange import Exchange
from distributed_config.settings import Settings
from distributed_config.store.writer import BatchStats

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

_logger = structlog.get_logger("request")


def writes_text(settings: Settings) -> bool:
    """Whether log lines are text for people instead of JSON."""
    if settings.log_format == "auto":
        return sys.stdout.isatty()
    return settings.log_format == "text"


def logs_requests(settings: Settings) -> bool:
    """Whether each request has a line, which is at level info."""
    return settings.log_requests and settings.log_level in {"debug", "info"}


def init_logging(settings: Settings) -> None:
    """Send every line of the process, our own and libraries', in one form to standard output."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, repr_native_str=True)
        if writes_text(settings)
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


def init_request_log(app: Flask, settings: Settings) -> None:
    """Give every request an id, a log line and its counts.

    To be registered before all other hooks: Flask then runs its end after all of theirs.
    """

    @app.before_request
    def _begin() -> None:
        g.began = time.perf_counter()
        request_id = request.headers.get("X-Request-ID", "")
        # Only harmless characters: the id stands in log lines and headers.
        is_valid = _REQUEST_ID.fullmatch(request_id)
        g.request_id = request_id if is_valid else secrets.token_hex(8)

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        # A configuration is data, never a page: browsers must not guess a type from its content.
        response.headers["X-Content-Type-Options"] = "nosniff"
        exchange = exchange_of_request()
        exchange.route = request.url_rule.rule if request.url_rule is not None else "(none)"
        if exchange.wait is not None or exchange.must_block:
            return response  # it will be repeated, and counted when it is answered
        seconds = time.perf_counter() - g.began
        route = exchange.route
        method = request.method if request.method in _METHODS else "(other)"
        _requests(method, route, response.status_code).inc()
        _seconds(route).observe(seconds)
        if logs_requests(settings):
            # A log that cannot be written must not take the response with it.
            with suppress(OSError):
                _log(exchange, response, method, seconds)
        return response


# To find a child by its labels takes longer than to count; there is one for each route and status.
@cache
def _requests(method: str, route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(method, route, str(status))


@cache
def _seconds(route: str) -> Histogram:
    return metrics.REQUEST_SECONDS.labels(route)


def measure_commit(commit: BatchStats) -> None:
    """Observe one batch of writes in the metrics."""
    metrics.COMMIT_UNITS.observe(commit.units)
    metrics.COMMIT_SECONDS.observe(commit.seconds)


# Others are counted as one: each label value is a time series, and anybody can invent methods.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _log(exchange: Exchange, response: Response, method: str, seconds: float) -> None:
    line = {
        "method": method,
        "path": request.path[:200],
        "service": exchange.service,
        "status": response.status_code,
        "bytes": response.calculate_content_length(),
        "ms": round(seconds * 1000, 3),
        "client": request.remote_addr,
        "actor": auth.actor_name(),
        "request_id": g.request_id,
    }
    if "error_code" in g:
        line["code"] = g.error_code
    if exchange.log is None:
        _logger.info("request", **line)
        return
    # In the form in which structlog writes it, which takes several times as long.
    timestamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line |= {"event": "request", "level": "info", "timestamp": timestamp}
    exchange.log(f"{json.dumps(line)}\n")
