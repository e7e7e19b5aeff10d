"""The lines that commands print about what they did."""

import argparse
import json
import os
import sys
from collections.abc import Iterator

_COLOURS = {"-": "\x1b[31m", "+": "\x1b[32m", "@": "\x1b[36m"}
_RESET = "\x1b[0m"


def print_write(options: argparse.Namespace, version: int, changed: bool) -> None:
    """Print the result of a write: a sentence for people, or JSON for programs."""
    if options.output != "table":
        result = {"service": options.service, "version": version, "changed": changed}
        print(json.dumps(result))
    elif not options.quiet:
        would = "would be " if options.dry_run else "is "
        state = (
            f"{would}at version {version}" if changed else f"is so already, at version {version}"
        )
        print(f"{options.service} {state}.")


def print_removed(options: argparse.Namespace, removed: list[str], more: int) -> None:
    """Print the keys that a new document no longer has, at most twenty, and how many ``more``.

    A file that lacks a key removes it, and that is easily overlooked.
    """
    if removed and options.output == "table" and not options.quiet:
        rest = f" and {more} more" if more else ""
        print(f"Keys that it no longer has: {', '.join(removed)}{rest}.")


def colour_diff(text: str) -> str:
    """Return a unified diff in colours, where standard output is a terminal that wants them.

    NO_COLOR is honoured, see https://no-color.org.
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return "".join(_coloured_lines(text))


def _coloured_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        colour = _COLOURS.get(line[:1], "")
        yield f"{colour}{line}{_RESET}\n" if colour else f"{line}\n"
