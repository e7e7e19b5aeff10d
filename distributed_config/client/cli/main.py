"""The client commands: which one runs, and what its errors are to the terminal.

python -m distributed_config.client get web
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType

from distributed_config.client.cli.arguments import Command, Parser, build_parser
from distributed_config.client.cli.commands import COMMANDS, COMPLETE, Line
from distributed_config.client.cli.error_text import error_lines
from distributed_config.client.cli.exit_codes import (
    DONE,
    REFUSED,
    SIGNALLED,
    UNREACHABLE,
    USAGE,
)
from distributed_config.client.cli.streams import (
    describe_encoding_error,
    describe_os_error,
    drop_output,
    open_closed_streams,
)
from distributed_config.errors import DistconfError, NeverLoaded, Unreachable

_HELP = ("help", "-h", "--help")
_NONE: Mapping[str, Line] = {}


def main(arguments: Sequence[str] | None = None, operators: Mapping[str, Line] = _NONE) -> int:  # noqa: PLR0911  # a line for each end
    """Run a command. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no server answered.

    ``operators`` are the commands of the server's own machine, which help and completion show
    where they are installed.
    """
    open_closed_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = argparse.Namespace()
    try:
        code = _run_word(words, options, operators)
        # Here, and not at the interpreter's end: a failure can still be reported.
        sys.stdout.flush()
    except NeverLoaded as error:
        is_refused = error.reason is not None and not isinstance(error.reason, Unreachable)
        return _print_error(options, error, REFUSED if is_refused else UNREACHABLE)
    except Unreachable as error:
        return _print_error(options, error, UNREACHABLE)
    except DistconfError as error:
        return _print_error(options, error, REFUSED)
    except BrokenPipeError:
        # As with `distconf history web | head`: the reader has enough.
        drop_output()
        return SIGNALLED + signal.SIGPIPE
    except OSError as error:
        sys.stderr.write(f"distconf: {describe_os_error(error)}\n")
        return REFUSED
    except UnicodeEncodeError as error:
        sys.stderr.write(f"distconf: {describe_encoding_error(error)}\n")
        return REFUSED
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    return code


# --- which command


def _run_word(words: list[str], options: argparse.Namespace, operators: Mapping[str, Line]) -> int:
    """Run what the first word names. The parsed arguments are put into ``options``."""
    word = words[0] if words else ""
    if word in _HELP and words[1:2] and words[1] in COMMANDS:
        words = [*words[1:], "--help"]
        word = words[0]
    if not word or word in _HELP:
        _module("help_page").print_page({**COMMANDS, **operators})
        return DONE if word else USAGE
    if word == "--version":
        print(f"distconf, version {importlib.import_module('distributed_config').__version__}")
        return DONE
    if word == COMPLETE:
        _module("completing").print_words(words[1:], {**COMMANDS, **operators}, parser_of)
        return DONE
    if word not in COMMANDS:
        _module("suggestions").complain_about_command(word, {**COMMANDS, **operators})
        return USAGE
    return _run_command(words, options)


def _run_command(words: list[str], options: argparse.Namespace) -> int:
    parser = parser_of(words[0])
    _, unknown = parser.parse_known_args(words[1:], options)
    if unknown:
        # Through the command's parser: parse_args would show the usage of distconf itself.
        options.parser.refuse_unknown(unknown)
    code: int = options.run(options)
    return code


def parser_of(name: str) -> Parser:
    """Return the parser of a command; only its module is loaded."""
    command: Command = _module(COMMANDS[name].module).COMMANDS[name]
    return build_parser(name, COMMANDS[name].help, command)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"distributed_config.client.cli.{name}")


# --- what went wrong


def _print_error(options: argparse.Namespace, error: DistconfError, code: int) -> int:
    for line in error_lines(error, getattr(options, "body_file", "")):
        sys.stderr.write(f"{line}\n")
    # Loaded only where something failed: it compares names, and asks the server for some.
    with suppress(DistconfError):  # a hint is no reason for another error
        for line in _module("suggestions").hints(options, error):
            sys.stderr.write(f"{line}\n")
    return code
