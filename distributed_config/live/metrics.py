"""What is counted and measured, for Prometheus.

Several workers are added up by the client library, over files in the folder that
``PROMETHEUS_MULTIPROC_DIR`` names; the server's settings set it before this module is loaded.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY

REQUESTS = Counter(
    "distconf_requests_total",
    "Requests answered, those from memory included, by method, route and HTTP status.",
    ["method", "route", "status"],
)
REQUEST_SECONDS = Histogram(
    "distconf_request_seconds",
    "Seconds from a request's arrival in the application to its answer. Answers from memory never "
    "get there, and a held request counts for its last look alone.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
REPLAYED = Counter(
    "distconf_replayed_reads_total",
    "The requests of distconf_requests_total that were answered from memory, by HTTP status.",
    ["status"],
)
REFUSALS = Counter(
    "distconf_refusals_total",
    "Requests refused, by the error's code and by the setting whose limit was reached, if one was.",
    ["code", "limit"],
)
COMMIT_SECONDS = Histogram(
    "distconf_commit_seconds",
    "Seconds of one batch of writes, from its beginning until it is on the disk, waiting for "
    "other processes included.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
COMMIT_UNITS = Histogram(
    "distconf_commit_units",
    "Writes that shared one commit, and so one sync of the disk.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
REVISION = Gauge(
    "distconf_revision",
    "The journal's revision: it grows by one with each commit that changes something.",
    multiprocess_mode="mostrecent",
)
WATCHERS = Gauge(
    "distconf_watchers",
    "Streams of changes that are open now, as server-sent events and as WebSockets.",
    multiprocess_mode="livesum",
)
QUEUE = Gauge(
    "distconf_queue",
    "Requests inside the application now, those that wait for a thread included; at "
    "DISTCONF_QUEUE in one process further ones are refused.",
    multiprocess_mode="livesum",
)
BUILD = Gauge(
    "distconf_build_info",
    "Always 1; its labels tell the versions that run.",
    ["version", "python", "sqlite"],
    multiprocess_mode="max",
)
CLOCK_BEHIND = Gauge(
    "distconf_clock_behind_seconds",
    "How far the clock stands behind the journal's newest change; 0: it does not.",
    multiprocess_mode="mostrecent",
)


def exposition() -> bytes:
    """Everything, in Prometheus' text format, added up over the workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return bytes(generate_latest(REGISTRY))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    return bytes(generate_latest(registry))
