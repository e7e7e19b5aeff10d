"""Fields that several schemas share: strict numbers and switches, times, names."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from distributed_config import wire
from distributed_config.errors import Invalid
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

TAG = validate.Regexp(r"[\w][\w.:\-]{0,62}\Z", error="A tag is a word of at most 63 characters.")


class StrictInteger(fields.Integer):
    """Decimal digits and nothing else; ``int()`` would also take ``" 1_0"``."""

    def __init__(self, least: int = 0, most: int = wire.MOST_REVISION, **rest: Any) -> None:
        span = validate.Range(least, most, error=f"It is a whole number from {least} to {most}.")
        super().__init__(validate=span, **rest)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> int:
        if isinstance(value, str) and not (value.isascii() and value.isdigit()):
            raise ValidationError("It is not a whole number.")
        # To Python true is 1; in JSON it is no number.
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ValidationError("It is not a whole number.")
        return super()._deserialize(value, attr, data, **rest)


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``; queries may write them as Python (``True``) and shells (``TRUE``) do.

    ``yes`` and ``on`` are refused: readers of YAML disagree about what those mean.
    """

    truthy = frozenset(("true", "True", "TRUE", "1", True))  # type: ignore[assignment]  # marshmallow says set
    falsy = frozenset(("false", "False", "FALSE", "0", False))  # type: ignore[assignment]  # and only reads it


class Time(fields.String):
    """A time: RFC 3339 text outside, and inside microseconds since 1970, as times are stored."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **rest: Any) -> str | None:
        text = None if value is None else wire.format_time(value)
        return super()._serialize(text, attr, obj, **rest)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> Any:
        try:
            # Stored times are whole microseconds: finer parts are dropped.
            return wire.parse_time(super()._deserialize(value, attr, data, **rest))
        except (ValueError, OverflowError):
            raise ValidationError("It is not a time as in 2026-11-21T09:30:00Z.") from None


class Cursor(fields.String):
    """A position in the journal: ``REVISION.EPOCH``, or a revision alone."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> Any:
        try:
            return wire.parse_position(super()._deserialize(value, attr, data, **rest))
        except ValueError:
            message = "It is a revision, or the `next` or `id` that this server gave."
            raise ValidationError(message) from None


class ServiceName(fields.String):
    """A name that follows the rules of ``wire.check_name``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> str:
        name = super()._deserialize(value, attr, data, **rest)
        try:
            # The rule stands in one place; here only its sentence is handed on.
            return wire.check_name(name)
        except Invalid as error:
            raise ValidationError(error.problems[0].message) from None


def service_name(**rest: Any) -> ServiceName:
    """Return the field of a service's name, which is required."""
    missing: dict[str, Any] = {"required": "A name is needed, as in ?service=web."}
    return ServiceName(required=True, error_messages=missing, metadata={"example": "web"}, **rest)


def definition_name() -> ServiceName:
    """Return the field of a definition's name, which is required and follows the same rules."""
    missing: dict[str, Any] = {"required": "A name is needed, as in ?definition=web."}
    return ServiceName(required=True, error_messages=missing, metadata={"example": "web"})


def environment() -> fields.String:
    """Return the field of an environment; whether there is one of that name, the database says."""
    return fields.String(
        load_default=DEFAULT_ENVIRONMENT,
        metadata={"description": "The environment that is meant.", "example": "default"},
    )


class VersionOrEnvironment(fields.String):
    """A version's number, as an integer, or the name of an environment."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> Any:
        text = super()._deserialize(value, attr, data, **rest)
        # No environment has a name of digits alone.
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text


def dry_run() -> StrictBoolean:
    return StrictBoolean(
        load_default=False, metadata={"description": "Only show what would happen."}
    )


def note() -> fields.String:
    return fields.String(
        load_default=None, metadata={"description": "Why; stored with the version and the change."}
    )


def seconds(**rest: Any) -> StrictInteger:
    """Return the field of a token's lifetime."""
    text = {"description": "How long it lives, from now on; null: for ever."}
    return StrictInteger(least=1, most=10**9, allow_none=True, metadata=text, **rest)


def repeatable(inner: fields.Field[Any], description: str) -> fields.List[Any]:
    # Each one is another condition in SQL, which has limits of its own.
    most = validate.Length(max=50, error="It is given at most 50 times.")
    about = {"repeatable": True, "description": description}
    return fields.List(inner, load_default=list, validate=most, metadata=about)
