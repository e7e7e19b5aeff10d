"""Errors as the terminal shows them: in its own terms, and with the file that they are about."""

import re
from collections.abc import Iterator

from distributed_config.errors import DistconfError, InvalidDocument, Problem

# The server advises in terms of HTTP, which most of its clients speak. The terminal's users know
# commands and flags: the server's phrase on the left is shown to them as the one on the right.
_PHRASES = (
    ("GET /api/v1/versions?service=… lists", "`distconf history` lists"),
    ("Create it with POST or PUT.", "Create it with `distconf put`."),
    ("Create it with PUT /api/v1/definitions.", "Create it with `distconf definitions put`."),
    ("Log in with POST /auth/token", "Log in with `distconf login`"),
    (
        "Log in with a password: POST /auth/token, or in a browser at /auth/oidc/login.",
        "Log in with a password, or give a token with --token-file.",
    ),
    ("with a password: POST /auth/login.", "with a password: `distconf login --email ADDRESS`."),
    ("does not match the conditions of the request", "does not match --if-match"),
    ("send its tag with If-Match", "give its tag with --if-match"),
)
_SWITCHING = re.compile(r"Disable each first: PATCH \S+version=\d+&enabled=false\.")
_PARAMETERS = {
    "service": "SERVICE",
    "environment": "--environment",
    "to": "TO",
    "version": "--version",
    "as_of": "--as-of",
    "note": "--note",
    "Config-Note": "--note",
    "definition": "--definition",
    "dry_run": "--dry-run",
    "If-Match": "--if-match",
}


def error_lines(error: DistconfError, file: str = "") -> Iterator[str]:
    """Yield the lines to print about ``error``: its detail, and the problems that it leaves out.

    ``file`` is the file that the request's body came from, or "". Problems of the document are
    shown as problems of that file.
    """
    about = f"{file}: " if file and isinstance(error, InvalidDocument) else ""
    detail = error.detail
    for problem in error.problems[:1]:
        # The detail starts with the first problem, and with the server's name for its place.
        place = problem.parameter or problem.pointer
        detail = detail.replace(f"{place}: {problem.message}", _line(problem), 1)
    yield f"distconf: {about}{_translate(detail)}"
    has_more = any(problem.message not in error.detail for problem in error.problems)
    if len(error.problems) > 1 or has_more:
        for problem in error.problems:
            yield f"  {_line(problem)}"


def _line(problem: Problem) -> str:
    parameter = _PARAMETERS.get(problem.parameter, problem.parameter)
    place = ": ".join(filter(None, (parameter, problem.pointer)))
    return f"{place + ': ' if place else ''}{_translate(problem.message)}"


def _translate(text: str) -> str:
    for phrase, own in _PHRASES:
        text = text.replace(phrase, own)
    return _SWITCHING.sub("`distconf delete --disable-first` disables all of them.", text)
