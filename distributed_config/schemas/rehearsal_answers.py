"""What the responses to rehearsed writes have besides, and the problems of refused ones."""

from typing import Any

from marshmallow import fields, post_dump

from distributed_config.schemas.base import Answer


class ProblemEntry(Answer):
    parameter = fields.String()
    pointer = fields.String(required=True)
    message = fields.String(required=True)
    rule = fields.String(required=True)
    line = fields.Integer(
        metadata={"description": "Where in the text of the body it is, from 1, with `column`."}
    )
    column = fields.Integer()

    # A field cannot leave itself out, and an empty one would be one more key to understand.
    @post_dump
    def _leave_out_what_is_not_there(
        self, rendered: dict[str, Any], **_rest: Any
    ) -> dict[str, Any]:
        optional = ("parameter", "line", "column")
        return {key: value for key, value in rendered.items() if value or key not in optional}


class ImpactAnswer(Answer):
    """A resolved document that a write would change, and in how many places."""

    service = fields.String(required=True)
    environment = fields.String(required=True)
    changed = fields.Integer(required=True)
    pointers = fields.List(fields.String(), required=True)
    problems = fields.List(fields.Nested(ProblemEntry), required=True)


class PlaceAnswer(Answer):
    """A place at which two documents differ; `old` or `new` is left out where there is nothing."""

    pointer = fields.String(required=True)
    old = fields.Raw()
    new = fields.Raw()


class RehearsedAnswer(Answer):
    """What a rehearsal shows besides with `diff=true`; secrets are masked, whoever asks."""

    changes = fields.List(fields.Nested(PlaceAnswer))
    text = fields.String(metadata={"description": "A unified diff."})
    truncated = fields.Boolean(
        metadata={"description": "`changes` or `text` is not complete: each has at most 1 MB."}
    )
