"""The responses about environments, and about what resolved documents are made of."""

from marshmallow import fields

from distributed_config.schemas.base import Answer
from distributed_config.schemas.fields import Time


class EnvironmentAnswer(Answer):
    name = fields.String(required=True)
    description = fields.String(required=True)
    inherits = fields.String(required=True, allow_none=True)
    protected = fields.Boolean(required=True)
    position = fields.Integer(required=True)
    created_at = Time(required=True)


class EnvironmentsAnswer(Answer):
    environments = fields.List(fields.Nested(EnvironmentAnswer), required=True)


class ExtendsAnswer(Answer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)
    extends = fields.List(fields.String(), required=True)


class LayerAnswer(Answer):
    service = fields.String(required=True)
    environment = fields.String(required=True)
    version = fields.Integer(required=True, attribute="number")


class OriginAnswer(LayerAnswer):
    author = fields.String(required=True)
    time = Time(required=True, attribute="created_at")
    note = fields.String(required=True)


class OverriddenAnswer(Answer):
    """A value of an earlier layer that is not served."""

    service = fields.String(required=True, attribute="layer.service")
    environment = fields.String(required=True, attribute="layer.environment")
    version = fields.Integer(required=True, attribute="layer.number")
    value = fields.Raw(required=True)


class ExplainedAnswer(Answer):
    """A value, and where it comes from. `use` is the reference that led to it."""

    pointer = fields.String(required=True)
    value = fields.Raw(required=True)
    origin = fields.Nested(OriginAnswer, required=True, data_key="from")
    overrides = fields.List(fields.Nested(OverriddenAnswer), required=True)
    use = fields.String()


class ExplanationAnswer(Answer):
    """Secrets are masked, whoever asks."""

    service = fields.String(required=True)
    environment = fields.String(required=True)
    revision = fields.Integer(required=True)
    layers = fields.List(fields.Nested(LayerAnswer), required=True)
    values = fields.List(fields.Nested(ExplainedAnswer), required=True)


class PromotedStep(Answer):
    service = fields.String(required=True)
    version = fields.Integer(required=True, attribute="number")
    changed = fields.Boolean(required=True)


class PromotionAnswer(Answer):
    success = fields.Boolean(required=True)
    source = fields.String(required=True, data_key="from")
    target = fields.String(required=True, data_key="to")
    changes = fields.List(fields.Nested(PromotedStep), required=True)
