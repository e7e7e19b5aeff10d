"""The commands that read: get, history, diff, watch, env and smoke."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from distributed_config.client import smoke
from distributed_config.client.cli.connect import open_client, profile_from
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import colour_diff
from distributed_config.client.cli.tables import history_rows, local_time, table_lines
from distributed_config.client.client import Client
from distributed_config.client.http.messages import Request
from distributed_config.client.sidecar.protected import environment
from distributed_config.client.sidecar.rendering import as_json, as_text
from distributed_config.errors import Invalid, Problem
from distributed_config.formats.env import as_lines
from distributed_config.wire import parse_position
from distributed_config.wire.paths import MISSING, find


def get(options: argparse.Namespace) -> int:
    """Print a configuration, or the value at one path of it."""
    selection = {
        "version": options.version,
        "as_of": options.as_of,
        "defaults": options.defaults,
    }
    with open_client(options) as client:
        # The server writes YAML: the standard library cannot.
        if options.output == "yaml" and not options.path:
            sys.stdout.write(client.text(options.service, format="yaml", **selection))
            return DONE
        configuration = client.get(options.service, **selection)
    if options.path:
        return _print_value(options, configuration.value)
    if options.output == "json":
        print(configuration.text)
    else:
        sys.stdout.write(as_json(configuration.value))
    return DONE


def _print_value(options: argparse.Namespace, document: Mapping[str, Any]) -> int:
    value = find(document, options.path)
    if value is MISSING:
        sys.stderr.write(f"distconf: {options.service!r} has nothing at {options.path}.\n")
        return REFUSED
    if options.output == "json":
        print(json.dumps(value, ensure_ascii=False))
    else:
        # Bare, as scripts want it: port=$(distconf get web db.port)
        print(as_text(value))
    return DONE


def history(options: argparse.Namespace) -> int:
    """Print the versions of a service, newest first."""
    with open_client(options) as client:
        versions = list(client.history(options.service))
    if options.output == "table":
        rows = history_rows(versions)
        sys.stdout.writelines(table_lines(rows, with_header=not options.quiet))
    else:
        print(json.dumps(versions, indent=2, ensure_ascii=False))
    return DONE


def diff(options: argparse.Namespace) -> int:
    """Print how two versions differ: a unified diff, or a JSON Patch for programs."""
    with open_client(options) as client:
        difference = client.diff(options.old, options.new, options.service)
    if options.output != "table":
        print(json.dumps(difference["patch"], ensure_ascii=False))
    else:
        sys.stdout.write(colour_diff(difference["text"]))
    if difference.get("truncated"):
        # On standard error: the output may be a patch that a program reads.
        print("The difference is too long; this is only the beginning of it.", file=sys.stderr)
    return DONE


def watch(options: argparse.Namespace) -> int:
    """Print every change as it happens, until the command is stopped."""
    with open_client(options) as client:
        _check_start(client, options.after)
        for revision in client.changes(options.after, services=options.services):
            if revision.reset:
                sys.stderr.write(
                    "distconf: the database was restored; read again what you need. "
                    f"To continue from here later: --after {revision.position}\n"
                )
            for change in revision.changes:
                is_json = options.output != "table"
                line = json.dumps(change, ensure_ascii=False) if is_json else _change_line(change)
                # Each at once: a reader in a pipe waits for it.
                print(line, flush=True)
    return DONE


def _change_line(change: Mapping[str, Any]) -> str:
    subject = change["service"] or change["definition"] or ""
    version = "" if change["version"] is None else f" {change['version']}"
    line = f"{change['revision']}  {local_time(change['time'])}  {change['kind']}  "
    return f"{line}{subject}{version}  {change['note']}".rstrip()


def _check_start(client: Client, after: str | None) -> None:
    """Raise Unreachable without a server, and Invalid if there is no revision ``after`` yet.

    ``Client.changes`` would wait for the server, and take such a revision for one of a database
    that was restored.
    """
    query = {"after": 0, "limit": 1}
    response = client.transport.send(Request("GET", "/api/v1/changes", query))
    newest = response.number("config-revision")
    position = parse_position(after or "0")
    # A position with an epoch may be from before a restore; the server answers that by itself.
    if position.epoch is None and position.revision > newest:
        message = (
            f"There is no revision {after}; the newest is {newest}. Leave it out to start now."
        )
        raise Invalid.from_problems([Problem("", message, "revision", "--after")])


def env(options: argparse.Namespace) -> int:
    """Print a configuration as variables for a shell."""
    with open_client(options) as client:
        document = client.get(options.service, defaults=options.defaults).value
    variables = environment(document, options.prefix, options.allow_env)
    sys.stdout.write(as_lines(variables, "export " if options.export else ""))
    return DONE


def run_smoke_checks(options: argparse.Namespace) -> int:
    """Run the smoke checks, which create services of their own and delete them."""
    profile = profile_from(options)
    with open_client(options) as client:
        # Without a server this is one error, and not one for each check.
        client.transport.send(Request("GET", "/healthz", {}))
    return DONE if smoke.run(profile.url, profile.token) else REFUSED
