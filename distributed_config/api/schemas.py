"""What comes in at the doors of the API and what goes out, as marshmallow schemas."""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from distributed_config import wire
from distributed_config.errors import Invalid
from distributed_config.errors import Problem as Fault
from distributed_config.formats import FORMATS
from distributed_config.services.audit import KINDS as AUDIT_KINDS
from distributed_config.services.journal import KINDS

TAG = validate.Regexp(r"[\w][\w.:\-]{0,62}\Z", error="A tag is a word of at most 63 characters.")


class WholeNumber(fields.Integer):
    """Decimal digits and nothing else; ``int()`` would also take ``" 1_0"``."""

    def __init__(self, least: int = 0, most: int = wire.MOST_REVISION, **rest: Any) -> None:
        span = validate.Range(least, most, error=f"It is a whole number from {least} to {most}.")
        super().__init__(validate=span, **rest)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> int:
        if isinstance(value, str) and not (value.isascii() and value.isdigit()):
            raise ValidationError("It is not a whole number.")
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ValidationError("It is not a whole number.")
        return super()._deserialize(value, attr, data, **rest)


class Switch(fields.Boolean):
    """``true`` or ``false``; queries may write them as Python (``True``) and shells (``TRUE``) do.

    ``yes`` and ``on`` are refused: readers of YAML disagree about what those mean.
    """

    truthy = frozenset(("true", "True", "TRUE", "1", True))  # type: ignore[assignment]  # marshmallow says set
    falsy = frozenset(("false", "False", "FALSE", "0", False))  # type: ignore[assignment]  # and only reads it


class Moment(fields.String):
    """An RFC 3339 time, as times are stored."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **rest: Any) -> Any:
        try:
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
            return wire.check_name(name)
        except Invalid as error:
            raise ValidationError(error.problems[0].message) from None


def service_name(**rest: Any) -> ServiceName:
    """A name that must be given."""
    missing: dict[str, Any] = {"required": "A name is needed, as in ?service=web."}
    return ServiceName(required=True, error_messages=missing, metadata={"example": "web"}, **rest)


def definition_name() -> ServiceName:
    """The name of a definition, that must be given; the rules are those of services' names."""
    missing: dict[str, Any] = {"required": "A name is needed, as in ?definition=web."}
    return ServiceName(required=True, error_messages=missing, metadata={"example": "web"})


def dry_run() -> Switch:
    return Switch(load_default=False, metadata={"description": "Only answer what would happen."})


def note() -> fields.String:
    return fields.String(
        load_default=None, metadata={"description": "Why; kept with the version and the change."}
    )


def seconds(**rest: Any) -> WholeNumber:
    """How long a token lives."""
    text = {"description": "How long it lives, from now on; null: for ever."}
    return WholeNumber(least=1, most=10**9, allow_none=True, metadata=text, **rest)


def repeatable(inner: fields.Field[Any], description: str) -> fields.List[Any]:
    most = validate.Length(max=50, error="It is given at most 50 times.")
    about = {"repeatable": True, "description": description}
    return fields.List(inner, load_default=list, validate=most, metadata=about)


# --- queries


class ServiceQuery(Schema):
    service = service_name()


class ConfigReadQuery(ServiceQuery):
    version = fields.String(
        load_default=None,
        validate=validate.Regexp(
            r"(current|[0-9]{1,18})\Z", error="It is a number of up to 18 digits, or current."
        ),
        metadata={"description": "`current`, or a number."},
    )
    as_of = fields.String(
        load_default=None,
        metadata={"description": "A revision, or an RFC 3339 time: what was current then."},
    )
    format = fields.String(
        load_default=None,
        validate=validate.OneOf(list(FORMATS), error="It is one of: {choices}."),
    )
    defaults = Switch(
        load_default=False,
        metadata={"description": "Fill in what the definition has defaults for."},
    )
    min_revision = WholeNumber(
        load_default=None,
        metadata={"description": "Answer only from this revision on; waits up to 5 s for it."},
    )

    @validates_schema
    def _one_of_them(self, data: dict[str, Any], **_rest: Any) -> None:
        if data.get("version") is not None and data.get("as_of") is not None:
            raise ValidationError("Give version= or as_of=, not both.", "as_of")


class WriteQuery(ServiceQuery):
    note = note()
    dry_run = dry_run()


class PutQuery(WriteQuery):
    definition = ServiceName(
        load_default=None,
        metadata={"description": "Conform to this definition, from this write on."},
    )


class PatchQuery(WriteQuery):
    version = WholeNumber(load_default=None)
    enabled = Switch(load_default=None)

    @validates_schema
    def _together(self, data: dict[str, Any], **_rest: Any) -> None:
        if (data.get("version") is None) != (data.get("enabled") is None):
            raise ValidationError("version= and enabled= go together.", "enabled")


class DeleteQuery(WriteQuery):
    version = WholeNumber(load_default=None)


class PageQuery(Schema):
    limit = WholeNumber(least=1, most=100_000, load_default=None)
    cursor = fields.String(
        load_default=None, metadata={"description": "From the Link header of the page before."}
    )


class ServicesQuery(PageQuery):
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )
    prefix = fields.String(load_default="", metadata={"description": "How the name begins."})
    tag = repeatable(fields.String(), "A tag that the service has; several must all be there.")


class VersionsQuery(ServiceQuery, PageQuery):
    documents = Switch(load_default=False, metadata={"description": "Documents as well."})


class DiffQuery(ServiceQuery):
    old = WholeNumber(required=True, data_key="from")
    new = WholeNumber(required=True, data_key="to")


class RollbackQuery(WriteQuery):
    to = WholeNumber(
        load_default=None,
        metadata={
            "description": "The version to copy; without it the enabled one before the current."
        },
    )


class ChangesQuery(Schema):
    after = Cursor(
        load_default=None,
        metadata={
            "description": "Changes after this position, `REVISION.EPOCH`: from the first, unless "
            "it is a stream. A revision alone belongs to the database's first epoch.",
            "pattern": r"^[0-9]{1,19}(\.[0-9A-Za-z]{1,64})?$",
            "example": "41.2b4e3723",
        },
    )
    limit = WholeNumber(least=1, most=100_000, load_default=None)
    wait = WholeNumber(
        load_default=None, metadata={"description": "Seconds to wait until there is something."}
    )
    include = fields.String(
        load_default=None,
        validate=validate.OneOf(("document",), error="It is document."),
        metadata={"description": "What became current as well, where it has up to 64 KiB."},
    )
    service = repeatable(fields.String(), "Only this service; one that ends in / is a prefix.")
    kind = repeatable(
        fields.String(validate=validate.OneOf(KINDS, error="It is one of: {choices}.")),
        "Only this kind of change.",
    )
    epoch = fields.String(
        load_default=None,
        metadata={
            "description": "The epoch of an `after` that is a revision alone; another one is a 410."
        },
    )


class AuditFilter(Schema):
    actor = fields.String(load_default=None, metadata={"description": "Who it was, exactly."})
    kind = repeatable(
        fields.String(validate=validate.OneOf(AUDIT_KINDS, error="It is one of: {choices}.")),
        "Only this kind of entry.",
    )
    service = fields.String(
        load_default=None,
        metadata={"description": "Only about this service; one that ends in / is a prefix."},
    )
    since = Moment(load_default=None, metadata={"description": "From this RFC 3339 time on."})
    until = Moment(load_default=None, metadata={"description": "Up to this RFC 3339 time."})
    from_revision = WholeNumber(
        load_default=None, metadata={"description": "Only what seals this revision or a later one."}
    )
    to_revision = WholeNumber(
        load_default=None,
        metadata={"description": "Only what seals this revision or an earlier one."},
    )


class AuditQuery(AuditFilter, PageQuery):
    pass


class AuditExportQuery(AuditFilter):
    format = fields.String(
        load_default="jsonl",
        validate=validate.OneOf(("jsonl", "csv"), error="It is one of: {choices}."),
    )


class PublishQuery(Schema):
    note = note()
    dry_run = dry_run()


class DefinitionQuery(Schema):
    definition = definition_name()


class DefinitionReadQuery(DefinitionQuery):
    number = WholeNumber(
        load_default=None, metadata={"description": "A revision; the newest unless given."}
    )


class DefinitionsQuery(PageQuery):
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )


class RevisionsQuery(DefinitionQuery, PageQuery):
    schemas = Switch(load_default=False, metadata={"description": "Schemas as well."})


class DefinitionDiffQuery(DefinitionQuery):
    old = WholeNumber(required=True, data_key="from")
    new = WholeNumber(required=True, data_key="to")


class DefinitionWriteQuery(DefinitionQuery):
    note = note()
    dry_run = dry_run()


class ReviseQuery(DefinitionWriteQuery):
    force = Switch(
        load_default=False,
        metadata={"description": "Also if it breaks something; needs a note, and is journalled."},
    )


class DeleteDefinitionQuery(DefinitionWriteQuery):
    cascade = fields.String(
        load_default="",
        validate=validate.OneOf(("detach", "delete"), error="It is one of: {choices}."),
        metadata={"description": "What becomes of the services that conform to it."},
    )


class ConformingQuery(DefinitionQuery, PageQuery):
    where = repeatable(
        fields.String(),
        "What an indexed property must be, as in `db.port>=5000`, `tier=gold` or "
        "`tier in gold,silver`; several must all hold.",
    )
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )
    sort = fields.String(
        load_default=None, metadata={"description": "An indexed property; by name unless given."}
    )
    order = fields.String(
        load_default="asc", validate=validate.OneOf(("asc", "desc"), error="It is asc or desc.")
    )


class ExportQuery(Schema):
    prefix = fields.String(load_default="", metadata={"description": "How the name begins."})
    format = fields.String(
        load_default=None,
        validate=validate.OneOf(list(FORMATS), error="It is one of: {choices}."),
    )


class ImportQuery(PublishQuery):
    prune = Switch(
        load_default=False,
        metadata={
            "description": "Also delete every service that the object does not name. "
            "Takes `config:publish`."
        },
    )
    prefix = fields.String(
        load_default="",
        metadata={"description": "With `prune`: only services whose name begins so are deleted."},
    )

    @validates_schema
    def _prefix_is_for_pruning(self, data: dict[str, Any], **_rest: Any) -> None:
        if data.get("prefix") and not data.get("prune"):
            raise ValidationError("It only limits what prune=true deletes.", "prefix")


# --- bodies


FAULTS = "faults"


class Telling(Schema):
    """Loads what it can; what it cannot is under ``faults``, as problems with their pointers.

    So whoever takes the body can tell them together with all else that is wrong with it.
    """

    def load(self, data: Any, **rest: Any) -> dict[str, Any]:
        try:
            return {**super().load(data, **rest), FAULTS: []}
        except ValidationError as error:
            messages: Any = error.normalized_messages()  # type: ignore[no-untyped-call]  # it has no types
            valid = error.valid_data if isinstance(error.valid_data, dict) else {}
            sound = {name: each for name, each in valid.items() if name not in messages}
            return {**sound, FAULTS: wire.in_order(_faults(messages), data)}


class Told(fields.Nested):
    """A ``Telling`` schema in another; nothing in its place is a fault among its own."""

    def deserialize(self, value: Any, *rest: Any, **named: Any) -> Any:
        if value is None:
            return {FAULTS: [Fault("", "It may not be null.", "schema")]}
        return super().deserialize(value, *rest, **named)


def _faults(messages: Any, pointer: str = "") -> Iterator[Fault]:
    if isinstance(messages, dict):
        for key, below in messages.items():
            inner = f"/{wire.escape_pointer(str(key))}" if key != "_schema" else ""
            yield from _faults(below, pointer + inner)
    else:
        yield from (Fault(pointer, text, "schema") for text in messages)


class TagsBody(Schema):
    tags = fields.List(fields.String(validate=TAG), required=True, validate=validate.Length(max=50))


POLICY = validate.OneOf(("none", "backward", "forward", "full"), error="It is one of: {choices}.")


class DefinitionBody(Telling):
    """What stays as it is may be left out."""

    schema = fields.Dict(metadata={"description": "A JSON Schema, of draft 7 or 2020-12."})
    policy = fields.String(
        validate=POLICY,
        metadata={"description": "What revisions must keep; none unless given."},
    )
    indexes = fields.List(
        fields.String(),
        metadata={"description": "Properties to find services by, as in `db.host`."},
    )


class NewDefinitionBody(DefinitionBody):
    schema = fields.Dict(
        required=True, metadata={"description": "A JSON Schema, of draft 7 or 2020-12."}
    )


class SchemaBody(Schema):
    schema = fields.Dict(
        required=True, metadata={"description": "A JSON Schema, of draft 7 or 2020-12."}
    )


class PointersBody(Schema):
    pointers = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "JSON pointers; `*` is any key or element: `/users/*/key`."},
    )


class PointersAnswer(Schema):
    pointers = fields.List(fields.String(), required=True)


class MarkedAnswer(PointersAnswer):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)


class AttachBody(Schema):
    definition = ServiceName(required=True)


class ChangesetStep(Telling):
    """What happens to one service: exactly one of the actions."""

    service = ServiceName(required=True)
    document = fields.Raw(metadata={"description": "The whole new document."})
    merge = fields.Dict(metadata={"description": "A merge patch (RFC 7396)."})
    patch = fields.List(fields.Raw(), metadata={"description": "A JSON Patch (RFC 6902)."})
    rollback = WholeNumber(metadata={"description": "A version to copy."})
    enable = WholeNumber(metadata={"description": "A version to turn on."})
    disable = WholeNumber(metadata={"description": "A version to turn off."})
    if_match = fields.String(metadata={"description": "The entity tag of the current version."})

    ACTIONS = ("document", "merge", "patch", "rollback", "enable", "disable")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _one_action(self, _data: dict[str, Any], given: Any, **_rest: Any) -> None:
        if isinstance(given, dict) and sum(action in given for action in self.ACTIONS) != 1:
            raise ValidationError(f"Exactly one is needed of: {', '.join(self.ACTIONS)}.")


class ChangesetBody(Telling):
    changes = fields.List(Told(ChangesetStep), required=True, validate=validate.Length(min=1))


class OrganisationBody(Schema):
    name = fields.String(required=True)


class RightsBody(Schema):
    """A role, limited to services (names, or prefixes that end in `/`) and environments."""

    role = fields.String(required=True)
    services = fields.List(fields.String(), load_default=list)
    environments = fields.List(fields.String(), load_default=list)


class RightsChangeBody(Schema):
    """What is not given stays."""

    role = fields.String()
    services = fields.List(fields.String())
    environments = fields.List(fields.String())


class UserBody(RightsBody):
    email = fields.String(required=True)
    password = fields.String(load_default="")


class UserChangeBody(RightsChangeBody):
    active = fields.Boolean()
    must_change = fields.Boolean()
    password = fields.String()


class MembershipBody(RightsBody):
    email = fields.String(required=True)


class RoleBody(Schema):
    permissions = fields.List(fields.String(), required=True)


class TokenBody(Schema):
    """`personal`: the token acts as who makes it; without a role it may do all that they may.

    What is made with a token, and not after a log-in, ends with that token at the latest, also
    when that is revoked.
    """

    name = fields.String(required=True)
    role = fields.String(load_default="")
    services = fields.List(fields.String(), load_default=list)
    environments = fields.List(fields.String(), load_default=list)
    seconds = seconds(load_default=None)
    personal = fields.Boolean(load_default=False)


class TokenChangeBody(RightsChangeBody):
    name = fields.String()
    seconds = seconds()


class RotateBody(Schema):
    overlap = WholeNumber(
        load_default=0, metadata={"description": "Seconds for which the old one stays good."}
    )


class LoginBody(Schema):
    email = fields.String(required=True)
    password = fields.String(required=True)


class PasswordBody(Schema):
    old = fields.String(required=True)
    new = fields.String(required=True)


class AccountsQuery(Schema):
    limit = WholeNumber(least=1, load_default=None)
    cursor = fields.String(load_default="")
    search = fields.String(load_default="")


class MembershipsQuery(AccountsQuery):
    email = fields.String(
        load_default="", metadata={"description": "Those of this address; search= is a part of it."}
    )


class MembershipQuery(Schema):
    email = fields.String(required=True)
    note = note()
    dry_run = dry_run()


class AccountQuery(Schema):
    id = WholeNumber(required=True)
    note = note()
    dry_run = dry_run()


class NamedAccountQuery(Schema):
    name = fields.String(required=True)
    note = note()
    dry_run = dry_run()


class AccountWriteQuery(Schema):
    note = note()
    dry_run = dry_run()


# --- answers


class OrganisationAnswer(Schema):
    id = fields.Integer(required=True)
    name = fields.String(required=True)
    created_at = fields.String(required=True)


class OrganisationsAnswer(Schema):
    organisations = fields.List(fields.Nested(OrganisationAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class UserAnswer(Schema):
    id = fields.Integer(required=True)
    email = fields.String(required=True)
    active = fields.Boolean(required=True)
    must_change = fields.Boolean(required=True)
    has_password = fields.Boolean(required=True)
    role = fields.String(required=True)
    services = fields.List(fields.String(), required=True)
    environments = fields.List(fields.String(), required=True)
    created_at = fields.String(required=True)


class UsersAnswer(Schema):
    users = fields.List(fields.Nested(UserAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class MembershipAnswer(Schema):
    user = fields.Integer(required=True)
    email = fields.String(required=True)
    organisation = fields.String(required=True)
    role = fields.String(required=True)
    services = fields.List(fields.String(), required=True)
    environments = fields.List(fields.String(), required=True)


class MembershipsAnswer(Schema):
    memberships = fields.List(fields.Nested(MembershipAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RoleAnswer(Schema):
    name = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    own = fields.Boolean(required=True)


class RolesAnswer(Schema):
    roles = fields.List(fields.Nested(RoleAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class TokenAnswer(Schema):
    """`token` is there once, in the answer that made it; null in that of a rehearsal."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    name = fields.String(required=True)
    hint = fields.String(required=True)
    user = fields.String(required=True, allow_none=True)
    role = fields.String(required=True)
    services = fields.List(fields.String(), required=True)
    environments = fields.List(fields.String(), required=True)
    created_at = fields.String(required=True)
    created_by = fields.String(required=True)
    expires_at = fields.String(required=True, allow_none=True)
    revoked_at = fields.String(required=True, allow_none=True)
    used_at = fields.String(required=True, allow_none=True)
    used_from = fields.String(required=True)
    token = fields.String(allow_none=True)


class TokensAnswer(Schema):
    tokens = fields.List(fields.Nested(TokenAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class DoneAnswer(Schema):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)


class SomebodyAnswer(Schema):
    """Who asks, and what they may."""

    name = fields.String(required=True)
    organisation = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    scopes = fields.List(fields.Dict(), required=True)
    expires_at = fields.String(required=True, allow_none=True)
    must_change = fields.Boolean(required=True)


class BearerAnswer(Schema):
    """As OAuth 2 has it (RFC 6749)."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True)


class WrittenAnswer(Schema):
    """What a write did."""

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
    removed_more = fields.Integer(
        metadata={"description": "How many more it took away. Not there where these are all."}
    )


class CreatedAnswer(Schema):
    """What the creation of a service answers."""

    ID = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    service = fields.String(required=True)
    serviceJSONconf = fields.String(required=True)  # noqa: N815  # the contract's word
    success = fields.Boolean(required=True)
    total_configs = fields.Integer(required=True)


class ServiceAnswer(Schema):
    name = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    versions = fields.Integer(required=True)
    current = fields.Integer(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True)
    definition = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True)
    updated_at = fields.String(required=True)


class ServicesAnswer(Schema):
    services = fields.List(fields.Nested(ServiceAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class ReasonAnswer(Schema):
    pointer = fields.String(required=True)
    message = fields.String(required=True)
    breaks = fields.List(fields.String(), required=True)


class CompatibilityAnswer(Schema):
    """Null where it could not be decided."""

    backward = fields.Boolean(required=True, allow_none=True)
    forward = fields.Boolean(required=True, allow_none=True)
    reasons = fields.List(fields.Nested(ReasonAnswer), required=True)


class ProblemEntry(Schema):
    parameter = fields.String()
    pointer = fields.String(required=True)
    message = fields.String(required=True)
    rule = fields.String(required=True)


class UnfitAnswer(Schema):
    service = fields.String(required=True)
    version = fields.Integer(required=True)
    problems = fields.List(fields.Nested(ProblemEntry), required=True)


class ReviewAnswer(Schema):
    """What a schema would do. `unfit_services` shows the first hundred."""

    checked = fields.Integer(required=True)
    unfit = fields.Integer(required=True)
    unfit_services = fields.List(fields.Nested(UnfitAnswer), required=True)
    compatibility = fields.Nested(CompatibilityAnswer, required=True)
    allowed = fields.Boolean(required=True)


class DefinitionAnswer(Schema):
    name = fields.String(required=True)
    number = fields.Integer(required=True)
    policy = fields.String(required=True)
    indexes = fields.List(fields.String(), required=True)
    services = fields.Integer(required=True)
    digest = fields.String(required=True)
    author = fields.String(required=True)
    note = fields.String(required=True)
    forced = fields.Boolean(required=True)
    created_at = fields.String(required=True)
    changed_at = fields.String(required=True)
    revised_at = fields.String(required=True)
    schema = fields.Dict()


class DefinitionsAnswer(Schema):
    definitions = fields.List(fields.Nested(DefinitionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RevisionsAnswer(Schema):
    definition = fields.String(required=True)
    revisions = fields.List(fields.Nested(DefinitionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class RevisedAnswer(Schema):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)
    definition = fields.Nested(DefinitionAnswer, required=True)
    review = fields.Nested(ReviewAnswer, allow_none=True, required=True)


class RemovedAnswer(Schema):
    success = fields.Boolean(required=True)
    services = fields.List(fields.String(), required=True)


class CheckedAnswer(Schema):
    valid = fields.Boolean(required=True)
    problems = fields.List(fields.Nested(ProblemEntry), required=True)


class SchemaDiffAnswer(Schema):
    patch = fields.List(fields.Dict(), required=True)
    text = fields.String(required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": "There is more than `patch` and `text` tell: do not apply them."},
    )
    compatibility = fields.Nested(CompatibilityAnswer, required=True)


class ConformingAnswer(Schema):
    definition = fields.String(required=True)
    services = fields.List(fields.Nested(ServiceAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class AttachedAnswer(Schema):
    success = fields.Boolean(required=True)
    changed = fields.Boolean(required=True)
    definition = fields.String(required=True, allow_none=True)


class VersionAnswer(Schema):
    number = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    deleted = fields.Boolean(required=True)
    digest = fields.String(required=True)
    size = fields.Integer(required=True)
    author = fields.String(required=True)
    note = fields.String(required=True)
    created_at = fields.String(required=True)
    revision = fields.Integer(required=True)
    definition = fields.String(required=True, allow_none=True)
    definition_revision = fields.Integer(required=True, allow_none=True)
    document = fields.Raw(metadata={"description": "With documents=true; null if deleted."})


class VersionsAnswer(Schema):
    service = fields.String(required=True)
    versions = fields.List(fields.Nested(VersionAnswer), required=True)
    next = fields.String(allow_none=True, required=True)


class DiffAnswer(Schema):
    patch = fields.List(fields.Dict(), required=True)
    text = fields.String(required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": "There is more than `patch` and `text` tell: do not apply them."},
    )


class ChangeAnswer(Schema):
    revision = fields.Integer(required=True)
    position = fields.Integer(required=True)
    time = fields.String(required=True)
    kind = fields.String(required=True)
    service = fields.String(required=True, allow_none=True)
    definition = fields.String(required=True, allow_none=True)
    subject = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of a change of accounts: who or what, as `user:3`."},
    )
    environment = fields.String(required=True, allow_none=True)
    version = fields.Integer(required=True, allow_none=True)
    current = fields.Integer(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True)
    actor = fields.String(required=True)
    note = fields.String(required=True)
    document = fields.Dict(allow_none=True, metadata={"description": "With include=document."})


class ChangesAnswer(Schema):
    changes = fields.List(fields.Nested(ChangeAnswer), required=True)
    revision = fields.Integer(required=True)
    epoch = fields.String(required=True)
    next = fields.String(
        required=True,
        metadata={"description": "The `after` to go on with: the revision and its epoch."},
    )
    more = fields.Boolean(required=True)


class AuditEntry(Schema):
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


class AuditAnswer(Schema):
    entries = fields.List(fields.Nested(AuditEntry), required=True)
    next = fields.String(required=True, allow_none=True)


class AuditHeadAnswer(Schema):
    id = fields.Integer(required=True)
    hash = fields.String(required=True)


class PublishedStep(Schema):
    service = fields.String(required=True)
    version = fields.Integer(required=True)
    current = fields.Integer(required=True, allow_none=True)
    changed = fields.Boolean(required=True)


class PublishedAnswer(Schema):
    success = fields.Boolean(required=True)
    services = fields.List(fields.Nested(PublishedStep), required=True)


class ImportedAnswer(Schema):
    success = fields.Boolean(required=True)
    created = fields.List(fields.String(), required=True)
    updated = fields.List(fields.String(), required=True)
    unchanged = fields.List(fields.String(), required=True)
    deleted = fields.List(
        fields.String(), required=True, metadata={"description": "By `prune`; empty without it."}
    )


class Problem(Schema):
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
