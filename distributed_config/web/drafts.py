"""Drafts: what somebody has typed, what publishing it would do, and what stands in the way."""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    DistconfError,
    InvalidDocument,
    NoCurrentVersion,
    NotFound,
    PreconditionFailed,
    ServiceNotFound,
    VersionDeleted,
)
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import commit
from distributed_config.services import merges, versions
from distributed_config.services.diff import ABSENT
from distributed_config.services.documents.preconditions import Precondition, Standing
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.merges import Contested
from distributed_config.services.versions import Version, WriteResult
from distributed_config.web.difference import Difference, compare
from distributed_config.web.pages import (
    MENDABLE,
    address,
    reader,
    redirect,
    sent_note,
    sent_number,
)
from distributed_config.wire import Document

NOTHING = "none"
"""Stands, in place of an entity tag, for a series that has no version yet."""


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


def newest_version(here: Series) -> Version | None:
    try:
        return versions.current(reader(), here)
    except ServiceNotFound:
        return None
    except NoCurrentVersion:
        found = versions.history(reader(), here, before=None, limit=100, documents=False)
        last = next((version.number for version in found if not version.deleted), None)
        return None if last is None else versions.stored(reader(), here, last)


def sent_draft() -> Draft:
    """Return the draft in the form; line ends are as they were before the browser changed them."""
    form = request.form
    return Draft(
        # Browsers send CR LF, and a text that nobody touched must not look changed.
        text=form.get("document", "").replace("\r\n", "\n"),
        basis=form.get("basis", NOTHING),
        base=sent_number("base"),
        note=sent_note(),
    )


def document_of(draft: Draft, here: Series) -> Document:
    """Return the draft as a document. Raises InvalidDocument with every problem."""
    value = wire.parse_json(draft.text.encode("utf-8", "surrogatepass"))
    return wire.make_document(value, http_request.document_limits(), here.service)


def review_of(here: Series, draft: Draft) -> Review:
    """Return what publishing ``draft`` would do: a rehearsal, of which nothing stays."""
    review = Review()
    try:
        document = document_of(draft, here)
        _rehearse(here, document, draft, review)
    except PreconditionFailed as error:
        review.error = error
        # Found at the latest moment there is: under the write lock, as any publish would.
        review.conflict = _conflict(here, draft)
    except MENDABLE as error:
        review.error = error
        # What would break is told with what is wrong: often it is in another service.
        review.impact = list(error.members.get("impact", ()))
        review.unseen = error.members.get("impact_unseen", 0)
        review.difference = _difference_of_text(here, draft)
    return review


def _rehearse(here: Series, document: Document, draft: Draft, review: Review) -> None:
    body = json.loads(write_draft(here, document, draft, dry_run=True).body)
    review.number = body["number"] if body["changed"] else None
    review.impact = body.get("impact", [])
    review.unseen = body.get("impact_unseen", 0)
    # With masks on both sides: a secret that changed is one that shows no difference.
    old = _current_value(here)
    review.difference = compare(old, wire.parse_stored(body["text"]))


def _current_value(here: Series) -> dict[str, Any]:
    version = newest_version(here)
    return {} if version is None else wire.parse_stored(version.served)


def _difference_of_text(here: Series, draft: Draft) -> Difference | None:
    """Return what a draft that cannot be published would change; None where that is not shown.

    Which of its values are secret is known only once it is checked. So nothing is shown where any
    could be.
    """
    # Shown all the same where it cannot be published: to mend a text one has to see it.
    version = newest_version(here)
    if version is not None and version.may_have_secrets:
        return None
    try:
        value = document_of(draft, here).value
    except InvalidDocument:
        return None
    return compare(_current_value(here), value)


def write_draft(here: Series, document: Document, draft: Draft, *, dry_run: bool) -> ResponseData:
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
    # By number, and not by time: a version that was turned on again is no news in it.
    since = [
        version
        for version in versions.history(reader(), here, before=None, limit=20, documents=False)
        if draft.base is None or version.number > draft.base
    ]
    found = merge_of(here, draft)
    return Conflict(since, [] if found is None else found[1])


def merge_of(here: Series, draft: Draft) -> tuple[dict[str, Any], list[Contested]] | None:
    """Return a draft merged with what is current, and what both have changed.

    None where what it is based on, or what is current, is not there any more.
    """
    mine = document_of(draft, here).value
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
