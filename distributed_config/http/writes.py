"""Writes over HTTP: committed once for each idempotency key, or only rehearsed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, TypeVarTuple

from flask import request

from distributed_config.errors import DistconfError
from distributed_config.http import auth, database
from distributed_config.http import request as http_request
from distributed_config.http.problems import render_problem
from distributed_config.http.response import ResponseData, json_response
from distributed_config.schemas.base import Answer
from distributed_config.services import idempotency, rehearsals
from distributed_config.services.documents.series import Series
from distributed_config.services.idempotency import StoredResponse
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Impact, Transaction
from distributed_config.services.layers import prechecks
from distributed_config.services.layers.prechecks import Precheck, TooManyToCheck
from distributed_config.services.rehearsals import Rehearsed

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

Render = Callable[[T, Head], ResponseData]
"""Makes the response from a verb's result and the journal's head after it."""


_MOST_IMPACTS, _MOST_POINTERS = 100, 20
_MOST_PRECHECKS = 3


@dataclass(frozen=True)
class _Committed(Generic[T]):
    """The result of a verb, for a response that is still to be made."""

    result: T
    head: Head


def commit(
    query: dict[str, Any],
    verb: Callable[[Transaction, *Arguments], T],
    *arguments: *Arguments,
    render: Render[T],
    default_note: str = "",
) -> ResponseData:
    """Run ``verb`` in a transaction, and return its rendered result once that is on disk.

    ``query`` holds the request's ``note``, which is ``default_note`` where there is none, and
    ``dry_run``: then everything is done and undone, and ``Config-Dry-Run`` says so. The request's
    ``Idempotency-Key`` makes a repeated request return the stored response, marked with
    ``Idempotency-Replayed``. Raises whatever the verb raises; nothing is written then. A rehearsal
    tells the ``impact`` in both cases.
    """
    impacts: list[Impact] = []
    try:
        response = _commit(
            query, verb, *arguments, render=render, default_note=default_note, impacts=impacts
        )
    except DistconfError as error:
        if impacts:
            error.members = _render_impacts(impacts)
        raise
    if query["dry_run"] and impacts:
        body = {**json.loads(response.body), **_render_impacts(impacts)}
        response.body = json.dumps(body, ensure_ascii=False).encode()
    return response


def commit_plainly(
    query: dict[str, Any],
    verb: Callable[[Transaction, *Arguments], T],
    *arguments: *Arguments,
    render: Render[T],
) -> ResponseData:
    """Do what ``commit`` does, and tell no impact: for APIs whose responses others have defined."""
    return _commit(query, verb, *arguments, render=render, default_note="", impacts=[])


def _commit(
    query: dict[str, Any],
    verb: Callable[[Transaction, *Arguments], T],
    *arguments: *Arguments,
    render: Render[T],
    default_note: str,
    impacts: list[Impact],
) -> ResponseData:
    """Do what ``commit`` says, and put into ``impacts`` what a rehearsal would change."""
    note = http_request.note(query["note"]) or default_note
    dry_run = query["dry_run"]
    once = _Once.of_request(dry_run)

    found = _Prechecks()

    def work(transaction: Transaction) -> ResponseData | _Committed[T]:
        # A unit may be run again: what the first run found does not count.
        impacts.clear()
        transaction.impact = impacts
        transaction.prechecks = found.now
        earlier = once and once.recall(transaction)
        if earlier:
            return earlier
        result = verb(transaction, *arguments)
        if once is None:
            # Every writer of the machine waits while this runs, so the response is made after
            # the commit. A result therefore has to be plain values: it outlives the transaction.
            return _Committed(result, transaction.head)
        # A stored response has to be in the same transaction as its write: after a crash in
        # between, the key would run the write twice, or promise what is not on disk.
        return once.remember(transaction, _finish(render, result, transaction.head))

    run = database.rehearse if dry_run else database.write
    outcome = _run_with_prechecks(partial(run, auth.actor(), work, note), found)
    if isinstance(outcome, ResponseData):
        return outcome
    response = _finish(render, outcome.result, outcome.head)
    if dry_run:
        # The revision was given back with the rehearsal; the next write gets it.
        del response.headers["Config-Revision"]
        response.headers["Config-Dry-Run"] = "true"
    return response


def commit_to(
    query: dict[str, Any],
    verb: Callable[[Transaction, Series, *Arguments], T],
    series: Series,
    *arguments: *Arguments,
    render: Render[T],
    default_note: str = "",
) -> ResponseData:
    """Do what ``commit`` does for a verb that writes one series.

    With the query's ``diff``, of a rehearsal, the response has what would change: by place, and
    as a text.
    """
    if not query["diff"]:
        return commit(query, verb, series, *arguments, render=render, default_note=default_note)
    return commit(
        query,
        rehearsals.rehearse,
        verb,
        series,
        *arguments,
        render=partial(_render_rehearsed, render),
        default_note=default_note,
    )


def _render_rehearsed(render: Render[T], rehearsed: Rehearsed[T], head: Head) -> ResponseData:
    response = render(rehearsed.result, head)
    changes = rehearsed.changes()
    body = {
        **json.loads(response.body),
        "changes": changes.entries,
        "text": changes.text,
        "truncated": changes.truncated,
    }
    response.body = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return response


class _Prechecks:
    """The checks that were made before the lock was held, by series; None: no more are made."""

    def __init__(self) -> None:
        self.now: dict[Series, Precheck] | None = {}

    def add(self, write: TooManyToCheck) -> None:
        """Check a write on a new snapshot. Raises what the write would raise."""
        database.release()
        connection = database.reader_connection()
        found = prechecks.check(connection, auth.actor(), read_head(connection), write)
        self.now = {**(self.now or {}), write.series: found}


def _run_with_prechecks(run: Callable[[], T], found: _Prechecks) -> T:
    """Return what ``run`` returns; what is too much to check under the lock is checked before."""
    # Each time on a newer snapshot, as long as others write to what was checked.
    for _ in range(_MOST_PRECHECKS):
        try:
            return run()
        except TooManyToCheck as write:
            found.add(write)
    # Others write all the time: now it is checked while they wait, as far as the limit allows.
    found.now = None
    return run()


def _render_impacts(impacts: list[Impact]) -> dict[str, Any]:
    """Return which resolved documents a rehearsed write would change, and in how many places.

    Those that the actor may not see are only counted.
    """
    shows = auth.actor().visibility.shows
    seen = [impact for impact in impacts if shows(impact.service, impact.environment)]
    rendered: dict[str, Any] = {
        "impact": [
            {
                "service": impact.service,
                "environment": impact.environment,
                "changed": len(impact.pointers),
                "pointers": list(impact.pointers[:_MOST_POINTERS]),
                "problems": [render_problem(problem) for problem in impact.problems],
            }
            for impact in seen[:_MOST_IMPACTS]
        ]
    }
    more, unseen = len(seen) - _MOST_IMPACTS, len(impacts) - len(seen)
    if more > 0:
        rendered["impact_more"] = more
    if unseen:
        rendered["impact_unseen"] = unseen
    return rendered


def json_of(schema: type[Answer], **headers: str) -> Render[Any]:
    """Return a ``render`` for ``commit`` that dumps a result by ``schema``."""

    def render(result: object, _head: Head) -> ResponseData:
        return json_response(schema.render(result), **headers)

    return render


def _finish(render: Render[T], result: T, head: Head) -> ResponseData:
    response = render(result, head)
    response.headers["Config-Revision"] = str(head.revision)
    return response


@dataclass(frozen=True)
class _Once:
    """An idempotency key, with what it is bound to."""

    key: str
    fingerprint: str
    lifetime_hours: int

    @classmethod
    def of_request(cls, dry_run: bool) -> "_Once | None":
        """The key of the request; None if it has none, or writes nothing that could be repeated."""
        # Read even for a rehearsal: a malformed key is an error there as well.
        key = http_request.idempotency_key()
        if not key or dry_run:
            return None
        return cls(key, _fingerprint(), database.of().settings.idempotency_hours)

    def recall(self, transaction: Transaction) -> ResponseData | None:
        """Return the response that is stored for the key, if any."""
        stored = idempotency.recall(transaction, self.key, self.fingerprint, self.lifetime_hours)
        if stored is None:
            return None
        headers = {**json.loads(stored.headers), "Idempotency-Replayed": "true"}
        return ResponseData(stored.body, stored.status, headers=headers)

    def remember(self, transaction: Transaction, response: ResponseData) -> ResponseData:
        """Store ``response`` for the key, and return it.

        One that must not be stored, such as the response that shows a new token, is left out; a
        repeated request then runs again.
        """
        if response.headers.get("Cache-Control") != "no-store":
            stored = StoredResponse(response.status, json.dumps(response.headers), response.body)
            idempotency.remember(
                transaction, self.key, self.fingerprint, stored, self.lifetime_hours
            )
        return response


def _fingerprint() -> str:
    """A digest of everything in the request that decides what it does."""
    parts = (
        request.method.encode(),
        # The path and the query as they were sent. A client that repeats a request sends the same
        # bytes; what merely means the same is another request.
        request.full_path.encode(),
        request.mimetype.encode(),
        # A condition or a note changes what the write does, so a key cannot stand for both forms.
        request.headers.get("If-Match", "").encode(),
        request.headers.get("If-None-Match", "").encode(),
        request.headers.get("If-Unmodified-Since", "").encode(),
        request.headers.get("Config-Note", "").encode("latin-1", "replace"),
        http_request.body_bytes(),
    )
    digest = hashlib.sha256()
    for part in parts:
        # Each part carries its length: no two requests may run together into the same bytes.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
