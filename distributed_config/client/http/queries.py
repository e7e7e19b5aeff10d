"""The queries that name a document: its service, its environment, and its version."""

from collections.abc import Mapping
from typing import Any

DEFAULT_ENVIRONMENT = "default"


def series_query(service: str, environment: str) -> dict[str, Any]:
    """Return the query for the versions of a service in an environment."""
    return {"service": service, "environment": unless_default(environment)}


def unless_default(environment: str) -> str | None:
    """Return an environment for the query; None, which leaves it out, for the default one.

    Servers from before environments refuse the parameter, and have only that one.
    """
    return None if environment == DEFAULT_ENVIRONMENT else environment


def environment_from(name: str | None, environ: Mapping[str, str]) -> str:
    """Return ``name``, or else the environment that DISTCONF_ENVIRONMENT names, or ``default``."""
    return name or environ.get("DISTCONF_ENVIRONMENT") or DEFAULT_ENVIRONMENT


def document_query(
    series: Mapping[str, Any],
    *,
    version: int | None = None,
    as_of: int | str | None = None,
    defaults: bool = False,
    resolved: bool = False,
) -> dict[str, Any]:
    """Return the query for one document of a series, the current one unless another is named."""
    # Without ``version`` the server answers with every version, as its original contract has it.
    is_current = version is None and as_of is None
    return {
        **series,
        "version": "current" if is_current else version,
        "as_of": as_of,
        "defaults": flag(defaults),
        "resolved": flag(resolved),
    }


def flag(on: bool) -> str | None:
    """Return a switch for the query; None leaves it out."""
    return "true" if on else None
