"""Changing a service: a text, its review, and only then a new version.

The draft travels in the forms of these pages and is stored nowhere. Each form has the entity tag
of what the draft is based on, so nobody overwrites what they have not seen.
"""

from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    DistconfError,
    ServiceExists,
)
from distributed_config.http import auth, problems
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.services import definitions, versions
from distributed_config.services.diff import ABSENT
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import read_head
from distributed_config.services.layers import environments
from distributed_config.services.versions import Version
from distributed_config.web import texts
from distributed_config.web.difference import shown
from distributed_config.web.drafts import (
    NOTHING,
    Draft,
    Review,
    document_of,
    merge_of,
    newest_version,
    review_of,
    sent_draft,
    write_draft,
)
from distributed_config.web.pages import (
    MENDABLE,
    READ,
    WRITE,
    page,
    reader,
    render,
    series,
)
from distributed_config.web.service import Heading, heading

_CHOICE = "choice:"


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
    return _show_editor(heading(), sent_draft())


def draft_of_current(head: Heading) -> Draft:
    """Return the draft that somebody begins with: what is current, or the newest there is."""
    version = newest_version(head.series)
    # The first version here: what is inherited stays where it is.
    if version is None:
        return Draft("{}\n", NOTHING, None, "")
    text = texts.document(wire.parse_stored(version.served))
    return Draft(text, _tag(version, head), version.number, "")


def _tag(version: Version, head: Heading) -> str:
    epoch = read_head(reader_connection()).epoch
    # The draft begins with a version that is turned off; what it replaces is nothing.
    if head.entry.current is None:
        return wire.absent_etag(epoch, version.life)
    return wire.version_etag(epoch, version.number, version.stamp)


def _show_editor(head: Heading, draft: Draft) -> ResponseData:
    definition = definitions.of_service(reader(), head.series)
    # As it was loaded it is what is published: there is nothing to rehearse.
    review = review_of(head.series, draft) if request.method == "POST" else Review()
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
    here, draft = series(), sent_draft()
    return render("_state.html", review=review_of(here, draft), draft=draft)


# --- the review, and the way on


@page("POST", "/review", WRITE)
def review_draft() -> ResponseData:
    """Show what publishing a draft would do. Nothing is written."""
    head, draft = heading(), sent_draft()
    return _show_review(head, draft, review_of(head.series, draft))


@page("POST", "/publish", WRITE)
def publish() -> ResponseData:
    """Publish a draft, or show its review with what stands in the way."""
    here, draft = series(), sent_draft()
    try:
        document = document_of(draft, here)
        return write_draft(here, document, draft, dry_run=False)
    # The draft is never lost: whatever was refused, it comes back with the reason.
    except MENDABLE as error:
        head = heading()
        review = review_of(head.series, draft)
        review.error = review.error or error
        return _show_review(head, draft, review)


@page("POST", "/merge", WRITE)
def merge() -> ResponseData:
    """Merge a draft with what others have published, by the person's choices; then review it."""
    head, draft = heading(), sent_draft()
    # Read again, and not from the form: others may have published since it was made.
    current = newest_version(head.series)
    found = None if current is None else merge_of(head.series, draft)
    if current is None or found is None:
        return _show_review(head, draft, review_of(head.series, draft))
    document, contested = found
    mine = document_of(draft, head.series).value
    for place in contested:
        if request.form.get(f"{_CHOICE}{place.pointer}") == "mine":
            _take(mine, place.pointer, document)
    merged = Draft(texts.document(document), _tag(current, head), current.number, draft.note)
    return _show_review(head, merged, review_of(head.series, merged))


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
    name, draft = request.form.get("name", "").strip(), sent_draft()
    here = Series(name, series().environment)
    try:
        environments.require(reader(), here.environment)
        # The name comes from a field here; elsewhere it is one that exists.
        wire.check_name(name)
        _refuse_existing(here)
        return write_draft(here, document_of(draft, here), draft, dry_run=False)
    except MENDABLE as error:
        return _show_new(name, draft, error)


def _refuse_existing(here: Series) -> None:
    if versions.lookup(reader(), here) is not None:
        raise ServiceExists(here.service)


def _show_new(name: str, draft: Draft, error: DistconfError | None = None) -> ResponseData:
    status = 200 if error is None else problems.status_of(error)
    environments.require(reader(), series().environment)
    return render("new.html", status, name=name, draft=draft, error=error)
