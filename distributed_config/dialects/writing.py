"""What a write says besides its body, in the dialects as everywhere.

Why (``note=`` or ``Config-Note``), whether only to rehearse it (``dry_run=true``), and of which
version (``If-Match``). None of these is ever taken and ignored.
"""

from collections.abc import Callable

from flask import request

from distributed_config.errors import Invalid, Problem
from distributed_config.http import request as asked
from distributed_config.http.response import ResponseData
from distributed_config.http.writes import commit
from distributed_config.services.journal.transaction import Transaction

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def write(unit: Callable[[Transaction], ResponseData]) -> ResponseData:
    """What ``unit`` answers, published with the request's note, or only rehearsed if it says so.

    Raises Invalid if the note or ``dry_run`` is none.
    """
    problems = [
        Problem("", "It is given more than once.", "repeated", name)
        for name in ("note", "dry_run")
        if len(request.args.getlist(name)) > 1
    ]
    dry_run = request.args.get("dry_run", "false")
    if dry_run not in _SWITCH:
        problems.append(Problem("", "It is true or false.", "query", "dry_run"))
    if problems:
        raise Invalid.from_problems(problems)
    return commit(unit, asked.note(request.args.get("note")), _SWITCH[dry_run])


def refuse_preconditions(why: str, *headers: str) -> None:
    """Raises Invalid, with ``why``, if the request has one of ``headers``."""
    problems = [
        Problem("", why, "precondition", header) for header in headers if header in request.headers
    ]
    if problems:
        raise Invalid.from_problems(problems)
