"""Two environments side by side, and the way of a document from one to the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    DistconfError,
    NoCurrentVersion,
    NotResolvable,
    PreconditionFailed,
    ServiceNotFound,
)
from distributed_config.http import auth, problems
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import commit
from distributed_config.services import promotions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environments
from distributed_config.services.promotions import Promotion
from distributed_config.services.reader import Reader
from distributed_config.services.versions import WriteResult
from distributed_config.web import difference
from distributed_config.web.pages import (
    MENDABLE,
    READ,
    WRITE,
    address,
    page,
    reader,
    redirect,
    render,
    sent_note,
    sent_number,
)
from distributed_config.web.service import Heading, heading
from distributed_config.wire import DocumentLimits


@dataclass(frozen=True)
class _Way:
    """From where to where a document would go, and which versions the person saw there."""

    source: Series
    target: Series
    seen: tuple[int | None, int | None]


@page("GET", "/compare", READ)
def compare() -> ResponseData:
    """Show how what programs get differs between two environments of a service."""
    return _show(heading())


@page("POST", "/promote", WRITE)
def promote() -> ResponseData:
    """Copy the document of one environment to another."""
    head = heading()
    seen = sent_number("source"), sent_number("target")
    way = _Way(head.series, Series(head.series.service, _to(head)), seen)
    try:
        return _commit(way, dry_run=False)
    except MENDABLE as error:
        return _show(head, error)


def _show(head: Heading, error: DistconfError | None = None) -> ResponseData:
    to = _to(head)
    source, target = head.series, Series(head.series.service, to)
    seen = (_current(reader(), source), _current(reader(), target))
    # What can be promoted is the layer itself, so there has to be one.
    may_promote = auth.actor().may(WRITE) and source != target and seen[0] is not None
    found: Mapping[str, Any] = {}
    if may_promote and error is None:
        error, found = _rehearse(_Way(source, target, seen))
    old, new = _value(target), _value(source)
    # From what is there to what would come: as every difference on these pages is read.
    return render(
        "compare.html",
        200 if error is None or request.method == "GET" else problems.status_of(error),
        head=head,
        tab="compare",
        to=to,
        seen=seen,
        may_promote=may_promote,
        error=error,
        outcome=found,
        difference=difference.compare(old or {}, new or {}),
        is_there=(new is not None, old is not None),
        note=request.form.get("note", ""),
    )


def _to(head: Heading) -> str:
    """Return the environment to compare with: the one in the address, or the next in order."""
    wanted = request.args.get("to", "")
    if wanted:
        return environments.require(reader(), wanted).name
    # The next one in the organisation's order is where a version usually goes.
    names = [one.name for one in environments.environments(reader())]
    others = [name for name in names if name != head.series.environment]
    after = names[names.index(head.series.environment) + 1 :]
    return next(iter([*after, *others]), head.series.environment)


def _current(found: Reader, here: Series) -> int | None:
    try:
        return versions.current(found, here).number
    except (ServiceNotFound, NoCurrentVersion):
        return None


def _value(here: Series) -> dict[str, Any] | None:
    """Return what programs get; None where they get nothing."""
    try:
        return wire.parse_stored(versions.resolved(reader(), here).version.served)
    except (ServiceNotFound, NoCurrentVersion, NotResolvable):
        return None


def _rehearse(way: _Way) -> tuple[DistconfError | None, Mapping[str, Any]]:
    """Return what stands in the way of a promotion, and what it would change."""
    try:
        return None, json.loads(_commit(way, dry_run=True).body)
    except MENDABLE as error:
        return error, error.members


def _commit(way: _Way, *, dry_run: bool) -> ResponseData:
    return commit(
        {"note": sent_note() or f"Promoted from {way.source.environment}.", "dry_run": dry_run},
        _promote,
        way,
        http_request.document_limits(),
        render=_rehearsed if dry_run else partial(_done, way),
    )


def _promote(transaction: Transaction, way: _Way, limits: DocumentLimits) -> WriteResult:
    now = _current(transaction.reader, way.source), _current(transaction.reader, way.target)
    # Both ends: neither what is copied nor what it replaces may be another than the person saw.
    if now != way.seen:
        raise PreconditionFailed(way.source.service, None)
    services, ends = (way.source.service,), (way.source.environment, way.target.environment)
    [written] = promotions.promote(transaction, Promotion(services, *ends), limits)
    return written


def _rehearsed(written: WriteResult, _head: Head) -> ResponseData:
    return json_response({"number": written.number, "changed": written.changed})


def _done(way: _Way, written: WriteResult, _head: Head) -> ResponseData:
    done = f"published-{written.number}" if written.changed else "unchanged"
    there = {"service": way.target.service, "environment": way.target.environment}
    return redirect(address("service", **there, done=done))
