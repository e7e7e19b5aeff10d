"""``distconf``: the entry of the command line.

Client commands need nothing but the standard library. The server's commands need the packages of
the extra ``server``; where these are missing, a sentence says what to type. Either side is loaded
only when one of its commands is used, so that both start quickly, and so that the client also works
beside an old click or Flask.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from distributed_config.client.cli.commands import SHARED
from distributed_config.client.cli.credentials import load_credentials
from distributed_config.commands.names import OWN
from distributed_config.errors import Invalid

_HELP: tuple[list[str], ...] = ([], ["help"], ["-h"], ["--help"])
_LOCAL = "--local"
_NAMING_A_SERVER = frozenset({"--url", "--profile", "--token", "--token-file"})
# These work on the whole log, or with a key, and so on the file alone.
_AUDIT_ON_FILE = frozenset({"verify", "prune", "--key-file"})


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process; None: with the arguments of the process.

    Exit codes: 0 done, 1 refused or not sound, 2 wrong usage, 3 no server answered.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"] and words[1:2] and words[1] in {*OWN, *SHARED}:
        words = [*words[1:], "--help"]
    if words[:1] in _HELP:
        sys.exit(_help(words))
    if not _is_for_this_machine(words, os.environ):
        sys.exit(_module("client.cli.main").main(words, OWN))
    missing = _module("commands.missing")
    unmet = missing.find_unmet()
    if unmet and words[0] in SHARED and _LOCAL not in words:
        # A client alone: there is no database file here that could be meant.
        sys.exit(_module("client.cli.main").main(words))
    if unmet:
        sys.stderr.write(f"distconf: {missing.explain(words[0], unmet)}\n")
        sys.exit(1)
    sys.exit(_module("commands.group").run([word for word in words if word != _LOCAL]))


def _help(words: list[str]) -> int:
    """Show the page of all commands that are installed; return the exit code."""
    missing = _module("commands.missing")
    unmet = missing.find_unmet()
    code: int = _module("client.cli.main").main(words, {} if unmet else OWN)
    if unmet:
        sys.stdout.write(f"The server and its commands are not installed. {missing.INSTALL}\n")
    return code


def _is_for_this_machine(words: list[str], environ: Mapping[str, str]) -> bool:
    """Whether a command works on this machine's database file, and not over HTTP.

    Those that can do both ask a server where one is named, unless --local says otherwise.
    """
    if words[0] in OWN:
        return True
    if words[0] not in SHARED:
        return False
    # Without parsing: the two sides have different flags, and neither is loaded yet.
    flags = {word.partition("=")[0] for word in words[1:]}
    if _LOCAL in flags or (words[0] == "audit" and flags & _AUDIT_ON_FILE):
        return True
    return not (flags & _NAMING_A_SERVER or _is_server_known(environ))


def _is_server_known(environ: Mapping[str, str]) -> bool:
    if environ.get("DISTCONF_URL") or environ.get("DISTCONF_PROFILE"):
        return True
    try:
        credentials = load_credentials(environ)
    except Invalid:
        # The client's side says what is wrong. Not to guess is safer: it is about which data.
        return True
    return bool(credentials.url or credentials.profile)


def _module(name: str) -> Any:
    return importlib.import_module(f"distributed_config.{name}")
