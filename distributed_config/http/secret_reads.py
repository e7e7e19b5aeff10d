"""Which secrets the current request reads in the clear: every such read is recorded here."""

from flask import g


def record_secret_read(service: str) -> None:
    """Record that the current request reads a secret of ``service`` in the clear.

    A stream that reveals secrets records its filters once, when it opens: a name that ends in
    ``/`` stands for all services that begin so, and ``/`` alone for every one.
    """
    services: set[str] = g.setdefault("revealed", set())
    services.add(service)


def recorded_services() -> list[str]:
    """Return the services of which the current request has read a secret, by name."""
    return sorted(g.get("revealed", ()))
