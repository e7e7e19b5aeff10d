"""Names and addresses of accounts: what they may look like."""

import re
import unicodedata

from sqlalchemy import select

from distributed_config.errors import Invalid, Problem
from distributed_config.models import OrganisationRow, RoleRow
from distributed_config.services.access import lookalikes
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.permissions import ROLES

_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")


_NAME = re.compile(r"[\w][\w .-]{0,99}")


def normalise_email(email: str) -> str:
    return unicodedata.normalize("NFC", email).lower()


def check_account_name(name: str, pointer: str) -> str:
    name = unicodedata.normalize("NFC", name)
    problems = name_problems(name, pointer)
    if problems:
        raise Invalid.from_problems(problems)
    return name


def name_problems(name: str, pointer: str) -> list[Problem]:
    if not _NAME.fullmatch(name) or name != name.strip():
        message = "A name has up to 100 letters, digits, spaces, '_', '.' or '-'."
        return [Problem(pointer, message, "name")]
    fault = lookalikes.fault_of_spelling(name)
    return [] if fault is None else [Problem(pointer, fault, "name")]


def role_name_problems(transaction: Transaction, name: str) -> list[Problem]:
    """What is wrong with the name of a new role, which nobody must take for another one."""
    query = select(RoleRow.name).where(RoleRow.organisation_id == transaction.organisation)
    problems = name_problems(name, "/name")
    if name in ROLES:
        message = f"{name!r} is a role that every organisation has. Take another name."
        return [*problems, Problem("/name", message, "reserved")]
    other = lookalikes.alike(name, (*ROLES, *transaction.connection.scalars(query)))
    if other is not None:
        message = f"{name!r} would be taken for the role {other!r}. Take another name."
        problems.append(Problem("/name", message, "reserved"))
    return problems


def refuse_alike(transaction: Transaction, name: str, itself: str = "") -> None:
    """Raises Invalid if ``name`` would be taken for another organisation than ``itself``."""
    names = transaction.connection.scalars(select(OrganisationRow.name))
    other = lookalikes.alike(name, (each for each in names if each != itself))
    if other is not None:
        message = f"{name!r} would be taken for the organisation {other!r}. Take another name."
        raise Invalid.from_problems([Problem("/name", message, "name")])


def email_problems(email: str) -> list[Problem]:
    # What cannot be seen would make one address look like another.
    if _EMAIL.fullmatch(email) and email.isprintable():
        return []
    return [Problem("/email", "It must be an address, as ada@example.org.", "email")]
