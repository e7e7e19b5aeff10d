"""The page that ``distconf help`` shows: every command, by what it is for."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping

from distributed_config.client.cli.commands import SHARED, Line
from distributed_config.client.cli.output import wants_colours
from distributed_config.client.cli.paging import page

_HEAD = """\
distconf - configurations as numbered JSON versions, served fast and never lost

Usage: distconf COMMAND [ARGUMENTS]
       distconf help COMMAND, or distconf COMMAND --help: all about one command
"""
_SERVER = (
    "Which server? The one of --url, of --profile, of DISTCONF_URL or DISTCONF_PROFILE, or the one "
    "that you logged in to last: `distconf login --url https://config.example.org`. Without any "
    "of these it is http://127.0.0.1:5000. Tokens come from --token-file, DISTCONF_TOKEN, "
    "DISTCONF_TOKEN_FILE, a profile or the log-in."
)
_LOCAL = (
    f"Here or there? {', '.join(SHARED[:-1])} and {SHARED[-1]} ask the server where one is named "
    "as above, and work on this machine's database file otherwise; --local makes them do that in "
    "any case."
)
_CODES = "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no server answered."
_MOST_COLUMNS = 100


def print_page(commands: Mapping[str, Line]) -> None:
    """Print the page, through the pager on a terminal."""
    page("\n".join(_lines(commands)) + "\n")


def _lines(commands: Mapping[str, Line]) -> Iterator[str]:
    columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    yield _HEAD
    width = max(map(len, commands))
    for group in dict.fromkeys(line.group for line in commands.values()):
        yield f"\x1b[1m{group}\x1b[0m:" if wants_colours() else f"{group}:"
        for name, line in commands.items():
            if line.group == group:
                start = f"  {name:{width}}  "
                yield from textwrap.wrap(
                    line.help, columns, initial_indent=start, subsequent_indent=" " * len(start)
                )
        yield ""
    # A command without a module is not a client's: the server's packages are there too.
    has_local = any(not line.module for line in commands.values())
    for paragraph in (_SERVER, _LOCAL, _CODES) if has_local else (_SERVER, _CODES):
        yield from textwrap.wrap(paragraph, columns)
        yield ""
