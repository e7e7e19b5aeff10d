"""The responses of routes about the history of one service."""

from typing import Any

from marshmallow import fields, post_dump

from distributed_config.schemas.base import Answer
from distributed_config.services.diff import ABSENT


class ContestedAnswer(Answer):
    """A place that both sides changed; a side is left out where there is nothing."""

    pointer = fields.String(required=True)
    base = fields.Raw()
    mine = fields.Raw()
    current = fields.Raw()

    @post_dump
    def _leave_out_what_is_absent(self, rendered: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        return {key: value for key, value in rendered.items() if value is not ABSENT}


class MergeAnswer(Answer):
    """Secrets are masked, but for those that came with the request."""

    base = fields.Integer(required=True)
    current = fields.Integer(required=True)
    if_match = fields.String(required=True)
    merged = fields.Dict(required=True)
    contested = fields.List(fields.Nested(ContestedAnswer), required=True)
