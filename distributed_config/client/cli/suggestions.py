"""What somebody meant who typed a name that does not exist, and what to do without a log-in."""

import argparse
import difflib
from collections.abc import Iterable, Iterator

from distributed_config.client.cli.output import complain
from distributed_config.client.cli.server import Server
from distributed_config.errors import (
    DistconfError,
    NotFound,
    ServiceNotFound,
    Unauthenticated,
)

# One page: a hint is not worth loading a list of any length.
_MOST_SERVICES = 500


def complain_about_command(word: str, commands: Iterable[str]) -> None:
    """Print that there is no such command, and the nearest ones."""
    if word.startswith("-"):
        complain(f"{word} comes after a command, as in `distconf list {word}`.")
        return
    near = difflib.get_close_matches(word, list(commands), 3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    complain(f"there is no command {word!r}.{meant} `distconf help` lists all.")


def hints(options: argparse.Namespace, error: DistconfError) -> Iterator[str]:
    """Yield lines to print below an error: what was probably meant, or what to do."""
    if isinstance(error, Unauthenticated) and getattr(options, "command", "") != "login":
        yield "  Log in with `distconf login`, or name a token with --token-file."
    elif isinstance(error, NotFound):
        near = _near_services(options, error) or _near_environments(options, error)
        if near:
            yield f"  Did you mean {' or '.join(near)}?"


def _near_services(options: argparse.Namespace, error: NotFound) -> list[str]:
    name = getattr(options, "service", None)
    if not isinstance(error, ServiceNotFound) or not name:
        return []
    with Server(options) as server:
        services = server.first(_MOST_SERVICES, "/services", "services")
    names = [service["name"] for service in services if service["name"] != name]
    return difflib.get_close_matches(name, names, 3)


def _near_environments(options: argparse.Namespace, error: NotFound) -> list[str]:
    given = [getattr(options, name, None) for name in ("environment", "source", "target")]
    given = [name for name in given if isinstance(name, str) and name in error.detail]
    if not given or "environment" not in error.detail:
        return []
    with Server(options) as server:
        names = [each["name"] for each in server.get("/environments")["environments"]]
    return [near for name in given for near in difflib.get_close_matches(name, names, 1)]
