"""The command audit, over HTTP."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed_config.client.cli.arguments import Action, Command, add_limit
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import print_done, print_list
from distributed_config.client.cli.server import API, Server
from distributed_config.client.cli.times import relative
from distributed_config.client.files import write_atomically

_FILTERS = ("actor", "service", "since", "until")
_FEW = 20


# --- list


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor", help="Only what this one did.")
    parser.add_argument("--kind", action="append", default=[], help="Only these. Repeatable.")
    parser.add_argument("--service", help="Only about this one; one that ends in / is a prefix.")
    parser.add_argument("--since", metavar="TIME", help="As 2026-11-21T09:30:00Z.")
    parser.add_argument("--until", metavar="TIME", help="As 2026-11-21T09:30:00Z.")


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_filters(parser)
    add_limit(parser, _FEW)


def list_entries(options: argparse.Namespace) -> int:
    """Print the newest entries of the audit log."""
    most = getattr(options, "limit", _FEW)
    with Server(options) as server:
        entries = server.first(most, "/audit", "entries", **_filters(options))
    print_list(options, entries, _row, "There is no such entry.")
    return DONE


def _filters(options: argparse.Namespace) -> dict[str, Any]:
    filters = {name: getattr(options, name, None) for name in _FILTERS}
    return {**filters, "kind": getattr(options, "kind", [])}


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": entry["id"],
        "time": relative(entry["time"]),
        "kind": entry["kind"],
        "actor": entry["actor"],
        "address": entry["address"],
        "about": entry["service"] or ", ".join(dict.fromkeys(_subjects(entry))),
        "revision": entry["revision"],
    }


def _subjects(entry: Mapping[str, Any]) -> list[str]:
    names = ("service", "definition", "subject")
    return [str(change[name]) for change in entry["changes"] for name in names if change[name]]


# --- export and head


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", help="A file; standard output unless given.")
    parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    _add_filters(parser)


def _export(options: argparse.Namespace) -> int:
    query = {**_filters(options), "format": options.format}
    with Server(options) as server:
        headers = {"Accept": "*/*"}
        body = server.send("GET", f"{API}/audit/export", query, headers=headers).body
    if options.target is None:
        sys.stdout.write(body.decode())
    else:
        write_atomically(Path(os.path.realpath(options.target)), body, 0o600)
    return DONE


def _head(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.get("/audit/head")
    print_done(options, answer, f"{answer['id']}:{answer['hash']}")
    return DONE


def _add_local(parser: argparse.ArgumentParser) -> None:
    # Read in distributed_config/cli.py; this is for the help.
    parser.add_argument(
        "--local", action="store_true", help="On this machine's database file, without a server."
    )
    parser.epilog = (
        "distconf audit verify and distconf audit prune work on this machine's database file alone."
    )


COMMANDS = {
    "audit": Command(
        list_entries,
        _add_local,
        actions={
            "list": Action("List the newest entries.", list_entries, _add_list),
            "export": Action("Write all entries, oldest first.", _export, _add_export),
            "head": Action("Print ID:HASH of the newest entry.", _head),
        },
    )
}
