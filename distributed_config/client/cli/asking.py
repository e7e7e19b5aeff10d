"""Questions to the person at the terminal."""

import argparse
import sys

from distributed_config.client.cli.exit_codes import USAGE
from distributed_config.client.cli.output import complain


def confirm(options: argparse.Namespace, question: str) -> bool:
    """Return whether the person says yes; --yes says it without being asked.

    Where nobody can be asked the process ends: a script has to say --yes itself.
    """
    if options.yes:
        return True
    if not sys.stdin.isatty():
        complain(f"{question} There is no terminal to ask at; give --yes.")
        raise SystemExit(USAGE)
    # On standard error: the output may go into a file.
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    complain("nothing was changed.")
    return False
