"""Several services in one atomic publish."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.http import database
from distributed_config.http import request as asked
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.writes import commit
from distributed_config.schemas import answers, bodies, loader, queries
from distributed_config.services import versions
from distributed_config.services.changesets import Step, broken
from distributed_config.services.changesets import publish as publish_steps
from distributed_config.services.documents.preconditions import Precondition, no_precondition
from distributed_config.services.documents.series import Series
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
    steps = _steps(body)

    def unit(transaction: Transaction) -> ResponseData:
        written = publish_steps(transaction, steps)
        return json_response({"success": True, "services": [_shown(each) for each in written]})

    return commit(unit, asked.note(query["note"]), query["dry_run"])


def _steps(body: dict[str, Any]) -> list[Step]:
    """What is asked for, in the order of the request; what cannot be is broken steps."""
    changes = body.get("changes", [])
    most = database.of().settings.changeset_services
    if len(changes) > most:
        message = f"At most {most} services change at once (DISTCONF_CHANGESET_SERVICES)."
        raise Invalid.from_problems([Problem("/changes", message, "limit")])
    faults = body[loader.FAULTS]
    about_all = [broken("", InvalidDocument.from_problems(faults))] if faults else []
    return about_all + [_step(f"/changes/{i}", change) for i, change in enumerate(changes)]


def _step(pointer: str, change: dict[str, Any]) -> Step:
    """What an entry asks for."""
    name, problems = change.get("service", ""), list(change[loader.FAULTS])
    document: Document | None = None
    if "document" in change:
        try:
            document = _document(change["document"], name)
        except InvalidDocument as error:
            problems += [
                replace(each, pointer=f"/document{each.pointer}") for each in error.problems
            ]
    if problems:
        return broken(pointer, InvalidDocument.from_problems(problems), name)
    [part] = [action for action in bodies.ChangesetStep.ACTIONS if action in change]
    return Step(pointer, f"{pointer}/{part}", name, _act(change, document), document is not None)


def _document(value: Any, name: str) -> Document:
    """``value`` as the service will store it. Raises InvalidDocument; without a name too."""
    limits = asked.document_limits()
    return wire.make_document(value, limits, name) if name else wire.make_object(value, limits)


def _act(change: dict[str, Any], document: Document | None) -> Callable[[Transaction], WriteResult]:
    """The one action of an entry; ``document`` if that is to be published."""
    name, limits = change["service"], asked.document_limits()
    expect = _expectation(change.get("if_match"))
    if document is not None:
        return lambda transaction: versions.put(transaction, Series(name), document, expect)
    if "merge" in change:
        return lambda transaction: versions.merge(
            transaction, Series(name), change["merge"], limits, expect
        )
    if "patch" in change:
        return lambda transaction: versions.patch(
            transaction, Series(name), change["patch"], limits, expect
        )
    if "rollback" in change:
        return lambda transaction: versions.roll_back(
            transaction, Series(name), change["rollback"], expect
        )
    if "enable" in change:
        return lambda transaction: versions.set_enabled(
            transaction, Series(name), change["enable"], True, expect
        )
    return lambda transaction: versions.set_enabled(
        transaction, Series(name), change["disable"], False, expect
    )


def _expectation(if_match: str | None) -> Precondition:
    if if_match is None:
        return no_precondition
    tags = wire.parse_etags(if_match)
    return lambda now: now is not None and any(wire.etag_matches(tag, now.etag) for tag in tags)


def _shown(written: WriteResult) -> dict[str, Any]:
    return {
        "service": written.service,
        "version": written.number,
        "current": written.current,
        "changed": written.changed,
    }
