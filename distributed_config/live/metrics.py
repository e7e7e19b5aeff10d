"""What is counted and measured, for Prometheus.

Several workers are added up by the client library, over files in the folder that
``PROMETHEUS_MULTIPROC_DIR`` names; the server's settings set it before this module is loaded.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY

REQUESTS = Counter("distconf_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "distconf_request_seconds",
    "Time to answer, for requests that reached the application.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
REPLAYED = Counter("distconf_replayed_reads_total", "Reads answered again from memory.", ["status"])
COMMIT_SECONDS = Histogram(
    "distconf_commit_seconds",
    "Time of one batch of writes, from its begin to its commit.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
COMMIT_UNITS = Histogram(
    "distconf_commit_units", "Writes that shared one commit.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
CLOCK_BEHIND = Gauge(
    "distconf_clock_behind_seconds",
    "How far the clock stands behind the journal's newest change; 0: it does not.",
    multiprocess_mode="mostrecent",
)
REVISION = Gauge("distconf_revision", "The journal's revision.", multiprocess_mode="mostrecent")


def exposition() -> bytes:
    """Everything, in Prometheus' text format, added up over the workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return bytes(generate_latest(REGISTRY))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    return bytes(generate_latest(registry))
