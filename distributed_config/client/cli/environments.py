"""The commands environments, explain and promote."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.client.cli.arguments import (
    Action,
    Command,
    add_note,
    add_service,
    add_yes,
)
from distributed_config.client.cli.asking import confirm
from distributed_config.client.cli.documents import service_query
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import (
    print_done,
    print_list,
    print_value,
    would_be,
)
from distributed_config.client.cli.promotion import print_difference
from distributed_config.client.cli.server import Server
from distributed_config.client.cli.times import relative
from distributed_config.wire.paths import parts_of, pointer_of

_PATH = "/environments"

# --- environments


def list_environments(options: argparse.Namespace) -> int:
    """Print the environments, in their order."""
    with Server(options) as server:
        environments = server.get(_PATH)["environments"]
    print_list(options, environments, _environment_row, "There is no environment.")
    return DONE


def _environment_row(environment: Mapping[str, Any]) -> dict[str, Any]:
    protected = "protected" if environment["protected"] else ""
    if environment.get("approvals"):
        protected += f", {environment['approvals']} approvals"
    return {
        "environment": environment["name"],
        "inherits": environment["inherits"],
        "protected": protected,
        "description": environment["description"],
        "created": relative(environment["created_at"]),
    }


def _add_facts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--description", help="What it is for.")
    parser.add_argument("--inherits", metavar="ENVIRONMENT", help="What it builds on; default.")
    parser.add_argument("--alone", action="store_true", help="It inherits from no other one.")
    parser.add_argument(
        "--protected",
        action=argparse.BooleanOptionalAction,
        help="Whether publishing into it takes config:publish.",
    )
    parser.add_argument("--position", type=int, help="Its place in lists.")
    add_note(parser)


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is said about an environment; what is left out stays as it is."""
    if options.alone and options.inherits:
        options.parser.error("give --inherits or --alone; not both")
    names = ("description", "inherits", "protected", "position")
    values = {name: getattr(options, name) for name in names}
    facts = {name: value for name, value in values.items() if value is not None}
    return {**facts, "inherits": None} if options.alone else facts


def _create(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.post(_PATH, {"name": options.name, **_facts(options)})
    return _print_environment(options, answer, "created")


def _change(options: argparse.Namespace) -> int:
    facts = _facts(options)
    if not facts:
        options.parser.error("say what changes, as with --description")
    with Server(options) as server:
        answer = server.patch(_PATH, facts, name=options.name)
    return _print_environment(options, answer, "changed")


def _add_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    add_note(parser)
    add_yes(parser)


def _delete(options: argparse.Namespace) -> int:
    question = f"The environment {options.name} will be deleted. Go on?"
    if not options.dry_run and not confirm(options, question):
        return REFUSED
    with Server(options) as server:
        answer = server.delete(_PATH, name=options.name)
    return _print_environment(options, answer, "deleted")


def _print_environment(options: argparse.Namespace, answer: Any, state: str) -> int:
    sentence = f"The environment {options.name} {would_be(options)} {state}."
    print_done(options, answer, sentence)
    return DONE


# --- explain


def _add_explain(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("pointer", nargs="?", help="Only what is here, as /log or log.level.")


def explain(options: argparse.Namespace) -> int:
    """Print where each value of a configuration comes from."""
    pointer = options.pointer
    if pointer and not pointer.startswith("/"):
        pointer = pointer_of(parts_of(pointer))
    with Server(options) as server:
        answer = server.get("/explain", **service_query(options, pointer=pointer))
    if options.output == "table":
        print_list(options, answer["values"], _explained_row, "There is no value.")
    else:
        print_value(options, answer)
    return DONE


def _explained_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": entry["pointer"] or "/",
        "value": json.dumps(entry["value"], ensure_ascii=False),
        "from": ", ".join(_origin(entry["from"], entry.get("use"))),
        "instead of": "; ".join(map(_overridden, entry["overrides"])),
    }


def _origin(source: Mapping[str, Any], use: str | None) -> Iterator[str]:
    """Yield the parts of a value's origin; ``use`` is the reference that led there, if any."""
    yield _layer(source)
    if use:
        yield f"by the reference {use}"
    yield f"by {source['author']}"
    yield relative(source["time"])
    if source["note"]:
        yield f'"{source["note"]}"'


def _overridden(entry: Mapping[str, Any]) -> str:
    return f"{json.dumps(entry['value'], ensure_ascii=False)} of {_layer(entry)}"


def _layer(source: Mapping[str, Any]) -> str:
    return f"{source['service']}@{source['environment']}:{source['version']}"


# --- promote


def _add_promote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("services", nargs="+", metavar="SERVICE")
    parser.add_argument("--from", dest="source", metavar="ENVIRONMENT", required=True)
    parser.add_argument("--to", dest="target", metavar="ENVIRONMENT", required=True)
    parser.add_argument(
        "--pointer",
        action="append",
        default=[],
        help="Only what is here, as /log/level; the whole document otherwise. Repeatable.",
    )
    add_note(parser)
    add_yes(parser)


def promote(options: argparse.Namespace) -> int:
    """Show what would change, ask, and copy the documents as one revision."""
    body: dict[str, Any] = {
        "services": options.services,
        "from": options.source,
        "to": options.target,
    }
    if options.pointer:
        body["pointers"] = options.pointer
    names = ", ".join(options.services)
    question = f"Copy {names} from {options.source} to {options.target}?"
    with Server(options) as server:
        if options.output == "table" and not options.quiet:
            print_difference(server, options)
        if not options.dry_run and not confirm(options, question):
            return REFUSED
        answer = server.post("/promotions", body)
    changed = [each for each in answer["changes"] if each["changed"]]
    print_done(options, answer, "\n".join(_promoted_lines(options, changed)))
    return DONE


def _promoted_lines(options: argparse.Namespace, changed: list[dict[str, Any]]) -> Iterator[str]:
    if not changed:
        yield f"{options.target} is like {options.source} already."
    for each in changed:
        verb = would_be(options)
        yield f"{each['service']}@{options.target} {verb} at version {each['version']}."


COMMANDS = {
    "environments": Command(
        list_environments,
        actions={
            "list": Action("List the environments.", list_environments),
            "create": Action("Create an environment.", _create, _add_facts),
            "change": Action("Change an environment. The rest stays.", _change, _add_facts),
            "delete": Action("Delete an environment that is empty.", _delete, _add_delete),
        },
    ),
    "explain": Command(explain, _add_explain),
    "promote": Command(promote, _add_promote),
}
