"""Going back: the last publish undone, a version turned on or off, an older one made current."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    DistconfError,
    Invalid,
    NoCurrentVersion,
    PreconditionFailed,
    VersionNotFound,
)
from distributed_config.http import problems
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import commit
from distributed_config.services import versions
from distributed_config.services.documents.preconditions import Precondition, Standing
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from distributed_config.web import difference
from distributed_config.web.pages import (
    PUBLISH,
    address,
    number,
    page,
    reader,
    redirect,
    render,
    sent_note,
)
from distributed_config.web.service import Heading, heading


@dataclass(frozen=True)
class Step:
    """One way to change which version is current.

    ``enabled`` is what ``number`` is set to; None: a copy of it is appended.
    """

    number: int
    enabled: bool | None


@page("GET", "/undo", PUBLISH)
def show_undo() -> ResponseData:
    """Ask whether the last publish should be undone."""
    head = heading()
    return _ask("undo", head, Step(_current(head), enabled=False))


@page("POST", "/undo", PUBLISH)
def undo() -> ResponseData:
    """Turn off the version that the person saw as the current one."""
    head = heading()
    return _take("undo", head, Step(_version(), enabled=False))


@page("GET", "/turn", PUBLISH)
def show_turn() -> ResponseData:
    """Ask whether a version should be turned on, or off."""
    return _ask("turn", heading(), Step(_version(), _wanted()))


@page("POST", "/turn", PUBLISH)
def turn() -> ResponseData:
    """Turn a version on, or off."""
    return _take("turn", heading(), Step(_version(), _wanted()))


@page("GET", "/restore", PUBLISH)
def show_restore() -> ResponseData:
    """Ask whether a copy of an older version should be published."""
    return _ask("restore", heading(), Step(_version(), None))


@page("POST", "/restore", PUBLISH)
def restore() -> ResponseData:
    """Publish a copy of an older version."""
    return _take("restore", heading(), Step(_version(), None))


def _wanted() -> bool:
    return request.args.get("on") != "false"


def _version() -> int:
    """Return the version that the address names. Raises VersionNotFound."""
    wanted = number("v")
    if wanted is None:
        raise VersionNotFound(request.args.get("service", ""), "without a number")
    return wanted


def _current(head: Heading) -> int:
    if head.entry.current is None:
        raise NoCurrentVersion(head.series.service)
    return head.entry.current


def _ask(what: str, head: Heading, step: Step, error: DistconfError | None = None) -> ResponseData:
    """Show what a step would do: a rehearsal, of which nothing stays."""
    after: int | None = None
    found: Mapping[str, Any] = {}
    try:
        # What becomes current is the server's to say: there may be others that are turned off.
        body = json.loads(_commit(head, step, dry_run=True).body)
        after, found = body["current"], body
    except (Invalid, PreconditionFailed) as refusal:
        error, found = error or refusal, refusal.members
    return render(
        "step.html",
        200 if error is None else problems.status_of(error),
        head=head,
        tab="history",
        what=what,
        step=step,
        after=after,
        impact_found=found.get("impact", []),
        unseen=found.get("impact_unseen", 0),
        error=error,
        difference=_difference(head, step, after),
        before=head.entry.current,
        note=request.form.get("note", ""),
    )


def _take(what: str, head: Heading, step: Step) -> ResponseData:
    try:
        return _commit(head, step, dry_run=False)
    except (Invalid, PreconditionFailed) as error:
        return _ask(what, head, step, error)


def _difference(head: Heading, step: Step, after: int | None) -> difference.Difference:
    """Return what a step changes in what is current."""
    # A copy has another number, but the document of the version that it copies.
    then = step.number if step.enabled is None else after
    return difference.compare(_value(head, head.entry.current), _value(head, then))


def _value(head: Heading, which: int | None) -> dict[str, Any]:
    if which is None:
        return {}
    return wire.parse_stored(versions.stored(reader(), head.series, which).served)


def _commit(head: Heading, step: Step, *, dry_run: bool) -> ResponseData:
    here = head.series
    # Optional: whoever goes back at night has no time for a form.
    query = {"note": sent_note() or _default_note(step), "dry_run": dry_run}
    render_result = _rehearsed if dry_run else partial(_done, here)
    # A form has what the person saw; a page that is just made, what there is now.
    seen = request.form.get("current")
    expect = _expect(str(head.entry.current) if seen is None else seen)
    if step.enabled is None:
        return commit(query, versions.roll_back, here, step.number, expect, render=render_result)
    return commit(query, _set_enabled, here, step, expect, render=render_result)


def _set_enabled(
    transaction: Transaction, here: Series, step: Step, expect: Precondition
) -> WriteResult:
    enabled = bool(step.enabled)
    return versions.set_enabled(transaction, here, step.number, enabled, expect)


def _default_note(step: Step) -> str:
    """Return the note of a step that nobody explained, so that the history shows what it was."""
    if step.enabled is None:
        return f"Back to version {step.number}"
    return ""


def _expect(seen: str) -> Precondition:
    """Return the condition that the version which the person saw is still the current one."""

    def holds(standing: Standing | None) -> bool:
        current = "None" if standing is None else standing.etag.strip('"').partition(".")[0]
        return seen == current or (seen == "None" and current == "none")

    return holds


def _rehearsed(written: WriteResult, _head: Head) -> ResponseData:
    return json_response({"current": written.current, "changed": written.changed})


def _done(here: Series, written: WriteResult, _head: Head) -> ResponseData:
    done = "off" if written.current is None else f"current-{written.current}"
    where = address("service", service=here.service, environment=here.environment, done=done)
    return redirect(where)
