"""The client commands: which one runs, and what its errors are to the terminal.

python -m distributed_config.client get web
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from distributed_config.client.cli.error_text import error_lines
from distributed_config.client.cli.exit_codes import REFUSED, SIGNALLED, UNREACHABLE, USAGE
from distributed_config.client.cli.parser import build_parser
from distributed_config.client.cli.streams import (
    describe_encoding_error,
    describe_os_error,
    drop_output,
    open_closed_streams,
)
from distributed_config.client.cli.writing import request_file
from distributed_config.errors import DistconfError, NeverLoaded, Unreachable


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # a line for each end
    """Run a command. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no server answered."""
    open_closed_streams()
    parser = build_parser()
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            # Through the command's parser: parse_args would show the usage of distconf itself.
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        if options.command is None:
            parser.print_help()
            return USAGE
        code: int = options.run(options)
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


def print_help() -> None:
    """Print what the client commands are."""
    build_parser().print_help()


def _print_error(options: argparse.Namespace, error: DistconfError, code: int) -> int:
    for line in error_lines(error, request_file(options)):
        sys.stderr.write(f"{line}\n")
    return code
