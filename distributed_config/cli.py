"""``distconf``: the command line, of which this is the door.

Client commands need nothing but the standard library. The server's commands need the packages of
the extra ``server``; where these are missing, a sentence says what to type. Either side is loaded
only when one of its commands is used, so that both start quickly.
"""

import importlib
import sys
from typing import Any, NoReturn

from distributed_config.client.cli.commands import COMMANDS as CLIENT_COMMANDS
from distributed_config.commands import missing


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line.

    Exit codes: 0 done, 1 refused or found wanting, 2 wrong usage, 3 no server answered.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in CLIENT_COMMANDS:
        sys.exit(_client().main(given))
    lacking = missing.unmet()
    if lacking:
        sys.exit(_do_without_the_server(given, lacking))
    sys.exit(importlib.import_module("distributed_config.commands.group").run(given))


def _client() -> Any:
    return importlib.import_module("distributed_config.client.cli.main")


def _do_without_the_server(given: list[str], lacking: list[str]) -> int:
    """Helps with what is there; the exit code."""
    if given and given[0] not in {"-h", "--help"}:
        sys.stderr.write(f"distconf: {missing.explain(given[0], lacking)}\n")
        return 1
    _client().print_help()
    sys.stdout.write(f"\nThe server and its commands are not installed. {missing.INSTALL}\n")
    return 0 if given else 2
