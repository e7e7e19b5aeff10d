"""Commands as values, and the arguments that several of them have."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

Add = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]


def add_nothing(_parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


OUTPUTS = ("table", "json", "yaml")

_SERVER = {
    "--url": ("URL", "The server; DISTCONF_URL, that of the log-in, or http://127.0.0.1:5000."),
    "--token": (
        "TOKEN",
        "A token; --token-file, DISTCONF_TOKEN and DISTCONF_TOKEN_FILE are safer.",
    ),
    "--token-file": ("FILE", "A file with a token."),
    "--profile": ("PROFILE", "A profile of the profiles file; DISTCONF_PROFILE."),
    "--organisation": ("NAME", "Act in this organisation; DISTCONF_ORGANISATION."),
}


@dataclass(frozen=True)
class Action:
    """A command inside a command, as ``list`` in ``distconf users list``."""

    help: str
    run: Run
    add_arguments: Add = add_nothing


@dataclass(frozen=True)
class Command:
    """A command: its function, which returns the exit code, and its arguments.

    One with ``actions`` runs the one that is named; without a name, ``run``. ``asks_server`` is
    False for a command that has no use for the flags that name a server.
    """

    run: Run
    add_arguments: Add = add_nothing
    actions: Mapping[str, Action] = field(default_factory=dict)
    asks_server: bool = True


# --- parsers


class _Formatter(argparse.HelpFormatter):
    """A formatter that lists actions as all other arguments are listed."""

    def _format_action(self, action: argparse.Action) -> str:
        # argparse would put them a level deeper, below a line that repeats the heading.
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)


class Parser(argparse.ArgumentParser):
    """A parser that reports it when its help could not be written, and knows what was meant.

    argparse's own ignores a full disk, and the exit code would say that all is well.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"formatter_class": _Formatter, **options})

    def print_help(self, file: Any = None) -> None:
        file = file or sys.stdout
        file.write(self.format_help())
        file.flush()

    def refuse_unknown(self, words: list[str]) -> NoReturn:
        """End the process for arguments that the command does not have."""
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        near = difflib.get_close_matches(words[0].partition("=")[0], flags, 1)
        hint = f". Did you mean {near[0]}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")


def build_parser(name: str, help_text: str, command: Command) -> Parser:
    """Return the parser of one command. Its options have ``run``, ``parser`` and ``command``."""
    parser = Parser(f"distconf {name}", description=help_text)
    # ``parser``, for errors about this command to show its own usage.
    parser.set_defaults(run=command.run, parser=parser, command=name)
    _add_common(parser, command, is_inner=False)
    command.add_arguments(parser)
    if command.actions:
        inner = parser.add_subparsers(
            title="Commands", dest="action", metavar="COMMAND", parser_class=Parser
        )
        for action_name, action in command.actions.items():
            _add_action(inner, action_name, action, command)
    return parser


def _add_action(inner: Any, name: str, action: Action, command: Command) -> None:
    parser = inner.add_parser(name, help=action.help, description=action.help)
    parser.set_defaults(run=action.run, parser=parser)
    _add_common(parser, command, is_inner=True)
    action.add_arguments(parser)


def _add_common(parser: argparse.ArgumentParser, command: Command, *, is_inner: bool) -> None:
    """Add what all commands have: the server, and how to print.

    These flags may stand before or after the name of an inner command. The inner ones have no
    defaults, which would replace what stands before the name.
    """

    def default(value: Any) -> Any:
        return argparse.SUPPRESS if is_inner else value

    if command.asks_server:
        for flag, (metavar, help_text) in _SERVER.items():
            parser.add_argument(flag, metavar=metavar, help=help_text, default=default(None))
    if command.asks_server or command.actions:
        parser.add_argument("--output", choices=OUTPUTS, default=default("table"))
        parser.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            default=default(False),
            help="Print only what is needed.",
        )


# --- what several commands have


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the service that a command is about, and its environment."""
    parser.add_argument("service")
    add_environment(parser)


def add_environment(parser: argparse.ArgumentParser) -> None:
    """Add the environment that a command is about."""
    parser.add_argument(
        "-e",
        "--environment",
        default=os.environ.get("DISTCONF_ENVIRONMENT") or None,
        help="The environment; DISTCONF_ENVIRONMENT, or default.",
    )


def add_note(parser: argparse.ArgumentParser) -> None:
    """Add what every change can have: a reason, and a rehearsal."""
    parser.add_argument("--note", default="", help="Why; stored with the change.")
    parser.add_argument("--dry-run", action="store_true", help="Only print what would happen.")


def add_write(parser: argparse.ArgumentParser) -> None:
    """Add what the write of a service can have."""
    add_note(parser)
    parser.add_argument("--if-match", default="", help="Only if this entity tag is current.")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the switch that answers the question of a dangerous command."""
    parser.add_argument("-y", "--yes", action="store_true", help="Do not ask.")


def add_limit(parser: argparse.ArgumentParser, default: int) -> None:
    """Add how many entries a list has at most."""
    parser.add_argument(
        "-n", "--limit", type=_positive, default=default, help=f"At most so many; {default}."
    )


def add_search(parser: argparse.ArgumentParser, what: str = "name") -> None:
    """Add a filter of a list by a part of the name."""
    parser.add_argument("search", nargs="?", default="", help=f"A part of the {what}.")


def add_allow_env(parser: argparse.ArgumentParser) -> None:
    """Add the names that a program's environment may have though they are dangerous."""
    parser.add_argument(
        "--allow-env",
        action="append",
        default=[],
        metavar="NAME",
        help="Let this variable in, though it chooses what programs run or trust. Repeatable.",
    )


def add_defaults(parser: argparse.ArgumentParser) -> None:
    """Add the switch that fills in what the definition has defaults for."""
    parser.add_argument("--defaults", action="store_true", help="Fill in the definition's.")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return number
