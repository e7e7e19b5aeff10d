"""A request's id, its line in the log, and its place in the metrics."""

import logging
import re
import secrets
import sys
import time
from contextlib import suppress
from typing import Any

import structlog
from flask import Flask, Response, g, request

from distributed_config.http import auth
from distributed_config.live import exchange, metrics
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
    """Whether each request has a line, which is of the level info."""
    return settings.log_requests and settings.log_level in {"debug", "info"}


def init_logging(settings: Settings) -> None:
    """One form for every line of the process, whoever writes it, on standard output."""
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


def init_observation(app: Flask, settings: Settings) -> None:
    """Gives every request an id, a log line and its counts. Registered before all other hooks."""

    @app.before_request
    def _begin() -> None:
        g.began = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        # What a configuration holds is data, never a page, whatever a browser makes of it.
        response.headers["X-Content-Type-Options"] = "nosniff"
        told: Exchange = request.environ[exchange.KEY]
        told.route = request.url_rule.rule if request.url_rule is not None else "(none)"
        if told.hold is not None or told.moves:
            return response  # it will be asked again, and counted when it is answered
        seconds = time.perf_counter() - g.began
        route = told.route
        method = request.method if request.method in _METHODS else "(other)"
        metrics.REQUESTS.labels(method, route, str(response.status_code)).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        if logs_requests(settings):
            # A log that cannot be written must not take the answer with it.
            with suppress(OSError):
                _log(told, response, method, seconds)
        return response


def measure_commit(commit: BatchStats) -> None:
    """Counts one batch of writes."""
    metrics.COMMIT_UNITS.observe(commit.units)
    metrics.COMMIT_SECONDS.observe(commit.seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _log(told: Exchange, response: Response, method: str, seconds: float) -> None:
    line = {
        "method": method,
        "path": request.path[:200],
        "service": told.service,
        "status": response.status_code,
        "bytes": response.calculate_content_length(),
        "ms": round(seconds * 1000, 3),
        "client": request.remote_addr,
        "actor": auth.actor_name(),
        "request_id": g.request_id,
    }
    if "error_code" in g:
        line["code"] = g.error_code
    _logger.info("request", **line)
