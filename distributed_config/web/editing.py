"""Changing a service: a text, its review, and only then a new version.

The draft travels in the forms of these pages and is stored nowhere. Each form has the entity tag
of what the draft is based on, so nobody overwrites what they have not seen.
"""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    DistconfError,
    Forbidden,
    Invalid,
    InvalidDocument,
    NoCurrentVersion,
    NotFound,
    PreconditionFailed,
    ServiceExists,
    ServiceNotFound,
    TooMuchWork,
    VersionDeleted,
)
from distributed_config.http import auth, problems
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import commit
from distributed_config.services import definitions, merges, versions
from distributed_config.services.diff import ABSENT
from distributed_config.services.documents.preconditions import Precondition, Standing
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments
from distributed_config.services.merges import Contested
from distributed_config.services.versions import Version, WriteResult
from distributed_config.web import texts
from distributed_config.web.difference import Difference, compare, shown
from distributed_config.web.pages import (
    READ,
    WRITE,
    address,
    page,
    reader,
    redirect,
    render,
    series,
)
from distributed_config.web.service import Heading, heading
from distributed_config.wire import Document

NOTHING = "none"
"""Stands, in place of an entity tag, for a series that has no version yet."""

_CHOICE = "choice:"
# What a person can mend by another text, or by asking for a right; anything else is an error page.
_MENDABLE = (Invalid, Forbidden, PreconditionFailed, NotFound, TooMuchWork)


@dataclass(frozen=True)
class Draft:
    """What a person has typed: the text, the tag and number of what it is based on, and a note."""

    text: str
    basis: str
    base: int | None
    note: str


@dataclass(frozen=True)
class Conflict:
    """What others have published since the draft's basis, and the places that both changed."""

    since: list[Version]
    contests: list[Contested]


@dataclass
class Review:
    """What publishing a draft would do, or why it cannot be published."""

    number: int | None = None
    """The number that the version would get; None: nothing would change."""
    difference: Difference | None = None
    impact: list[dict[str, Any]] = field(default_factory=list)
    unseen: int = 0
    """How many resolved documents change that the person may not see."""
    error: DistconfError | None = None
    conflict: Conflict | None = None


# --- the text


@page("GET", "/edit", WRITE)
def edit() -> ResponseData:
    """Show the document of the series as text to change."""
    head = heading()
    # There are roles that may write and not read: the text would show them the document.
    auth.require(READ)
    return _show_editor(head, draft_of_current(head))


@page("POST", "/edit", WRITE)
def go_on_editing() -> ResponseData:
    """Show a draft again, as it comes back from its review."""
    return _show_editor(heading(), _draft())


def draft_of_current(head: Heading) -> Draft:
    """Return the draft that somebody begins with: what is current, or the newest there is."""
    version = _newest(head.series)
    # The first version here: what is inherited stays where it is.
    if version is None:
        return Draft("{}\n", NOTHING, None, "")
    text = texts.document(wire.parse_stored(version.served))
    return Draft(text, _tag(version, head), version.number, "")


def _newest(here: Series) -> Version | None:
    try:
        return versions.current(reader(), here)
    except ServiceNotFound:
        return None
    except NoCurrentVersion:
        found = versions.history(reader(), here, before=None, limit=100, documents=False)
        last = next((version.number for version in found if not version.deleted), None)
        return None if last is None else versions.stored(reader(), here, last)


def _tag(version: Version, head: Heading) -> str:
    epoch = read_head(reader_connection()).epoch
    # The draft begins with a version that is turned off; what it replaces is nothing.
    if head.entry.current is None:
        return wire.absent_etag(epoch, version.life)
    return wire.version_etag(epoch, version.number, version.stamp)


def _show_editor(head: Heading, draft: Draft) -> ResponseData:
    definition = definitions.of_service(reader(), head.series)
    # As it was loaded it is what is published: there is nothing to rehearse.
    review = _review(head.series, draft) if request.method == "POST" else Review()
    return render(
        "edit.html",
        head=head,
        tab="edit",
        draft=draft,
        review=review,
        schema="" if definition is None else definition.schema,
        definition=definition,
    )


@page("POST", "/check", WRITE)
def check() -> ResponseData:
    """Return what would change and what is wrong, while somebody types."""
    here, draft = series(), _draft()
    return render("_state.html", review=_review(here, draft), draft=draft)


# --- the review, and the way on


@page("POST", "/review", WRITE)
def review_draft() -> ResponseData:
    """Show what publishing a draft would do. Nothing is written."""
    head, draft = heading(), _draft()
    return _show_review(head, draft, _review(head.series, draft))


@page("POST", "/publish", WRITE)
def publish() -> ResponseData:
    """Publish a draft, or show its review with what stands in the way."""
    here, draft = series(), _draft()
    try:
        document = _document(draft, here)
        return _commit(here, document, draft, dry_run=False)
    # The draft is never lost: whatever was refused, it comes back with the reason.
    except _MENDABLE as error:
        head = heading()
        review = _review(head.series, draft)
        review.error = review.error or error
        return _show_review(head, draft, review)


@page("POST", "/merge", WRITE)
def merge() -> ResponseData:
    """Merge a draft with what others have published, by the person's choices; then review it."""
    head, draft = heading(), _draft()
    # Read again, and not from the form: others may have published since it was made.
    current = _newest(head.series)
    found = None if current is None else _merged(head.series, draft)
    if current is None or found is None:
        return _show_review(head, draft, _review(head.series, draft))
    document, contested = found
    mine = _document(draft, head.series).value
    for place in contested:
        if request.form.get(f"{_CHOICE}{place.pointer}") == "mine":
            _take(mine, place.pointer, document)
    merged = Draft(texts.document(document), _tag(current, head), current.number, draft.note)
    return _show_review(head, merged, _review(head.series, merged))


def _take(mine: dict[str, Any], pointer: str, document: dict[str, Any]) -> None:
    """Make ``document`` have at ``pointer`` what ``mine`` has there, or has not."""
    # A place is a key of an object that both have: in arrays nothing is contested. From the draft,
    # and not from what is shown of it: there a new secret is masked.
    *parents, key = wire.parse_pointer(pointer)
    target, source = document, mine
    for parent in parents:
        target, source = target[parent], source[parent]
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _show_review(head: Heading, draft: Draft, review: Review) -> ResponseData:
    status = 200 if review.error is None else problems.status_of(review.error)
    return render(
        "review.html",
        status,
        head=head,
        tab="edit",
        draft=draft,
        review=review,
        shown=_shown_or_absent,
    )


def _shown_or_absent(value: Any) -> str:
    return "removed" if value is ABSENT else shown(value)


# --- a new service


@page("GET", "/new", WRITE)
def new() -> ResponseData:
    """Show the form for a new service."""
    return _show_new(request.args.get("service", ""), Draft("{\n  \n}", NOTHING, None, ""))


@page("POST", "/new", WRITE)
def create() -> ResponseData:
    """Create a service with its version 0, or show what stands in the way."""
    name, draft = request.form.get("name", "").strip(), _draft()
    here = Series(name, series().environment)
    try:
        environments.require(reader(), here.environment)
        # The name comes from a field here; elsewhere it is one that exists.
        wire.check_name(name)
        _refuse_existing(here)
        return _commit(here, _document(draft, here), draft, dry_run=False)
    except _MENDABLE as error:
        return _show_new(name, draft, error)


def _refuse_existing(here: Series) -> None:
    if versions.lookup(reader(), here) is not None:
        raise ServiceExists(here.service)


def _show_new(name: str, draft: Draft, error: DistconfError | None = None) -> ResponseData:
    status = 200 if error is None else problems.status_of(error)
    environments.require(reader(), series().environment)
    return render("new.html", status, name=name, draft=draft, error=error)


# --- what a draft would do


def _draft() -> Draft:
    """Return the draft in the form; line ends are as they were before the browser changed them."""
    form = request.form
    base = form.get("base", "")
    return Draft(
        # Browsers send CR LF, and a text that nobody touched must not look changed.
        text=form.get("document", "").replace("\r\n", "\n"),
        basis=form.get("basis", NOTHING),
        base=int(base) if base.isascii() and base.isdigit() and len(base) < 19 else None,
        note=" ".join(form.get("note", "").split()),
    )


def _document(draft: Draft, here: Series) -> Document:
    """Return the draft as a document. Raises InvalidDocument with every problem."""
    value = wire.parse_json(draft.text.encode("utf-8", "surrogatepass"))
    return wire.make_document(value, http_request.document_limits(), here.service)


def _review(here: Series, draft: Draft) -> Review:
    """Return what publishing ``draft`` would do: a rehearsal, of which nothing stays."""
    review = Review()
    try:
        document = _document(draft, here)
        _rehearse(here, document, draft, review)
    except PreconditionFailed as error:
        review.error = error
        # Found at the latest moment there is: under the write lock, as any publish would.
        review.conflict = _conflict(here, draft)
    except _MENDABLE as error:
        review.error = error
        # What would break is told with what is wrong: often it is in another service.
        review.impact = list(error.members.get("impact", ()))
        review.unseen = error.members.get("impact_unseen", 0)
        review.difference = _difference_of_text(here, draft)
    return review


def _rehearse(here: Series, document: Document, draft: Draft, review: Review) -> None:
    body = json.loads(_commit(here, document, draft, dry_run=True).body)
    review.number = body["number"] if body["changed"] else None
    review.impact = body.get("impact", [])
    review.unseen = body.get("impact_unseen", 0)
    # With masks on both sides: a secret that changed is one that shows no difference.
    old = _current_value(here)
    review.difference = compare(old, wire.parse_stored(body["text"]))


def _current_value(here: Series) -> dict[str, Any]:
    version = _newest(here)
    return {} if version is None else wire.parse_stored(version.served)


def _difference_of_text(here: Series, draft: Draft) -> Difference | None:
    """Return what a draft that cannot be published would change; None where that is not shown.

    Which of its values are secret is known only once it is checked. So nothing is shown where any
    could be.
    """
    version = _newest(here)
    if version is not None and version.may_have_secrets:
        return None
    try:
        value = _document(draft, here).value
    except InvalidDocument:
        return None
    return compare(_current_value(here), value)


def _commit(here: Series, document: Document, draft: Draft, *, dry_run: bool) -> ResponseData:
    """Write the draft, or rehearse that, and return the redirect or the rehearsal's outcome."""
    query = {"note": draft.note, "dry_run": dry_run}
    # One path for both: the review cannot promise what publishing refuses.
    render_result = _rehearsed if dry_run else partial(_published, here)
    expect = _expect(draft.basis)
    return commit(query, _put, here, document, expect, render=render_result)


def _expect(basis: str) -> Precondition:
    def holds(standing: Standing | None) -> bool:
        # Where there was nothing, a version that somebody else has made is a conflict.
        if standing is None or basis == NOTHING:
            return standing is None and basis == NOTHING
        return wire.etag_matches(basis, standing.etag)

    return holds


def _put(
    transaction: Transaction, here: Series, document: Document, expect: Precondition
) -> tuple[WriteResult, str]:
    written = versions.put(transaction, here, document, expect)
    # The text with the secrets masked: the review shows it.
    return written, versions.masked_text(transaction, written, document)


def _rehearsed(result: tuple[WriteResult, str], _head: Head) -> ResponseData:
    written, text = result
    return json_response({"number": written.number, "changed": written.changed, "text": text})


def _published(here: Series, result: tuple[WriteResult, str], _head: Head) -> ResponseData:
    written, _ = result
    # The page after it says what was done; a reload of that page publishes nothing again.
    done = f"published-{written.number}" if written.changed else "unchanged"
    where = address("service", service=here.service, environment=here.environment, done=done)
    return redirect(where)


# --- when others were quicker


def _conflict(here: Series, draft: Draft) -> Conflict:
    """Return what happened since the basis of ``draft``, and what both have changed."""
    since = [
        version
        for version in versions.history(reader(), here, before=None, limit=20, documents=False)
        if draft.base is None or version.number > draft.base
    ]
    found = _merged(here, draft)
    return Conflict(since, [] if found is None else found[1])


def _merged(here: Series, draft: Draft) -> tuple[dict[str, Any], list[Contested]] | None:
    """Return a draft merged with what is current, and what both have changed.

    None where what it is based on, or what is current, is not there any more.
    """
    mine = _document(draft, here).value
    try:
        if draft.base is not None:
            found = merges.merge_with_current(reader(), here, draft.base, mine)
            return found.document, found.contested
        # Two people have made the first version at once.
        contested: list[Contested] = []
        theirs = wire.parse_stored(versions.current(reader(), here).served)
        return merges.merge(ABSENT, mine, theirs, contested), contested
    except (NotFound, VersionDeleted):
        return None
