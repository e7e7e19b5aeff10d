"""Errors as the terminal shows them: in its own words, with the file that they are about."""

from collections.abc import Iterator

from distributed_config.errors import DistconfError, InvalidDocument, Problem

# The server advises in terms of HTTP, which most of its callers speak. The terminal's users know
# commands and flags: the server's phrase on the left is shown to them as the one on the right.
_PHRASES = (
    ("GET /api/v1/versions?service=… lists", "`distconf history` lists"),
    ("Create it with POST or PUT.", "Create it with `distconf put`."),
    ("Create it with PUT /api/v1/definitions.", "Create it with `distconf definitions put`."),
    ("does not match the conditions of the request", "does not match --if-match"),
    ("send its tag with If-Match", "give its tag with --if-match"),
)
_PARAMETERS = {
    "service": "SERVICE",
    "to": "TO",
    "version": "--version",
    "as_of": "--as-of",
    "note": "--note",
    "Config-Note": "--note",
    "definition": "--definition",
    "dry_run": "--dry-run",
    "If-Match": "--if-match",
}


def lines_of(error: DistconfError, file: str = "") -> Iterator[str]:
    """What is printed about ``error``: its detail, then every problem that the detail leaves out.

    ``file`` is what the request's body was read from, if it was; what is wrong with a document is
    said to be wrong with that file.
    """
    about = f"{file}: " if file and isinstance(error, InvalidDocument) else ""
    detail = error.detail
    for problem in error.problems[:1]:
        # The detail begins with the first problem, and with the server's name for its place.
        place = problem.parameter or problem.pointer
        detail = detail.replace(f"{place}: {problem.message}", _line(problem), 1)
    yield f"distconf: {about}{_translated(detail)}"
    if len(error.problems) > 1 or any(each.message not in error.detail for each in error.problems):
        for problem in error.problems:
            yield f"  {_line(problem)}"


def _line(problem: Problem) -> str:
    parameter = _PARAMETERS.get(problem.parameter, problem.parameter)
    where = ": ".join(filter(None, (parameter, problem.pointer)))
    return f"{where + ': ' if where else ''}{_translated(problem.message)}"


def _translated(text: str) -> str:
    for phrase, own in _PHRASES:
        text = text.replace(phrase, own)
    return text
