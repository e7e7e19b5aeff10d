"""The commands organisations, users, memberships and roles."""

import argparse
import getpass
import sys
from collections.abc import Mapping
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
from distributed_config.client.cli.output import complain, print_done, print_list, would_be
from distributed_config.client.cli.rights import (
    add_changed_rights,
    add_rights,
    changed_rights,
    rights,
    rights_row,
)
from distributed_config.client.cli.server import Server
from distributed_config.client.cli.times import relative
from distributed_config.errors import Invalid, Problem

# --- organisations


def list_organisations(options: argparse.Namespace) -> int:
    """Print the organisations that the actor may know of."""
    with Server(options) as server:
        found = list(server.pages("/organisations", "organisations", search=_search(options)))
    print_list(options, found, _organisation_row, "There is no such organisation.")
    return DONE


def _organisation_row(organisation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": organisation["id"],
        "organisation": organisation["name"],
        "created": relative(organisation["created_at"]),
    }


def _create_organisation(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.post("/organisations", {"name": options.name})
    return _done(options, answer, f"The organisation {options.name} {would_be(options)} created.")


def _rename_organisation(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.patch("/organisations", {"name": options.new}, name=options.name)
    return _done(options, answer, f"{options.name} {would_be(options)} called {options.new} now.")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    add_note(parser)


def _add_rename(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("new", help="Its new name.")
    add_note(parser)


# --- users


def list_users(options: argparse.Namespace) -> int:
    """Print the users of an organisation."""
    with Server(options) as server:
        users = list(server.pages("/users", "users", search=_search(options)))
    print_list(options, users, _user_row, "There is no such user.")
    return DONE


def _user_row(user: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": user["id"],
        "email": user["email"],
        **rights_row(user),
        "state": "active" if user["active"] else "disabled",
        "created": relative(user["created_at"]),
    }


def _add_create_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_rights(parser)
    parser.add_argument(
        "--no-password", action="store_true", help="They log in with the identity provider."
    )
    add_note(parser)


def _create_user(options: argparse.Namespace) -> int:
    password = "" if options.no_password else _read_password()
    with Server(options) as server:
        body = {"email": options.email, "password": password, **rights(options)}
        answer = server.post("/users", body)
    return _done(options, answer, f"The user {options.email} {would_be(options)} created.")


def _add_change_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_changed_rights(parser)
    parser.add_argument(
        "--active", action=argparse.BooleanOptionalAction, help="Whether they may log in."
    )
    parser.add_argument(
        "--must-change", action=argparse.BooleanOptionalAction, help="Their password, at once."
    )
    add_note(parser)


def _change_user(options: argparse.Namespace) -> int:
    switches = {name: getattr(options, name) for name in ("active", "must_change")}
    body = {**changed_rights(options), **{n: on for n, on in switches.items() if on is not None}}
    if not body:
        options.parser.error("say what changes, as with --role")
    return _send_user_change(options, body, "changed")


def _add_email(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_note(parser)


def _set_password(options: argparse.Namespace) -> int:
    return _send_user_change(options, {"password": _read_password()}, "given another password")


def _send_user_change(options: argparse.Namespace, body: dict[str, Any], done: str) -> int:
    with Server(options) as server:
        answer = server.patch("/users", body, id=_id_of(server, options.email))
    return _done(options, answer, f"{options.email} {would_be(options)} {done}.")


def _add_remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_note(parser)
    add_yes(parser)


def _remove_user(options: argparse.Namespace) -> int:
    if not _may_remove(options, f"The user {options.email}, with their tokens,"):
        return REFUSED
    with Server(options) as server:
        answer = server.delete("/users", id=_id_of(server, options.email))
    return _done(options, answer, f"{options.email} {would_be(options)} removed.")


def _id_of(server: Server, email: str) -> int:
    """Return the id of a user. Raises Invalid if the organisation has none with this address."""
    for user in server.pages("/users", "users", search=email):
        if user["email"].casefold() == email.casefold():
            return int(user["id"])
    message = "There is no such user here. `distconf users` lists all."
    raise Invalid.from_problems([Problem("", message, "missing", email)])


def _read_password() -> str:
    """Ask for a password on a terminal, twice; elsewhere read a line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    while True:
        password = getpass.getpass("Password: ")
        if password == getpass.getpass("The password again: "):
            return password
        complain("these were two different ones; once more.")


# --- memberships


def list_memberships(options: argparse.Namespace) -> int:
    """Print who belongs to which organisation."""
    with Server(options) as server:
        email = getattr(options, "email", None) or ""
        found = list(server.pages("/memberships", "memberships", email=email))
    print_list(options, found, _membership_row, "There is no such membership.")
    return DONE


def _membership_row(membership: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "email": membership["email"],
        "organisation": membership["organisation"],
        **rights_row(membership),
    }


def _add_optional_email(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", nargs="?", help="Only theirs, in all organisations.")


def _add_add_member(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_rights(parser)
    add_note(parser)


def _add_member(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.post("/memberships", {"email": options.email, **rights(options)})
    return _done(options, answer, f"{options.email} {would_be(options)} a member.")


def _add_change_member(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    add_changed_rights(parser)
    add_note(parser)


def _change_member(options: argparse.Namespace) -> int:
    body = changed_rights(options)
    if not body:
        options.parser.error("say what changes, as with --role")
    with Server(options) as server:
        answer = server.patch("/memberships", body, email=options.email)
    return _done(options, answer, f"{options.email} {would_be(options)} changed.")


def _remove_member(options: argparse.Namespace) -> int:
    if not _may_remove(options, f"The member {options.email}, with their tokens,"):
        return REFUSED
    with Server(options) as server:
        answer = server.delete("/memberships", email=options.email)
    return _done(options, answer, f"{options.email} {would_be(options)} removed.")


# --- roles


def list_roles(options: argparse.Namespace) -> int:
    """Print the roles, and what each may do."""
    with Server(options) as server:
        roles = list(server.pages("/roles", "roles", search=_search(options)))
    print_list(options, roles, _role_row, "There is no such role.")
    return DONE


def _role_row(role: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "role": role["name"],
        "kind": "own" if role["own"] else "built in",
        "permissions": role["permissions"],
    }


def _add_set_role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("permissions", nargs="+", metavar="PERMISSION", help="As config:read.")
    add_note(parser)


def _set_role(options: argparse.Namespace) -> int:
    with Server(options) as server:
        answer = server.put("/roles", {"permissions": options.permissions}, name=options.name)
    count = len(answer["permissions"])
    return _done(options, answer, f"The role {options.name} has {count} permissions.")


def _add_delete_role(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_yes(parser)


def _delete_role(options: argparse.Namespace) -> int:
    if not _may_remove(options, f"The role {options.name}"):
        return REFUSED
    with Server(options) as server:
        answer = server.delete("/roles", name=options.name)
    return _done(options, answer, f"The role {options.name} {would_be(options)} deleted.")


# --- all of them


def _may_remove(options: argparse.Namespace, what: str) -> bool:
    return options.dry_run or confirm(options, f"{what} will be removed. Go on?")


def _search(options: argparse.Namespace) -> str:
    return str(getattr(options, "search", ""))


def _done(options: argparse.Namespace, answer: Any, sentence: str) -> int:
    print_done(options, answer, sentence)
    return DONE


COMMANDS = {
    "organisations": Command(
        list_organisations,
        actions={
            "list": Action("List the organisations.", list_organisations, add_search),
            "create": Action("Create an organisation.", _create_organisation, _add_name),
            "rename": Action("Give one another name.", _rename_organisation, _add_rename),
        },
    ),
    "users": Command(
        list_users,
        actions={
            "list": Action("List the users of the organisation.", list_users, add_search),
            "create": Action(
                "Create a user; the password is asked for, or read from standard input.",
                _create_user,
                _add_create_user,
            ),
            "change": Action("Change a user's rights or state.", _change_user, _add_change_user),
            "password": Action("Give a user another password.", _set_password, _add_email),
            "remove": Action("Remove a user and their tokens.", _remove_user, _add_remove),
        },
    ),
    "memberships": Command(
        list_memberships,
        actions={
            "list": Action("List memberships.", list_memberships, _add_optional_email),
            "add": Action(
                "Make a user of another organisation a member.", _add_member, _add_add_member
            ),
            "change": Action("Change a member's rights.", _change_member, _add_change_member),
            "remove": Action("Remove a member and their tokens.", _remove_member, _add_remove),
        },
    ),
    "roles": Command(
        list_roles,
        actions={
            "list": Action("List the roles.", list_roles, add_search),
            "set": Action("Create a role, or give it other permissions.", _set_role, _add_set_role),
            "delete": Action("Delete a role that nobody has.", _delete_role, _add_delete_role),
        },
    ),
}
