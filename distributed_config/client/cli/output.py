"""What commands print: tables, values for programs, and lines about what was done."""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from distributed_config.client.cli.paging import page
from distributed_config.client.cli.tables import table_lines
from distributed_config.client.cli.yaml_text import as_yaml

_BOLD, _RED, _GREEN, _CYAN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[36m"
_COLOURS = {"-": _RED, "+": _GREEN, "@": _CYAN}
_RESET = "\x1b[0m"
_STATES = {"current": _GREEN, "disabled": _RED, "deleted": _RED, "revoked": _RED, "expired": _RED}
# As a whole cell alone: notes and names may hold the same words.
_STATE = re.compile(r"(?<=  )(\* current|disabled|deleted|revoked|expired)(?=  |$)|(?<=^)\* ")

Row = Mapping[str, Any]


# --- values and lists


def print_value(options: argparse.Namespace, value: Any, *, indent: int | None = 2) -> None:
    """Print a value for programs: as YAML if ``options`` say so, and as JSON otherwise."""
    if options.output == "yaml":
        sys.stdout.write(as_yaml(value))
    else:
        print(json.dumps(value, indent=indent, ensure_ascii=False))


def print_list(
    options: argparse.Namespace,
    items: Sequence[Row],
    as_row: Callable[[Row], dict[str, Any]],
    none: str,
) -> None:
    """Print a list: a table for people, or everything that the server said for programs.

    ``none`` is the sentence for an empty list. It goes to standard error: a script that counts
    lines must not count it.
    """
    if options.output != "table":
        print_value(options, list(items))
    elif items:
        print_rows(options, [as_row(item) for item in items])
    elif not options.quiet:
        print(none, file=sys.stderr)


def print_rows(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Print a table, in colours and page by page on a terminal."""
    lines = table_lines(rows, with_header=not options.quiet)
    page("".join(_coloured_table(lines, options.quiet) if wants_colours() else lines))


def print_facts(options: argparse.Namespace, value: Any, facts: Mapping[str, Any]) -> None:
    """Print one thing: ``facts``, a line each, for people; ``value`` for programs."""
    if options.output != "table":
        print_value(options, value)
        return
    width = max(map(len, facts)) + 1
    for name, fact in facts.items():
        text = " ".join(map(str, fact)) if isinstance(fact, list) else fact
        print(f"{name + ':':{width}}  {'-' if text in ('', None) else text}")


# --- what was done


def print_done(options: argparse.Namespace, result: Any, sentence: str) -> None:
    """Print what was done: a sentence for people, the server's answer for programs."""
    if options.output != "table":
        print_value(options, result, indent=None)
    elif not options.quiet:
        print(sentence)


def print_write(options: argparse.Namespace, version: int, changed: bool) -> None:
    """Print the result of the write of a document."""
    state = f"{would_be(options)} at version {version}"
    if not changed:
        state = f"is so already, at version {version}"
    result = {"service": options.service, "version": version, "changed": changed}
    print_done(options, result, f"{name_of(options)} {state}.")


def would_be(options: argparse.Namespace) -> str:
    """Return the verb for what was done, or was only rehearsed."""
    return "would be" if options.dry_run else "is"


def name_of(options: argparse.Namespace) -> str:
    """Return the service, with its environment where that was said: ``web@prod``."""
    return f"{options.service}@{options.environment}" if options.environment else options.service


def print_removed(options: argparse.Namespace, removed: list[str], more: int) -> None:
    """Print the keys that a new document no longer has, at most twenty, and how many ``more``.

    A file that lacks a key removes it, and that is easily overlooked.
    """
    if removed and options.output == "table" and not options.quiet:
        rest = f" and {more} more" if more else ""
        print(f"Keys that it no longer has: {', '.join(removed)}{rest}.")


def complain(message: str) -> None:
    """Print a line on standard error, as errors are printed."""
    sys.stderr.write(f"distconf: {message}\n")


# --- colours


def wants_colours() -> bool:
    """Whether standard output is a terminal that wants colours.

    NO_COLOR is honoured, see https://no-color.org.
    """
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def colour_diff(text: str) -> str:
    """Return a unified diff in colours, where standard output wants them."""
    return "".join(_coloured_lines(text)) if wants_colours() else text


def _coloured_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        colour = _COLOURS.get(line[:1], "")
        yield f"{colour}{line}{_RESET}\n" if colour else f"{line}\n"


def _coloured_table(lines: Iterator[str], quiet: bool) -> Iterator[str]:
    if not quiet:
        yield f"{_BOLD}{next(lines).rstrip()}{_RESET}\n"
    for line in lines:
        yield _STATE.sub(_coloured_state, line)


def _coloured_state(found: "re.Match[str]") -> str:
    colour = _STATES.get(found[0].removeprefix("* "), _GREEN)
    return f"{colour}{found[0]}{_RESET}"
