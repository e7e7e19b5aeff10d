"""The commands list, show, tag and extend: services as a whole."""

import argparse
from collections.abc import Mapping
from typing import Any

from distributed_config.client.cli.arguments import (
    Command,
    add_environment,
    add_note,
    add_search,
    add_service,
)
from distributed_config.client.cli.documents import service_query
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import (
    print_done,
    print_facts,
    print_list,
)
from distributed_config.client.cli.server import Server
from distributed_config.client.cli.times import relative

# --- list


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_search(parser)
    add_environment(parser)
    parser.add_argument("--prefix", default="", help="Only services whose name begins so.")
    parser.add_argument(
        "--tag", action="append", default=[], help="Only services with this tag. Repeatable."
    )


def list_services(options: argparse.Namespace) -> int:
    """Print the services, by name."""
    query = {
        "search": options.search,
        "prefix": options.prefix,
        "tag": options.tag,
        "environment": options.environment,
    }
    with Server(options) as server:
        services = list(server.pages("/services", "services", **query))
    print_list(options, services, _list_row, "There is no such service.")
    return DONE


def _list_row(service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "service": service["name"],
        "current": "none" if service["current"] is None else service["current"],
        "versions": service["versions"],
        "definition": service["definition"],
        "tags": service["tags"],
        "updated": relative(service["updated_at"]),
    }


# --- show


def show(options: argparse.Namespace) -> int:
    """Print what a service is."""
    query = service_query(options)
    with Server(options) as server:
        service = server.get("/services/one", **query)
        secrets = server.get("/services/secrets", **query)["pointers"]
        versions = server.first(1, "/versions", "versions", **query)
    print_facts(options, {**service, "secrets": secrets}, _facts(service, secrets, versions))
    return DONE


def _facts(
    service: Mapping[str, Any], secrets: list[str], newest: list[dict[str, Any]]
) -> dict[str, Any]:
    current = service["current"]
    facts = {
        "Service": service["name"],
        "Current": "none: every version is disabled" if current is None else f"version {current}",
        "Versions": service["versions"],
        "Tags": service["tags"],
        "Definition": service["definition"],
        "Secrets": secrets,
    }
    # Only where it tells something, as the server has them.
    for key in ("extends", "environments"):
        if key in service:
            facts[key.capitalize()] = service[key]
    for version in newest:
        note = f', "{version["note"]}"' if version["note"] else ""
        facts["Newest"] = (
            f"version {version['number']}, by {version['author']}, "
            f"{relative(version['created_at'])}{note}"
        )
    return {**facts, "Created": relative(service["created_at"])}


# --- tag


def _add_tag(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("tags", nargs="*", help="Tags to add.")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="TAG", help="Take it away. Repeatable."
    )
    add_note(parser)


def tag(options: argparse.Namespace) -> int:
    """Print the tags of a service, or add and remove some."""
    with Server(options) as server:
        service = server.get("/services/one", **service_query(options))
        before = service["tags"]
        after = [each for each in before if each not in options.remove]
        after += [each for each in dict.fromkeys(options.tags) if each not in after]
        if after != before:
            service = server.put("/services/tags", {"tags": after}, **service_query(options))
    tags = " ".join(service["tags"]) or "none"
    is_shown = after == before and not options.tags and not options.remove
    sentence = tags if is_shown else f"Tags of {options.service}: {tags}."
    print_done(options, {"service": options.service, "tags": service["tags"]}, sentence)
    return DONE


# --- extend


def _add_extend(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("parents", nargs="*", help="The services to extend, most general first.")
    parser.add_argument("--none", action="store_true", help="Extend nothing any more.")
    add_note(parser)


def extend(options: argparse.Namespace) -> int:
    """Print what a service extends, or make it extend exactly the services that are named."""
    if options.none and options.parents:
        options.parser.error("give services, or --none; not both")
    with Server(options) as server:
        if not options.none and not options.parents:
            extends = server.get("/services/one", **service_query(options)).get("extends", [])
            return _print_extends(options, extends, " ".join(extends) or "nothing")
        body = {"extends": options.parents}
        server.patch("/services", body, **service_query(options))
    verb = "would extend" if options.dry_run else "extends"
    names = ", ".join(options.parents) or "nothing"
    return _print_extends(options, options.parents, f"{options.service} {verb} {names}.")


def _print_extends(options: argparse.Namespace, extends: list[str], sentence: str) -> int:
    print_done(options, {"service": options.service, "extends": extends}, sentence)
    return DONE


COMMANDS = {
    "list": Command(list_services, _add_list),
    "show": Command(show, add_service),
    "tag": Command(tag, _add_tag),
    "extend": Command(extend, _add_extend),
}
