"""The commands of the server's own machine, as one group of click's.

A command's module is loaded when the command is used, so that its help is quick. ``names.py`` has
the line of help for each, and ``client/cli/help_page.py`` shows all of them.
"""

import importlib
import sys
from typing import NoReturn

import click

from distributed_config.client.cli.commands import COMMANDS as CLIENT_COMMANDS
from distributed_config.client.cli.commands import SHARED
from distributed_config.client.cli.streams import open_closed_streams
from distributed_config.commands.names import ACCOUNTS, OWN, TOKENS
from distributed_config.commands.refusals import report_errors

# All of them, by name, with the line of help for each. Help and completion load none.
COMMANDS = {name: line.help for name, line in OWN.items()} | {
    name: CLIENT_COMMANDS[name].help for name in SHARED
}
_MODULES = {
    "import": "import_",  # a word of Python's own names no module
    **dict.fromkeys(ACCOUNTS, "accounts"),
    **dict.fromkeys(TOKENS, "tokens"),
}


_HERE = (
    "This is about the database file of this machine. Where a server is named, by --url, "
    "--profile, --token, --token-file, DISTCONF_URL, DISTCONF_PROFILE or a log-in, the command "
    "asks that server instead; with --local it does not."
)


class _Group(click.Group):
    """A group that knows its commands' names and help without loading them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name = _MODULES.get(cmd_name, cmd_name)
        module = importlib.import_module(f"distributed_config.commands.{module_name}")
        # In a module of several commands each has its own name; a module of one calls it `command`.
        is_one_of_several = cmd_name in ACCOUNTS or cmd_name in TOKENS
        attribute = cmd_name.replace("-", "_") if is_one_of_several else "command"
        command: click.Command = getattr(module, attribute)
        if cmd_name in SHARED:
            command.epilog = _HERE
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def distconf() -> None:
    """A configuration service: numbered JSON versions, served fast and never lost."""


def run(arguments: list[str]) -> NoReturn:
    """Run a command and end the process; with 1, and a sentence, where it is refused."""
    open_closed_streams()
    with report_errors("distconf"):
        _run(arguments)
    raise AssertionError("click always ends the process")


def _run(arguments: list[str]) -> None:
    try:
        distconf.main(arguments, prog_name="distconf")
    except SystemExit:
        # The interpreter flushes too, but says nothing useful where that fails, as on a full disk.
        sys.stdout.flush()
        raise
