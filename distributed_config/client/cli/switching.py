"""The commands rollback, disable, enable and delete: which versions there are to serve."""

import argparse

from distributed_config.client.cli.arguments import (
    Command,
    add_note,
    add_service,
    add_write,
    add_yes,
)
from distributed_config.client.cli.asking import confirm
from distributed_config.client.cli.documents import read_document, service_query
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import (
    name_of,
    print_done,
    print_write,
    would_be,
)
from distributed_config.client.cli.server import API, Server
from distributed_config.client.client import Written, written

# --- rollback


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("to", type=int, nargs="?", help="The version to copy; the one before.")
    add_write(parser)


def rollback(options: argparse.Namespace) -> int:
    """Append a copy of an older version."""
    with Server(options) as server:
        query = service_query(options, to=options.to)
        response = server.write("POST", f"{API}/rollback", query, if_match=options.if_match)
    result = written(response)
    print_write(options, result.version, result.changed)
    return DONE


# --- disable and enable


def _add_disable(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("version", type=int, nargs="?", help="The current one unless given.")
    add_write(parser)


def disable(options: argparse.Namespace) -> int:
    """Turn a version off."""
    with Server(options) as server:
        number = options.version
        if number is None:
            current = read_document(server, options)
            # What was current a moment ago, and not what somebody publishes meanwhile.
            number, options.if_match = current.version, options.if_match or current.etag
        return _print_switch(options, _switch(server, options, number, False), "disabled")


def _add_enable(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("version", type=int)
    add_write(parser)


def enable(options: argparse.Namespace) -> int:
    """Turn a version on."""
    with Server(options) as server:
        return _print_switch(options, _switch(server, options, options.version, True), "enabled")


def _switch(server: Server, options: argparse.Namespace, number: int, on: bool) -> Written:
    # A switch is sent as it is meant, and not as "the other one": sent twice, it is the same.
    query = service_query(options, version=number, enabled="true" if on else "false")
    return written(server.write("PATCH", "/config", query, if_match=options.if_match))


def _print_switch(options: argparse.Namespace, result: Written, state: str) -> int:
    verb = would_be(options) if result.changed else "was already"
    now = "no version is" if result.current is None else f"version {result.current} is"
    answer = {
        "service": options.service,
        "version": result.version,
        "current": result.current,
        "changed": result.changed,
    }
    sentence = f"Version {result.version} of {name_of(options)} {verb} {state}; {now} current."
    print_done(options, answer, sentence)
    return DONE


# --- delete


def _add_delete(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("--version", type=int, help="Only the document of this disabled version.")
    parser.add_argument(
        "--disable-first", action="store_true", help="Disable all of its versions before."
    )
    add_note(parser)
    add_yes(parser)


def delete(options: argparse.Namespace) -> int:
    """Delete a service in an environment, or the document of one version."""
    if options.disable_first and (options.version is not None or options.dry_run):
        options.parser.error("--disable-first goes with neither --version nor --dry-run")
    what = name_of(options)
    if options.version is not None:
        what = f"Version {options.version} of {what}"
    question = f"{what} will be deleted, and that cannot be undone. Go on?"
    if not options.dry_run and not confirm(options, question):
        return REFUSED
    with Server(options) as server:
        if options.disable_first:
            _disable_all(server, options)
        query = service_query(options, version=options.version)
        result = server.write("DELETE", "/config", query).json()
    print_done(options, result, f"{what} {would_be(options)} deleted.")
    return DONE


def _disable_all(server: Server, options: argparse.Namespace) -> None:
    versions = list(server.pages("/versions", "versions", **service_query(options)))
    # The oldest first: readers keep what is current until the very end.
    for number in sorted(version["number"] for version in versions if version["enabled"]):
        query = service_query(options, version=number, enabled="false")
        server.write("PATCH", "/config", query)


COMMANDS = {
    "rollback": Command(rollback, _add_rollback),
    "disable": Command(disable, _add_disable),
    "enable": Command(enable, _add_enable),
    "delete": Command(delete, _add_delete),
}
