"""Roles and their limits, as arguments and as columns."""

import argparse
from collections.abc import Mapping
from typing import Any

# --- as arguments


def add_rights(parser: argparse.ArgumentParser) -> None:
    """Add a role, and what it is limited to."""
    parser.add_argument("role", help="What they may do; `distconf roles` lists the roles.")
    _add_limits(parser)


def add_changed_rights(parser: argparse.ArgumentParser) -> None:
    """Add rights of which only those that are given change."""
    parser.add_argument("--role", help="What they may do; `distconf roles` lists the roles.")
    _add_limits(parser)
    parser.add_argument("--unlimited", action="store_true", help="Remove all other limits.")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for flag, what in (
        ("service", "service; one that ends in / is a prefix"),
        ("environment", "environment"),
    ):
        parser.add_argument(
            f"--{flag}",
            dest=f"{flag}s",
            action="append",
            default=[],
            metavar=flag.upper(),
            help=f"Limit it to this {what}. Repeatable.",
        )


# --- in requests and tables


def rights(options: argparse.Namespace) -> dict[str, Any]:
    """Return the role and the limits for the body of a request."""
    return {
        "role": options.role,
        "services": options.services,
        "environments": options.environments,
    }


def changed_rights(options: argparse.Namespace) -> dict[str, Any]:
    """Return what changes; with --unlimited a limit that is not given goes."""
    given = rights(options)
    # An empty list takes a limit away; what is left out of the request stays.
    if not options.unlimited:
        return {name: value for name, value in given.items() if value}
    return {name: value for name, value in given.items() if value is not None}


def rights_row(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns about somebody's rights."""
    return {"role": holder["role"], "limited to": holder["services"] + holder["environments"]}
