"""The command definitions, over HTTP."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.client.cli.arguments import (
    Action,
    Command,
    add_note,
    add_search,
    add_service,
    add_yes,
)
from distributed_config.client.cli.asking import confirm
from distributed_config.client.cli.documents import service_query
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import (
    colour_diff,
    complain,
    print_done,
    print_list,
    print_value,
    would_be,
)
from distributed_config.client.cli.paging import page
from distributed_config.client.cli.server import API, Server
from distributed_config.client.cli.times import relative
from distributed_config.client.cli.writing import content_type_of, read_body, read_object

_PATH = "/definitions"
_MOST_PRINTED = 20
_WORDS = {True: "yes", False: "no", None: "could not be decided"}

# --- reading


def list_definitions(options: argparse.Namespace) -> int:
    """Print the definitions, by name."""
    with Server(options) as server:
        search = str(getattr(options, "search", ""))
        found = list(server.pages(_PATH, "definitions", search=search))
    print_list(options, found, _row, "There is no such definition.")
    return DONE


def _row(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "definition": definition["name"],
        "revision": definition["number"],
        "policy": definition["policy"],
        "services": definition["services"],
        "revised": relative(definition["revised_at"]),
        "by": definition["author"],
    }


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")


def _add_numbered(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--number", type=int, help="A revision; the newest unless given.")


def _show(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.get(f"{_PATH}/one", definition=options.name, number=options.number)
    print_value(options, answer["schema"])
    return DONE


def _history(options: argparse.Namespace) -> int:
    with Server(options) as server:
        found = list(server.pages(f"{_PATH}/revisions", "revisions", definition=options.name))
    print_list(options, found, _revision_row, "There is no revision.")
    return DONE


def _revision_row(revision: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "revision": revision["number"],
        "time": relative(revision["revised_at"]),
        "author": revision["author"],
        "forced": "forced" if revision["forced"] else "",
        "note": revision["note"],
    }


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("old", type=int)
    parser.add_argument("new", type=int)


def _diff(options: argparse.Namespace) -> int:
    with Server(options) as server:
        query = {"definition": options.name, "from": options.old, "to": options.new}
        answer = server.get(f"{_PATH}/diff", **query)
    if options.output != "table":
        print_value(options, answer)
        return DONE
    page(colour_diff(answer["text"]))
    for line in _compatibility(answer["compatibility"]):
        print(line, file=sys.stderr)
    return DONE


def _services(options: argparse.Namespace) -> int:
    query = {"definition": options.name, "where": options.where}
    with Server(options) as server:
        found = list(server.pages(f"{_PATH}/services", "services", **query))
    if options.output != "table":
        print_value(options, found)
    for service in found if options.output == "table" else []:
        print(service["name"])
    return DONE


def _add_services(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="On an indexed property, as db.port>=5000. Repeatable.",
    )


# --- trying


def _add_review(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("file", help="JSON, YAML or TOML.")


def _review(options: argparse.Namespace) -> int:
    options.body_file = options.file
    body = {"schema": read_object(options.file)}
    query = {"definition": options.name}
    with Server(options) as server:
        answer = server.send(
            "POST",
            f"{API}{_PATH}/review",
            query,
            body=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        ).json()
    if options.output != "table":
        print_value(options, answer)
    else:
        print("\n".join(_review_lines(answer)))
    return DONE if answer["allowed"] else REFUSED


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_numbered(parser)
    parser.add_argument("file", help="JSON, YAML or TOML.")


def _check(options: argparse.Namespace) -> int:
    options.body_file = options.file
    query = {"definition": options.name, "number": options.number}
    headers = {"Content-Type": content_type_of(options.file)}
    body = read_body(options.file)
    with Server(options) as server:
        path = f"{API}{_PATH}/check"
        answer = server.send("POST", path, query, body=body, headers=headers).json()
    if options.output != "table":
        print_value(options, answer)
    elif answer["valid"]:
        print(f"{options.file} conforms to {options.name!r}.")
    for problem in [] if options.output != "table" else answer["problems"]:
        complain(f"{options.file}: {_problem_line(problem)}")
    return DONE if answer["valid"] else REFUSED


def _review_lines(review: Mapping[str, Any]) -> Iterator[str]:
    yield f"Checked: {review['checked']}. Documents that would not conform: {review['unfit']}."
    for unfit in review["unfit_services"][:_MOST_PRINTED]:
        for problem in unfit["problems"]:
            place = f"{unfit['service']} version {unfit['version']}"
            yield f"  {place}: {_problem_line(problem)}"
    if review["unfit"] > _MOST_PRINTED:
        yield f"  … and {review['unfit'] - _MOST_PRINTED} more services"
    yield from _compatibility(review["compatibility"])


def _problem_line(problem: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (problem["pointer"], problem["message"])))


def _compatibility(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Backward compatible (old documents stay valid): {_WORDS[found['backward']]}."
    yield f"Forward compatible (new documents are valid by the old): {_WORDS[found['forward']]}."
    for reason in found["reasons"][:_MOST_PRINTED]:
        yield f"  {reason['pointer']}: {reason['message']}"


# --- changing


def _add_put(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("file", nargs="?", help="The schema: JSON, YAML or TOML.")
    parser.add_argument("--policy", choices=("none", "backward", "forward", "full"))
    parser.add_argument(
        "--index",
        action="append",
        default=[],
        metavar="PATH",
        help="A property to find services by. Repeatable.",
    )
    parser.add_argument("--no-indexes", action="store_true", help="Remove all of its indexes.")
    parser.add_argument(
        "--force", action="store_true", help="Even if it breaks something; needs a note."
    )
    add_note(parser)


def _put(options: argparse.Namespace) -> int:
    body: dict[str, Any] = {}
    if options.file:
        options.body_file = options.file
        body["schema"] = read_object(options.file)
    if options.policy:
        body["policy"] = options.policy
    if options.index or options.no_indexes:
        body["indexes"] = options.index
    force = "true" if options.force else None
    with Server(options) as server:
        answer = server.put(_PATH, body, definition=options.name, force=force)
    if answer["review"] and options.output == "table" and not options.quiet:
        print("\n".join(_review_lines(answer["review"])))
    number = answer["definition"]["number"]
    state = f"{would_be(options)} at revision {number}" if answer["changed"] else "is so already"
    print_done(options, answer, f"The definition {options.name!r} {state}.")
    return DONE


def _add_attach(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_service(parser)
    add_note(parser)


def _attach(options: argparse.Namespace) -> int:
    with Server(options) as server:
        path, body = "/services/definition", {"definition": options.name}
        answer = server.put(path, body, **service_query(options))
    verb = "would conform" if options.dry_run else "conforms"
    print_done(options, answer, f"The service {options.service!r} {verb} to {options.name!r}.")
    return DONE


def _add_detach(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    add_note(parser)


def _detach(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.delete("/services/definition", **service_query(options))
    verb = "would conform" if options.dry_run else "conforms"
    print_done(options, answer, f"The service {options.service!r} {verb} to no definition.")
    return DONE


def _add_delete(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument(
        "--cascade",
        choices=("detach", "delete"),
        help="What to do with the services that conform to it.",
    )
    add_note(parser)
    add_yes(parser)


def _delete(options: argparse.Namespace) -> int:
    what = f"The definition {options.name!r}"
    question = f"{what} will be deleted, and that cannot be undone. Go on?"
    if not options.dry_run and not confirm(options, question):
        return REFUSED
    with Server(options) as server:
        answer = server.delete(_PATH, definition=options.name, cascade=options.cascade)
    done = "deleted" if options.cascade == "delete" else "detached"
    count = len(answer["services"])
    sentence = f"{what} {would_be(options)} deleted; services {done}: {count}."
    print_done(options, answer, sentence)
    return DONE


def _add_local(parser: argparse.ArgumentParser) -> None:
    # Read in distributed_config/cli.py; this is for the help.
    parser.add_argument(
        "--local", action="store_true", help="On this machine's database file, without a server."
    )


COMMANDS = {
    "definitions": Command(
        list_definitions,
        _add_local,
        actions={
            "list": Action("List the definitions.", list_definitions, add_search),
            "show": Action("Write the schema of a definition.", _show, _add_numbered),
            "history": Action("List the revisions of one, newest first.", _history, _add_name),
            "diff": Action("Show how two revisions differ.", _diff, _add_diff),
            "services": Action("List the services that conform to one.", _services, _add_services),
            "review": Action("Say what a schema would do.", _review, _add_review),
            "check": Action("Check a file against a definition.", _check, _add_check),
            "put": Action("Create a definition, or revise it.", _put, _add_put),
            "attach": Action("Make a service conform to one.", _attach, _add_attach),
            "detach": Action("Make a service conform to none.", _detach, _add_detach),
            "delete": Action("Delete a definition.", _delete, _add_delete),
        },
    )
}
