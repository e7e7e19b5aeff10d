"""Several services in one atomic publish."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint

from distributed_config import wire
from distributed_config.api import schemas
from distributed_config.edge import database
from distributed_config.edge import requests as asked
from distributed_config.edge.doors import door
from distributed_config.edge.publishing import publish
from distributed_config.edge.responses import Answer, json_answer
from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.services import versions
from distributed_config.services.changesets import Step
from distributed_config.services.changesets import publish as publish_steps
from distributed_config.services.journal import Journal
from distributed_config.services.versions import Expect, Written, anything

blueprint = Blueprint("changesets", __name__)


@door(
    blueprint,
    "POST",
    "/changesets",
    permission="config:write",
    query=schemas.PublishQuery,
    body=schemas.ChangesetBody,
    answers={200: schemas.PublishedAnswer},
    refusals=(404, 410, 412, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def publish_changeset(query: dict[str, Any], body: dict[str, Any]) -> Answer:
    """Change several services at once: one revision, all or nothing.

    Each entry names a service and one action: `document` (create or replace), `merge`, `patch`,
    `rollback`, `enable` or `disable`; with `if_match` only if it is still that version.
    """
    steps = _steps(body["changes"])

    def unit(journal: Journal) -> Answer:
        written = publish_steps(journal, steps)
        return json_answer({"success": True, "services": [_shown(each) for each in written]})

    return publish(unit, asked.note(query["note"]), query["dry_run"])


def _steps(changes: list[dict[str, Any]]) -> list[Step]:
    most = database.of().settings.changeset_services
    if len(changes) > most:
        message = f"At most {most} services change at once (DISTCONF_CHANGESET_SERVICES)."
        raise Invalid.of([Problem("/changes", message, "limit")])
    steps: list[Step] = []
    problems: list[Problem] = []
    for i, change in enumerate(changes):
        pointer = f"/changes/{i}"
        try:
            [part] = [action for action in schemas.ChangesetStep.ACTIONS if action in change]
            place, literal = f"{pointer}/{part}", part == "document"
            steps.append(Step(pointer, place, change["service"], _act(change), literal))
        except InvalidDocument as error:
            prefix = f"{pointer}/document"
            problems += [replace(each, pointer=prefix + each.pointer) for each in error.problems]
    if problems:
        raise InvalidDocument.of(problems)
    return steps


def _act(change: dict[str, Any]) -> Callable[[Journal], Written]:
    """The one action of an entry. Raises InvalidDocument if its document cannot be stored."""
    name, limits = change["service"], asked.limits()
    expect = _expectation(change.get("if_match"))
    if "document" in change:
        document = wire.document_of(change["document"], limits, name)
        return lambda journal: versions.put(journal, name, document, expect)
    if "merge" in change:
        return lambda journal: versions.merge(journal, name, change["merge"], limits, expect)
    if "patch" in change:
        return lambda journal: versions.patch(journal, name, change["patch"], limits, expect)
    if "rollback" in change:
        return lambda journal: versions.roll_back(journal, name, change["rollback"], expect)
    if "enable" in change:
        return lambda journal: versions.set_enabled(journal, name, change["enable"], True, expect)
    return lambda journal: versions.set_enabled(journal, name, change["disable"], False, expect)


def _expectation(if_match: str | None) -> Expect:
    if if_match is None:
        return anything
    tags = wire.parse_etags(if_match)
    return lambda etag: any(wire.same_version(tag, etag) for tag in tags)


def _shown(written: Written) -> dict[str, Any]:
    return {
        "service": written.service,
        "version": written.number,
        "current": written.current,
        "changed": written.changed,
    }
