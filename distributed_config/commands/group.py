"""The commands of the server's own machine, as one group of click's.

A command's module is loaded when the command is used, so that ``--help`` and completion are
quick. The line of help for each stands here.
"""

import importlib
import sys
from typing import NoReturn

import click

from distributed_config import __version__
from distributed_config.client.cli.commands import COMMANDS as CLIENT_COMMANDS
from distributed_config.client.cli.streams import open_closed_streams
from distributed_config.commands.refusals import report_errors

# What each command does, by the module that it is in. Help and completion load none of them.
_ACCOUNTS = {
    "create-organisation": "Create an organisation.",
    "list-organisations": "List the organisations.",
    "create-user": "Create a user.",
    "list-users": "List the users of an organisation.",
    "change-user": "Change a user's role, limits, or whether they may log in.",
    "list-memberships": "List the organisations that a user belongs to.",
    "add-member": "Make a user of another organisation a member of one.",
    "set-password": "Give a user another password.",
    "remove-user": "Remove a user from an organisation.",
    "create-role": "Create a role of an organisation's own.",
    "list-roles": "List the roles, and what each may do.",
}
_TOKENS = {
    "create-token": "Create a token for a program.",
    "list-tokens": "List the tokens of an organisation.",
    "change-token": "Change a token's name, rights or expiry.",
    "revoke-token": "Revoke a token.",
    "rotate-token": "Replace a token by a new one.",
    "generate-token": "Print a new token, and store nothing.",
}
COMMANDS = {
    "serve": "Start the server.",
    "db": "Look after the database's schema.",
    "check": "Check the database and the settings.",
    "backup": "Write a consistent copy of the database.",
    "restore": "Put a backup in place of the database.",
    "export": "Write the current documents of all services.",
    "import": "Create or update services from files.",
    "secrets": "Look after the keys that secrets are encrypted under.",
    "definitions": "Look after the JSON Schemas that services conform to.",
    **_ACCOUNTS,
    **_TOKENS,
    "audit": "Look after the audit log.",
    "settings": "Show every setting, its value and its source.",
    "completion": "Print the set-up for completion in your shell.",
}
_MODULES = {
    "import": "import_",  # a word of Python's own names no module
    **dict.fromkeys(_ACCOUNTS, "accounts"),
    **dict.fromkeys(_TOKENS, "tokens"),
}


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
        is_one_of_several = cmd_name in _ACCOUNTS or cmd_name in _TOKENS
        attribute = cmd_name.replace("-", "_") if is_one_of_several else "command"
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands that speak to a server"):
            formatter.write_dl(list(CLIENT_COMMANDS.items()))
        with formatter.section("Commands on the server's own machine"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="distconf")
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
