"""Several services in one atomic publish."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import database
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, bodies, loader, queries
from distributed_config.services import changesets, versions
from distributed_config.services.changesets import Step, broken
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from distributed_config.wire import Document

blueprint = Blueprint("changesets", __name__)


@route(
    blueprint,
    "POST",
    "/changesets",
    permission="config:write",
    query=queries.PublishQuery,
    body=bodies.ChangesetBody,
    answers={200: answers.PublishedAnswer},
    refusals=(404, 410, 412, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def publish_changeset(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change several services at once: one revision, all or nothing.

    Each entry names a service and one action: `document` (create or replace), `merge`, `patch`,
    `rollback`, `enable` or `disable`; with `if_match` only if it is still that version.
    """
    steps = _steps(body, query["environment"])
    return commit(query, changesets.publish, steps, render=_render_published)


def _render_published(written: list[WriteResult], _head: Head) -> ResponseData:
    return json_response({"success": True, "services": answers.PublishedStep.render_all(written)})


def _steps(body: dict[str, Any], environment: str) -> list[Step]:
    """Return the steps of a changeset, in the order of the request.

    ``environment`` is that of the steps that name none.

    An entry with problems becomes a broken step, which raises them when it is its turn: so the
    response has the problems of all entries, also those that only the database can find.
    """
    changes = body.get("changes", [])
    # The schema could not say this: the limit is a setting. It comes first, because each entry
    # costs time under the write lock.
    most = database.of().settings.changeset_services
    if len(changes) > most:
        message = f"At most {most} services change at once (DISTCONF_CHANGESET_SERVICES)."
        raise Invalid.from_problems([Problem("/changes", message, "limit")])
    problems = body[loader.FAULTS]
    # What is wrong with the body as a whole is a step as well: it is reported beside the entries'
    # own problems.
    about_all = [broken("", InvalidDocument.from_problems(problems))] if problems else []
    return about_all + [
        _step(f"/changes/{i}", {"environment": environment, **change})
        for i, change in enumerate(changes)
    ]


def _step(pointer: str, change: dict[str, Any]) -> Step:
    """Return the step of one entry, whose problems are at ``pointer``."""
    name, problems = change.get("service", ""), list(change[loader.FAULTS])
    document: Document | None = None
    if "document" in change:
        try:
            document = _document(change["document"], name)
        except InvalidDocument as error:
            problems += [
                replace(problem, pointer=f"/document{problem.pointer}")
                for problem in error.problems
            ]
    if problems:
        series = Series(name, change["environment"])
        return broken(pointer, InvalidDocument.from_problems(problems), series)
    [part] = [action for action in bodies.ChangesetStep.ACTIONS if action in change]
    series = Series(name, change["environment"])
    act = _act(change, series, document)
    return Step(pointer, f"{pointer}/{part}", series, act, document is not None)


def _document(value: Any, name: str) -> Document:
    """Return ``value`` as it will be stored. Raises InvalidDocument.

    ``name`` is "" where it was wrong itself; the document's own problems are still found.
    """
    limits = http_request.document_limits()
    return wire.make_document(value, limits, name) if name else wire.make_object(value, limits)


def _act(
    change: dict[str, Any], series: Series, document: Document | None
) -> Callable[[Transaction], WriteResult]:
    """Return the one action of an entry; ``document`` is what it publishes, if it does."""
    limits = http_request.document_limits()
    expect = _precondition(change.get("if_match"))
    if document is not None:
        return lambda transaction: versions.put(transaction, series, document, expect)
    if "merge" in change:
        merge = change["merge"]
        return lambda transaction: versions.merge(transaction, series, merge, limits, expect)
    if "patch" in change:
        patch = change["patch"]
        return lambda transaction: versions.patch(transaction, series, patch, limits, expect)
    if "rollback" in change:
        number = change["rollback"]
        return lambda transaction: versions.roll_back(transaction, series, number, expect)
    enabled = "enable" in change
    number = change["enable" if enabled else "disable"]
    return lambda transaction: versions.set_enabled(transaction, series, number, enabled, expect)


def _precondition(if_match: str | None) -> Precondition:
    if if_match is None:
        return no_precondition
    tags = wire.parse_etags(if_match)
    return lambda standing: (
        standing is not None and any(wire.etag_matches(tag, standing.etag) for tag in tags)
    )
