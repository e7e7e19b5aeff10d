"""The arguments of the client commands."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from distributed_config.client.cli import child_process, reading, sidecar, writing
from distributed_config.client.cli.commands import COMMANDS
from distributed_config.wire import parse_position

_DESCRIPTION = "The commands of distconf that need a server; they use nothing but Python."
_REACTIONS = ("none", "restart", "HUP", "USR1", "USR2")


class Parser(argparse.ArgumentParser):
    """A parser that reports it when its help could not be written.

    argparse's own ignores a full disk, and the exit code would say that all is well.
    """

    def print_help(self, file: Any = None) -> None:
        file = file or sys.stdout
        file.write(self.format_help())
        file.flush()


class _Commands:
    """The commands of a parser, with the arguments that all of them have."""

    def __init__(self, parser: Parser) -> None:
        self._commands = parser.add_subparsers(dest="command", metavar="COMMAND")
        self._common = _common_arguments()

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int], *parents: Parser
    ) -> argparse.ArgumentParser:
        """Add a command. ``run`` gets the parsed options, and returns the exit code."""
        help_text = COMMANDS[name]
        command = self._commands.add_parser(
            name, parents=[self._common, *parents], help=help_text, description=help_text
        )
        # ``parser``, for errors about this command to show its own usage.
        command.set_defaults(run=run, parser=command)
        return command


def build_parser() -> Parser:
    """Return the parser of all client commands. Its options have ``run`` and ``parser``."""
    parser = Parser("distconf", description=_DESCRIPTION)
    parser.set_defaults(parser=parser)
    commands = _Commands(parser)
    write_arguments = _write_arguments()
    _add_get(commands.add("get", reading.get))
    _add_put(commands.add("put", writing.put, write_arguments))
    _add_patch(commands.add("patch", writing.patch, write_arguments))
    _add_service(commands.add("history", reading.history))
    _add_diff(commands.add("diff", reading.diff))
    _add_rollback(commands.add("rollback", writing.rollback, write_arguments))
    _add_watch(commands.add("watch", reading.watch))
    _add_env(commands.add("env", reading.env))
    _add_exec(commands.add("exec", child_process.run_command))
    commands.add("smoke", reading.run_smoke_checks)
    _add_sidecar(commands.add("sidecar", sidecar.run_sidecar))
    return parser


def _common_arguments() -> Parser:
    common = Parser(add_help=False)
    common.add_argument("--url", help="The server; DISTCONF_URL, or http://127.0.0.1:5000.")
    common.add_argument("--token", help="A token; DISTCONF_TOKEN or DISTCONF_TOKEN_FILE is safer.")
    common.add_argument("--profile", help="A profile of the profiles file; DISTCONF_PROFILE.")
    common.add_argument("--output", choices=("table", "json", "yaml"), default="table")
    common.add_argument("-q", "--quiet", action="store_true", help="Print only what is needed.")
    return common


def _write_arguments() -> Parser:
    writing_arguments = Parser(add_help=False)
    writing_arguments.add_argument("--note", default="", help="Why; stored with the version.")
    writing_arguments.add_argument(
        "--if-match", default="", help="Only if this entity tag is current."
    )
    writing_arguments.add_argument(
        "--dry-run", action="store_true", help="Only print what would happen."
    )
    return writing_arguments


def _add_service(command: argparse.ArgumentParser) -> None:
    command.add_argument("service")


def _add_get(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("path", nargs="?", default="", help="One value: db.host or /hosts/0.")
    command.add_argument("--version", type=int)
    command.add_argument("--as-of", help="A revision or a time: what was current then.")
    _add_defaults(command)


def _add_put(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("file", help="JSON, YAML or TOML; - is JSON on standard input.")
    command.add_argument("--definition", help="Conform to this definition from now on.")


def _add_patch(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("changes", nargs="+", metavar="key=value | FILE")


def _add_diff(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("old", type=int)
    command.add_argument("new", type=int)


def _add_rollback(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("to", type=int, nargs="?", help="The version to copy; the one before.")


def _add_watch(command: argparse.ArgumentParser) -> None:
    command.add_argument("services", nargs="*", help="Names; one that ends in / is a prefix.")
    command.add_argument(
        "--after",
        type=_position,
        metavar="REVISION[.EPOCH]",
        help="Changes after this position in the journal; from now on.",
    )


def _position(text: str) -> str:
    """Return ``text`` if it is a position in the journal. Raises ArgumentTypeError if not."""
    try:
        return str(parse_position(text))
    except ValueError:
        message = f"{text!r} is neither a revision, as 41, nor one with its epoch, as 41.2b4e3723"
        raise argparse.ArgumentTypeError(message) from None


def _add_env(command: argparse.ArgumentParser) -> None:
    _add_service(command)
    command.add_argument("--prefix", default="", help="What every name starts with, as APP_.")
    command.add_argument("--export", action="store_true", help='For eval "$(distconf env …)".')
    _add_allow_env(command)
    _add_defaults(command)


def _add_exec(command: argparse.ArgumentParser) -> None:
    command.add_argument("--service", required=True)
    command.add_argument("--prefix", default="")
    command.add_argument("--on-change", choices=_REACTIONS, default="none")
    command.add_argument(
        "--deadline", type=float, default=10.0, help="Seconds to wait for a server."
    )
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    _add_allow_env(command)
    _add_defaults(command)


def _add_sidecar(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", help="The plan: JSON, TOML or YAML.")
    command.add_argument("--once", action="store_true", help="Write everything and end.")
    for name in sidecar.TARGET_FLAGS:
        command.add_argument(f"--{name}", help=f"Without a plan: the one target's {name}.")
    _add_allow_env(command)
    command.add_argument("--debounce", type=float, help="Seconds in which changes gather.")
    command.add_argument("--splay", type=float, help="Wait up to so many seconds before writing.")
    command.add_argument("--deadline", type=float, help="Seconds to wait for a server at first.")
    command.add_argument("--health", help="Address for /healthz, as 127.0.0.1:8099.")


def _add_defaults(command: argparse.ArgumentParser) -> None:
    command.add_argument("--defaults", action="store_true", help="Fill in the definition's.")


def _add_allow_env(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-env",
        action="append",
        default=[],
        metavar="NAME",
        help="Let this variable in, though it chooses what programs run or trust. Repeatable.",
    )
