"""The responses of routes, as they are rendered and as the OpenAPI document describes them.

The values come from the services as they are: the attribute of a field says where. Some keys are
added by a view; and a response that is rendered by hand says why.
"""

from itertools import islice
from typing import Any

from marshmallow import fields, post_dump, pre_dump

from distributed_config.json_schema import Reason
from distributed_config.schemas.base import Answer
from distributed_config.schemas.fields import Time
from distributed_config.schemas.rehearsal_answers import ImpactAnswer, ProblemEntry, RehearsedAnswer
from distributed_config.services.conformance.rules import RESOLVED
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

_MOST_LISTED = 100


class Excerpt(fields.List[Any]):
    """The first hundred elements: of problems and reasons there can be thousands.

    They are cut before they are rendered, which is what takes the time.
    """

    def _serialize(self, value: Any, attr: str | None, obj: Any, **rest: Any) -> list[Any] | None:
        first = None if value is None else list(islice(value, _MOST_LISTED))
        return super()._serialize(first, attr, obj, **rest)


class PointersAnswer(Answer):
    pointers = fields.List(fields.String(), required=True)


class MarkedAnswer(PointersAnswer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)


# Only success is in every one of them: the deletion of a service has no version to tell of.
class WrittenAnswer(RehearsedAnswer):
    """The outcome of a write."""

    success = fields.Boolean(required=True)
    version = fields.Integer()
    enabled = fields.Boolean()
    current = fields.Integer(allow_none=True)
    changed = fields.Boolean()
    removed = fields.List(
        fields.String(),
        metadata={
            "description": "JSON pointers to the top-level keys that a whole document took away; "
            "the first 20. Not there where it took none away."
        },
    )
    impact = fields.List(
        fields.Nested(ImpactAnswer),
        metadata={
            "description": "Of a rehearsal, where there are layers: the resolved documents that "
            "would change; the first 100."
        },
    )
    impact_more = fields.Integer(
        metadata={"description": "How many more would change. Not there where these are all."}
    )
    removed_more = fields.Integer(
        metadata={"description": "How many more it took away. Not there where these are all."}
    )


# These names are the original contract's, which is frozen; no other response is like it.
class CreatedAnswer(RehearsedAnswer):
    """The outcome of a creation."""

    ID = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    service = fields.String(required=True)
    serviceJSONconf = fields.String(required=True)  # noqa: N815  # the contract's word
    success = fields.Boolean(required=True)
    total_configs = fields.Integer(required=True)


class ServiceAnswer(Answer):
    """Of the environment that is asked for. `extends` and `environments` only where they tell."""

    name = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    versions = fields.Integer(required=True)
    current = fields.Integer(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True)
    definition = fields.String(required=True, allow_none=True)
    created_at = Time(required=True)
    updated_at = Time(required=True)
    extends = fields.List(
        fields.String(),
        metadata={"description": "What it extends. Not there where that is nothing."},
    )
    environments = fields.List(
        fields.String(),
        metadata={"description": "Where it has versions. Not there where that is `default` alone."},
    )

    # Most servers have neither, and their answers stay what they were.
    @post_dump
    def _leave_out_what_is_usual(self, rendered: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        if not rendered.get("extends"):
            rendered.pop("extends", None)
        if rendered.get("environments") in (None, [], [DEFAULT_ENVIRONMENT]):
            rendered.pop("environments", None)
        return rendered


class ReasonAnswer(Answer):
    pointer = fields.String(required=True)
    message = fields.String(required=True)
    breaks = fields.List(fields.String(), required=True)

    @pre_dump
    def _name_what_breaks(self, reason: Reason, **_rest: Any) -> dict[str, Any]:
        sides = (("backward", reason.narrower), ("forward", reason.wider))
        return {
            "pointer": reason.pointer,
            "message": reason.message,
            "breaks": [side for side, is_broken in sides if is_broken],
        }


class CompatibilityAnswer(Answer):
    """Null where it could not be decided."""

    backward = fields.Boolean(required=True, allow_none=True)
    forward = fields.Boolean(required=True, allow_none=True)
    reasons = Excerpt(fields.Nested(ReasonAnswer), required=True)


class UnfitAnswer(Answer):
    service = fields.String(required=True)
    version = fields.Integer(required=True)
    problems = fields.List(fields.Nested(ProblemEntry), required=True)


class ReviewAnswer(Answer):
    """The effect of a schema. `unfit_services` has the first hundred."""

    checked = fields.Integer(required=True)
    unfit = fields.Integer(required=True)
    unfit_services = Excerpt(fields.Nested(UnfitAnswer), required=True)
    compatibility = fields.Nested(CompatibilityAnswer, required=True)
    allowed = fields.Boolean(required=True)


class DefinitionAnswer(Answer):
    name = fields.String(required=True)
    number = fields.Integer(required=True)
    policy = fields.String(required=True)
    indexes = fields.List(fields.String(), required=True)
    services = fields.Integer(required=True)
    digest = fields.String(required=True)
    author = fields.String(required=True)
    note = fields.String(required=True)
    forced = fields.Boolean(required=True)
    created_at = Time(required=True)
    changed_at = Time(required=True)
    revised_at = Time(required=True)
    # The attribute schema of a definition is the stored text; a response has its value.
    schema = fields.Dict(attribute="document.value")
    applies_to = fields.String(
        metadata={
            "description": "`layers`: every stored document has to conform by itself. Not there "
            "where what is resolved has to."
        }
    )

    @post_dump
    def _leave_out_what_is_usual(self, rendered: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        if rendered.get("applies_to") == RESOLVED:
            del rendered["applies_to"]
        return rendered


class DefinitionSummary(DefinitionAnswer):
    """A definition in a list, and in the answer to a write: without its schema."""

    class Meta:
        exclude = ("schema",)


class DefinitionsAnswer(Answer):
    definitions = fields.List(fields.Nested(DefinitionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RevisionsAnswer(Answer):
    definition = fields.String(required=True)
    revisions = fields.List(fields.Nested(DefinitionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RevisedAnswer(Answer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)
    definition = fields.Nested(DefinitionAnswer, required=True)
    review = fields.Nested(ReviewAnswer, allow_none=True, required=True)


class RemovedAnswer(Answer):
    success = fields.Boolean(required=True)
    services = fields.List(fields.String(), required=True)


class CheckedAnswer(Answer):
    valid = fields.Boolean(required=True)
    problems = Excerpt(fields.Nested(ProblemEntry), required=True)


class SchemaDiffAnswer(Answer):
    patch = fields.List(fields.Dict(), required=True)
    text = fields.String(required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": "`patch` and `text` are not complete: do not apply them."},
    )
    compatibility = fields.Nested(CompatibilityAnswer, required=True)


class ConformingAnswer(Answer):
    definition = fields.String(required=True)
    services = fields.List(fields.Nested(ServiceAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class AttachedAnswer(Answer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)
    definition = fields.String(required=True, allow_none=True)


class VersionAnswer(Answer):
    number = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    deleted = fields.Boolean(required=True)
    digest = fields.String(required=True)
    size = fields.Integer(required=True)
    author = fields.String(required=True)
    note = fields.String(required=True)
    created_at = Time(required=True)
    revision = fields.Integer(required=True)
    definition = fields.String(required=True, allow_none=True)
    definition_revision = fields.Integer(required=True, allow_none=True)
    rolled_back_to = fields.Integer(
        metadata={"description": "Of a roll-back: the version that it is a copy of."}
    )
    document = fields.Raw(metadata={"description": "With documents=true; null if deleted."})
    changed = fields.Integer(
        allow_none=True,
        metadata={
            "description": "With include=changed: how many places it changed in the version before "
            "it; null where that is not known, as for the first version and for deleted ones."
        },
    )


class VersionsAnswer(Answer):
    service = fields.String(required=True)
    versions = fields.List(fields.Nested(VersionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class DiffAnswer(Answer):
    patch = fields.List(fields.Dict(), required=True)
    text = fields.String(required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": "`patch` and `text` are not complete: do not apply them."},
    )


class ChangeAnswer(Answer):
    revision = fields.Integer(required=True)
    position = fields.Integer(required=True)
    time = fields.String(required=True)
    kind = fields.String(required=True)
    service = fields.String(required=True, allow_none=True)
    definition = fields.String(required=True, allow_none=True)
    subject = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The subject of a change of accounts, as `user:3`."},
    )
    environment = fields.String(required=True, allow_none=True)
    version = fields.Integer(required=True, allow_none=True)
    current = fields.Integer(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True)
    actor = fields.String(required=True)
    note = fields.String(required=True)
    document = fields.Dict(allow_none=True, metadata={"description": "With include=document."})


class ChangesAnswer(Answer):
    changes = fields.List(fields.Nested(ChangeAnswer), required=True)
    revision = fields.Integer(required=True)
    epoch = fields.String(required=True)
    next = fields.String(
        required=True,
        metadata={"description": "The `after` to go on with: the revision and its epoch."},
    )
    more = fields.Boolean(required=True)


class AuditEntry(Answer):
    id = fields.Integer(required=True)
    time = fields.String(required=True)
    organisation = fields.Integer(required=True, allow_none=True)
    kind = fields.String(required=True)
    actor = fields.String(required=True)
    address = fields.String(required=True)
    service = fields.String(required=True, allow_none=True)
    revision = fields.Integer(required=True, allow_none=True)
    detail = fields.Dict(required=True)
    previous = fields.String(required=True)
    hash = fields.String(required=True)
    changes = fields.List(fields.Nested(ChangeAnswer), required=True)


class AuditAnswer(Answer):
    entries = fields.List(fields.Nested(AuditEntry), required=True)
    next = fields.String(required=True, allow_none=True)


class AuditHeadAnswer(Answer):
    id = fields.Integer(required=True)
    hash = fields.String(required=True)


class PublishedStep(Answer):
    service = fields.String(required=True)
    version = fields.Integer(required=True, attribute="number")
    current = fields.Integer(required=True, allow_none=True)
    changed = fields.Boolean(required=True)


class PublishedAnswer(Answer):
    success = fields.Boolean(required=True)
    services = fields.List(fields.Nested(PublishedStep), required=True)


class ImportedAnswer(Answer):
    success = fields.Boolean(required=True)
    created = fields.List(fields.String(), required=True)
    updated = fields.List(fields.String(), required=True)
    unchanged = fields.List(fields.String(), required=True)
    deleted = fields.List(
        fields.String(), required=True, metadata={"description": "By `prune`; empty without it."}
    )


class Problem(Answer):
    """Every error (RFC 9457)."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    problems = fields.List(fields.Nested(ProblemEntry), required=True)
    request_id = fields.String(required=True)
    success = fields.Boolean(required=True)
    error = fields.Integer(required=True)
    message = fields.String(required=True)
    reason = fields.String(metadata={"description": "With a 409."})
