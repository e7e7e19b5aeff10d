"""Writes the parts of the manual that are generated from the code: `make docs`."""

import re
from collections.abc import Iterator
from pathlib import Path

from distributed_config import errors
from distributed_config.commands.settings import markdown
from distributed_config.http.problems import STATUSES
from distributed_config.errors import DistconfError
from distributed_config.services.policy.permissions import PERMISSIONS as PERMISSIONS_HELD
from distributed_config.services.policy.permissions import ROLES, expand
from distributed_config.settings import Settings, table

HERE = Path(__file__).parent

SETTINGS = """# Settings

Generated from the code by `make docs`; `distconf settings` shows the same with the values in force.
All are environment variables. One that may hold a password can be given as a file instead, in the
variable with `_FILE` at its end. A `DISTCONF_` variable that is not in the table is refused at the
start.

{table}
"""

ERRORS = """# Errors

Generated from the code by `make docs`. Every error is `application/problem+json` (RFC 9457) with
`type title status detail code problems request_id`, and with `success error message` as `/config`
has always had them. `code` is stable. `problems` lists every fault, each with a JSON pointer into
the body or with the `parameter` that it is about; a mistake in the syntax of the body has its
`line` and `column`, from 1. 409 has a `reason` as well; 429, 503 and 507 have `Retry-After`.

| status | code | |
|---|---|---|
{table}

What is not HTTP, or has a line of over 8,190 bytes (414) or too many or too large headers (431), is
answered by the HTTP server itself, in its own words.
"""

PERMISSIONS = """# Permissions and roles

Generated from the code by `make docs`. `config:*` stands for all of a resource, and `*` for everything.
Every organisation has these roles, and can make its own.

| permission | | {roles} |
|---|---|{lines}|
{table}

`administrator` holds everything, in every organisation.
"""


def pages() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    return {
        HERE / "settings.md": SETTINGS.format(table=markdown(table(Settings(), {}))),
        HERE / "permissions.md": PERMISSIONS.format(
            roles=" | ".join(ROLES),
            lines="|".join(["---"] * len(ROLES)),
            table="\n".join(_permission_rows()),
        ),
        HERE / "errors.md": ERRORS.format(table="\n".join(sorted(_error_rows()))),
    }


def _permission_rows() -> Iterator[str]:
    for permission, meaning in PERMISSIONS_HELD.items():
        held = ["yes" if permission in expand(each) else "" for each in ROLES.values()]
        yield f"| `{permission}` | {meaning} | {' | '.join(held)} |"


def _error_rows() -> Iterator[str]:
    about = dict(re.findall(r"(\w+) {2,}(.+)", errors.__doc__ or ""))
    for kind in [DistconfError, *_kinds(DistconfError)]:
        if not kind.__module__.startswith(errors.__name__) or issubclass(kind, errors.ClientError):
            continue  # a dialect's own words; what no server answers
        status = next((STATUSES[each] for each in kind.__mro__ if each in STATUSES), 500)
        if kind is not errors.CannotStart:
            yield f"| {status} | `{kind.code}` | {about[kind.__name__]} |"


def _kinds(parent: type[DistconfError]) -> Iterator[type[DistconfError]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from _kinds(kind)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
