"""``distconf``: the entry of the command line.

Client commands need nothing but the standard library. The server's commands need the packages of
the extra ``server``; where these are missing, a sentence says what to type. Either side is loaded
only when one of its commands is used, so that both start quickly, and so that the client also works
beside an old click or Flask.
"""

import importlib
import sys
from typing import Any, NoReturn

from distributed_config.client.cli.commands import COMMANDS as CLIENT_COMMANDS
from distributed_config.commands import missing


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process; None: with the arguments of the process.

    Exit codes: 0 done, 1 refused or not sound, 2 wrong usage, 3 no server answered.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in CLIENT_COMMANDS:
        sys.exit(_client().main(words))
    unmet = missing.find_unmet()
    if unmet:
        sys.exit(_explain_missing_server(words, unmet))
    sys.exit(importlib.import_module("distributed_config.commands.group").run(words))


def _client() -> Any:
    return importlib.import_module("distributed_config.client.cli.main")


def _explain_missing_server(words: list[str], unmet: list[str]) -> int:
    """Say what to install, or show the help of what is there; return the exit code."""
    if words and words[0] not in {"-h", "--help"}:
        sys.stderr.write(f"distconf: {missing.explain(words[0], unmet)}\n")
        return 1
    _client().print_help()
    sys.stdout.write(f"\nThe server and its commands are not installed. {missing.INSTALL}\n")
    return 0 if words else 2
