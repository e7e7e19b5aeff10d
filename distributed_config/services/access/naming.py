"""The rules for names and e-mail addresses of accounts."""

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
    """Return an address as it is stored: one account per address, however it is typed."""
    # Servers may tell apart the case of the local part (RFC 5321); none in use does.
    return unicodedata.normalize("NFC", email).lower()


def check_account_name(name: str, pointer: str) -> str:
    """Return ``name`` as it is stored. Raises Invalid with ``pointer`` as its place."""
    name = unicodedata.normalize("NFC", name)
    problems = name_problems(name, pointer)
    if problems:
        raise Invalid.from_problems(problems)
    return name


def name_problems(name: str, pointer: str) -> list[Problem]:
    """Return what is wrong with ``name``, which is in Unicode's composed form."""
    if not _NAME.fullmatch(name) or name != name.strip():
        message = (
            "A name has 1 to 100 letters, digits, spaces, '_', '.' or '-'. It begins with a "
            "letter, a digit or '_', and does not end with a space."
        )
        return [Problem(pointer, message, "name")]
    spelling = lookalikes.spelling_problem(name)
    return [] if spelling is None else [Problem(pointer, spelling, "name")]


def role_name_problems(transaction: Transaction, name: str) -> list[Problem]:
    """Return what is wrong with the name of a new role, which must not look like another one."""
    query = select(RoleRow.name).where(RoleRow.organisation_id == transaction.organisation)
    problems = name_problems(name, "/name")
    # A role called reader that may write would be worse than a confusing name.
    if name in ROLES:
        message = f"{name!r} is a built-in role. Choose another name."
        return [*problems, Problem("/name", message, "reserved")]
    other = lookalikes.find_lookalike(name, (*ROLES, *transaction.connection.scalars(query)))
    if other is not None:
        message = f"{name!r} looks like the role {other!r}. Choose another name."
        problems.append(Problem("/name", message, "reserved"))
    return problems


def require_distinct(transaction: Transaction, name: str, itself: str = "") -> None:
    """Raise Invalid if ``name`` looks like an organisation other than ``itself``."""
    # All organisations, also those that the actor may not see: the people who read the name may.
    names = transaction.connection.scalars(select(OrganisationRow.name))
    other = lookalikes.find_lookalike(name, (known for known in names if known != itself))
    if other is not None:
        message = f"{name!r} looks like the organisation {other!r}. Choose another name."
        raise Invalid.from_problems([Problem("/name", message, "name")])


def email_problems(email: str) -> list[Problem]:
    """Return what is wrong with an address. Only a mail to it could tell more."""
    # Invisible characters would make one address look like another.
    if _EMAIL.fullmatch(email) and email.isprintable():
        return []
    return [Problem("/email", "It must be an e-mail address, such as ada@example.org.", "email")]
