"""The command tokens."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from distributed_config.client.cli.arguments import (
    Action,
    Command,
    add_note,
    add_search,
    add_yes,
)
from distributed_config.client.cli.asking import confirm
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import (
    print_done,
    print_list,
    print_value,
    would_be,
)
from distributed_config.client.cli.rights import (
    add_changed_rights,
    changed_rights,
    rights,
    rights_row,
)
from distributed_config.client.cli.server import Server
from distributed_config.client.cli.times import relative

_DAY = 24 * 3600


# --- list


def list_tokens(options: argparse.Namespace) -> int:
    """Print the tokens that the actor may see, oldest first."""
    with Server(options) as server:
        search = str(getattr(options, "search", ""))
        tokens = list(server.pages("/tokens", "tokens", search=search))
    print_list(options, tokens, _row, "There is no such token.")
    return DONE


def _row(token: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": token["id"],
        "name": token["name"],
        "hint": f"{token['hint']}…",
        "user": token["user"],
        **rights_row(token),
        "state": _state(token),
        "used": relative(token["used_at"]) or "never",
    }


def _state(token: Mapping[str, Any]) -> str:
    if token["revoked_at"]:
        return "revoked"
    end = token["expires_at"]
    if end is None:
        return "good"
    is_over = datetime.fromisoformat(end) <= datetime.now(UTC)
    return "expired" if is_over else f"ends {relative(end)}"


# --- create


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="The program, or what it is for.")
    parser.add_argument("--personal", action="store_true", help="It acts as you; log in first.")
    add_changed_rights(parser)
    parser.add_argument("--days", type=float, help="Days until it expires; never unless given.")
    add_note(parser)


def _create(options: argparse.Namespace) -> int:
    if not options.role and not options.personal:
        options.parser.error("give --role, or --personal for a token that may do what you may")
    seconds = None if options.days is None else int(options.days * _DAY)
    body = {"name": options.name, "personal": options.personal, "seconds": seconds}
    # An empty role is for a personal token: it may do all that its owner may.
    with Server(options) as server:
        answer = server.post("/tokens", {**body, **rights(options), "role": options.role or ""})
    return _print_secret(options, answer)


# --- change


def _add_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)
    parser.add_argument("--name", help="Its new name.")
    add_changed_rights(parser)
    parser.add_argument("--days", type=float, help="Days until it expires, from now on.")
    parser.add_argument("--for-ever", action="store_true", help="It never expires.")
    add_note(parser)


def _change(options: argparse.Namespace) -> int:
    body = changed_rights(options)
    if options.name:
        body["name"] = options.name
    if options.days is not None or options.for_ever:
        body["seconds"] = None if options.for_ever else int(options.days * _DAY)
    if not body:
        options.parser.error("say what changes, as with --role")
    with Server(options) as server:
        answer = server.patch("/tokens", body, id=options.id)
    print_done(options, answer, f"The token {options.id} {would_be(options)} changed.")
    return DONE


# --- revoke and rotate


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)
    add_note(parser)
    add_yes(parser)


def _revoke(options: argparse.Namespace) -> int:
    question = f"The token {options.id} will be refused from now on. Go on?"
    if not options.dry_run and not confirm(options, question):
        return REFUSED
    with Server(options) as server:
        answer = server.delete("/tokens", id=options.id)
    verb = would_be(options) if answer["changed"] else "was already"
    print_done(options, answer, f"The token {options.id} {verb} revoked.")
    return DONE


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)
    parser.add_argument(
        "--overlap",
        type=int,
        default=3600,
        help="Seconds for which the old one stays good; 3600.",
    )
    add_note(parser)


def _rotate(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.post("/tokens/rotate", {"overlap": options.overlap}, id=options.id)
    return _print_secret(options, answer)


def _print_secret(options: argparse.Namespace, answer: dict[str, Any]) -> int:
    if options.output != "table":
        print_value(options, answer)
        return DONE
    # Alone on standard output, so that `distconf tokens create … > file` writes the token.
    if options.dry_run:
        print(f"The token {answer['name']} would be created.")
        return DONE
    print(f"Created token id={answer['id']}; it is not shown again:", file=sys.stderr)
    print(answer["token"])
    return DONE


COMMANDS = {
    "tokens": Command(
        list_tokens,
        actions={
            "list": Action("List the tokens.", list_tokens, add_search),
            "create": Action("Create a token, and print it this once.", _create, _add_create),
            "change": Action("Change a token. The rest stays.", _change, _add_change),
            "rotate": Action("Replace a token by a new one.", _rotate, _add_rotate),
            "revoke": Action("Revoke a token at once.", _revoke, _add_revoke),
        },
    )
}
