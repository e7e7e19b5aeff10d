"""Who reads a secret in the clear: the one place through which every such reading goes."""

from flask import g


def record_secret_read(service: str) -> None:
    """Notes that the current request reads a secret of ``service`` in the clear.

    Of a stream that tells secrets it is noted once, when it opens: of each service that it names,
    where one that ends in ``/`` is all that begin so, and ``/`` alone is every one.
    """
    found: set[str] = g.setdefault("revealed", set())
    found.add(service)


def revealed() -> list[str]:
    """The services of which the current request has read a secret in the clear, by name."""
    return sorted(g.get("revealed", ()))
