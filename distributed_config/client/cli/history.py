"""The commands history, log, diff and watch: what was changed, and how."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.client.cli.arguments import (
    Command,
    add_environment,
    add_limit,
    add_service,
)
from distributed_config.client.cli.documents import service_query
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import (
    colour_diff,
    complain,
    name_of,
    print_list,
    print_rows,
    print_value,
)
from distributed_config.client.cli.paging import page
from distributed_config.client.cli.server import API, Server
from distributed_config.client.cli.tables import history_rows
from distributed_config.client.cli.times import local_time, relative
from distributed_config.client.http.messages import not_a_configuration_server
from distributed_config.errors import Invalid, Problem
from distributed_config.wire import parse_position

_FIRST_WINDOW = 100
_LARGEST_WINDOW = 10_000

# --- history


def history(options: argparse.Namespace) -> int:
    """Print the versions of a service, newest first."""
    query = service_query(options)
    with Server(options) as server:
        if options.limit:
            versions = server.first(options.limit, "/versions", "versions", **query)
        else:
            versions = list(server.pages("/versions", "versions", **query))
    if options.output == "table":
        print_rows(options, history_rows(versions))
    else:
        print_value(options, versions)
    return DONE


def _add_history(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("-n", "--limit", type=int, default=0, help="At most so many; all.")


# --- log


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("services", nargs="*", help="Names; one that ends in / is a prefix.")
    parser.add_argument("--kind", action="append", default=[], help="Only these. Repeatable.")
    add_environment(parser)
    add_limit(parser, 20)


def log(options: argparse.Namespace) -> int:
    """Print what was changed, newest first."""
    with Server(options) as server:
        changes = _newest_changes(server, options)
    print_list(options, changes, _log_row, "Nothing was changed.")
    return DONE


def _newest_changes(server: Server, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the newest changes, newest first.

    The journal is read forwards alone. So the last revisions are read, and where too few of them
    match, those before: each time more at once, because few seem to match then.
    """
    query = {
        "service": options.services,
        "kind": options.kind,
        "environment": options.environment,
    }
    end, window = _newest_revision(server), _FIRST_WINDOW
    found: list[dict[str, Any]] = []
    while end > 0 and len(found) < options.limit:
        begin = max(0, end - window)
        found += reversed(list(_changes_between(server, begin, end, query)))
        end, window = begin, min(window * 4, _LARGEST_WINDOW)
    return found[: options.limit]


def _changes_between(
    server: Server, begin: int, end: int, query: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the changes after revision ``begin`` and up to ``end``, oldest first."""
    more = True
    while more and begin < end:
        answer = server.get("/changes", after=begin, limit=500, **query)
        if not isinstance(answer.get("changes"), list):
            raise not_a_configuration_server()
        yield from (each for each in answer["changes"] if each["revision"] <= end)
        begin, more = answer["revision"], answer["more"]


def _newest_revision(server: Server) -> int:
    query = {"after": 0, "limit": 1}
    return server.send("GET", f"{API}/changes", query).number("config-revision")


def _log_row(change: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "revision": change["revision"],
        "time": relative(change["time"]),
        "actor": change["actor"],
        "what": change["kind"],
        "subject": _subject(change),
        "version": change["version"],
        "note": change["note"],
    }


def _subject(change: Mapping[str, Any]) -> str:
    if change["service"] and change.get("environment") not in {None, "default"}:
        return f"{change['service']}@{change['environment']}"
    return str(change["service"] or change["definition"] or change.get("subject") or "")


# --- diff


def _add_diff(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("old", type=int, nargs="?", help="A version; the one before the current.")
    parser.add_argument("new", type=int, nargs="?", help="A version; the current one.")
    parser.add_argument("--from", dest="source", metavar="ENVIRONMENT", help="An environment…")
    parser.add_argument("--to", dest="target", metavar="ENVIRONMENT", help="…and another one.")


def diff(options: argparse.Namespace) -> int:
    """Print how two versions or environments differ: a unified diff, or a JSON Patch."""
    if (options.source is None) != (options.target is None):
        options.parser.error("--from and --to go together: each names an environment")
    if options.source is not None and options.old is not None:
        options.parser.error("give two versions, or --from and --to; not both")
    with Server(options) as server:
        difference = server.get("/diff", **_diff_query(server, options))
    if not {"patch", "text"} <= difference.keys():
        raise not_a_configuration_server()
    if options.output == "json":
        print(json.dumps(difference["patch"], ensure_ascii=False))
    elif options.output == "yaml":
        print_value(options, difference["patch"])
    else:
        page(colour_diff(difference["text"]))
    if difference.get("truncated"):
        # On standard error: the output may be a patch that a program reads.
        print("The difference is too long; this is only the beginning of it.", file=sys.stderr)
    return DONE


def _diff_query(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    if options.source is not None:
        return {
            "service": options.service,
            "from": options.source,
            "to": options.target,
        }
    old, new = options.old, options.new
    if new is None:
        old, new = _newest_pair(server, options, old)
    return {**service_query(options), "from": old, "to": new}


def _newest_pair(server: Server, options: argparse.Namespace, old: int | None) -> tuple[int, int]:
    """Return ``old``, or the enabled version before the current one; and the current one."""
    query = service_query(options)
    # In small pages: the two are nearly always among the newest.
    versions = server.pages("/versions", "versions", limit=20, **query)
    enabled = (version["number"] for version in versions if version["enabled"])
    current = next(enabled, None)
    old = next(enabled, None) if old is None else old
    if current is None or old is None:
        message = f"{name_of(options)} has no two enabled versions. Name two: `distconf history`."
        raise Invalid.from_problems([Problem("", message, "versions", "VERSION")])
    return old, current


# --- watch


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("services", nargs="*", help="Names; one that ends in / is a prefix.")
    parser.add_argument(
        "--after",
        type=_position,
        metavar="REVISION[.EPOCH]",
        help="Changes after this position in the journal; from now on.",
    )
    add_environment(parser)


def _position(text: str) -> str:
    """Return ``text`` if it is a position in the journal. Raises ArgumentTypeError if not."""
    try:
        return str(parse_position(text))
    except ValueError:
        message = f"{text!r} is neither a revision, as 41, nor one with its epoch, as 41.2b4e3723"
        raise argparse.ArgumentTypeError(message) from None


def watch(options: argparse.Namespace) -> int:
    """Print every change as it happens, until the command is stopped."""
    with Server(options) as server:
        _check_start(server, options.after)
        changes = server.client.changes(
            options.after, services=options.services, environment=options.environment
        )
        for revision in changes:
            if revision.reset:
                complain(
                    "the database was restored; read again what you need. "
                    f"To continue from here later: --after {revision.position}"
                )
            for change in revision.changes:
                is_json = options.output != "table"
                line = json.dumps(change, ensure_ascii=False) if is_json else _change_line(change)
                # Each at once: a reader in a pipe waits for it.
                print(line, flush=True)
    return DONE


def _change_line(change: Mapping[str, Any]) -> str:
    version = "" if change["version"] is None else f" {change['version']}"
    line = f"{change['revision']}  {local_time(change['time'])}  {change['kind']}  "
    return f"{line}{_subject(change)}{version}  {change['note']}".rstrip()


def _check_start(server: Server, after: str | None) -> None:
    """Raise Unreachable without a server, and Invalid if there is no revision ``after`` yet.

    ``Client.changes`` would wait for the server, and take such a revision for one of a database
    that was restored.
    """
    newest = _newest_revision(server)
    position = parse_position(after or "0")
    # A position with an epoch may be from before a restore; the server answers that by itself.
    if position.epoch is None and position.revision > newest:
        message = (
            f"There is no revision {after}; the newest is {newest}. Leave it out to start now."
        )
        raise Invalid.from_problems([Problem("", message, "revision", "--after")])


COMMANDS = {
    "history": Command(history, _add_history),
    "log": Command(log, _add_log),
    "diff": Command(diff, _add_diff),
    "watch": Command(watch, _add_watch),
}
