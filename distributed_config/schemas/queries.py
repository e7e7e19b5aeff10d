"""The parameters of every route."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from distributed_config.formats import FORMATS
from distributed_config.schemas.fields import (
    Cursor,
    ServiceName,
    StrictBoolean,
    StrictInteger,
    Time,
    definition_name,
    dry_run,
    environment,
    note,
    repeatable,
    service_name,
)
from distributed_config.services.journal.kinds import AuditKind, ChangeKind


class ServiceQuery(Schema):
    service = service_name()
    environment = environment()


# Most of these exclude or need each other; what a schema cannot say is checked by the view.
class ConfigReadQuery(ServiceQuery):
    version = fields.String(
        load_default=None,
        validate=validate.Regexp(
            # More digits may not fit into SQLite's 64 bits.
            r"(current|[0-9]{1,18})\Z",
            error="It is a number of up to 18 digits, or current.",
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
    defaults = StrictBoolean(
        load_default=False,
        metadata={"description": "Fill in what the definition has defaults for."},
    )
    resolved = StrictBoolean(
        load_default=False,
        metadata={
            "description": "With `version=current` or `as_of=`: all layers merged, and references "
            "filled in; what programs should use."
        },
    )
    min_revision = StrictInteger(
        load_default=None,
        metadata={"description": "Answer only from this revision on; waits up to 5 s for it."},
    )

    @validates_schema
    def _one_of_them(self, data: dict[str, Any], **_rest: Any) -> None:
        # Each selects a version by itself; one of them would have to be ignored.
        if data.get("version") is not None and data.get("as_of") is not None:
            raise ValidationError("Give version= or as_of=, not both.", "as_of")
        if data.get("resolved") and data.get("version") != "current" and not data.get("as_of"):
            message = "It is for version=current or as_of=; a version by its number is one layer."
            raise ValidationError(message, "resolved")


class WriteQuery(ServiceQuery):
    note = note()
    dry_run = dry_run()


class VersionWriteQuery(WriteQuery):
    diff = StrictBoolean(
        load_default=False,
        metadata={
            "description": "With `dry_run=true`: also what would change, by place and as a text."
        },
    )

    @validates_schema
    def _is_rehearsed(self, data: dict[str, Any], **_rest: Any) -> None:
        # A write that is made shows in /api/v1/diff; a key may repeat its response for a day.
        if data.get("diff") and not data.get("dry_run"):
            raise ValidationError("It goes with dry_run=true.", "diff")


class PutQuery(VersionWriteQuery):
    definition = ServiceName(
        load_default=None,
        metadata={"description": "Conform to this definition, from this write on."},
    )


class PatchQuery(VersionWriteQuery):
    version = StrictInteger(load_default=None)
    enabled = StrictBoolean(load_default=None)

    @validates_schema
    def _together(self, data: dict[str, Any], **_rest: Any) -> None:
        # A version alone would look like an old document to be patched, which nothing can do.
        if (data.get("version") is None) != (data.get("enabled") is None):
            raise ValidationError("version= and enabled= go together.", "enabled")


class DeleteQuery(WriteQuery):
    version = StrictInteger(load_default=None)
    with_versions = StrictBoolean(
        load_default=False,
        metadata={
            "description": "Delete the service whether or not its versions are enabled; takes a "
            "note."
        },
    )

    @validates_schema
    def _is_about_the_service(self, data: dict[str, Any], **_rest: Any) -> None:
        # One of them would have to be ignored, and neither guess would be harmless.
        if data.get("with_versions") and data.get("version") is not None:
            message = "It deletes the whole service; leave version= out, or this."
            raise ValidationError(message, "with_versions")


# The bound on limit is only a sane number; the setting DISTCONF_PAGE_MOST is the true one.
class PageQuery(Schema):
    limit = StrictInteger(least=1, most=100_000, load_default=None)
    cursor = fields.String(
        load_default=None, metadata={"description": "From the Link header of the page before."}
    )


class ExplainQuery(ServiceQuery):
    pointer = fields.String(
        load_default="",
        validate=validate.Regexp(
            r"^(/|$)", error="A JSON pointer begins with a slash, as in /db/port."
        ),
        metadata={"description": "Only what is at this JSON pointer, or below it."},
    )


class EnvironmentQuery(Schema):
    name = fields.String(required=True, metadata={"example": "staging"})
    note = note()
    dry_run = dry_run()


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
    limit = StrictInteger(least=1, most=100_000, load_default=None)
    # No upper bound: more than the setting allows is cut, like Prefer: wait= in RFC 7240.
    wait = StrictInteger(
        load_default=None, metadata={"description": "Seconds to wait until there is something."}
    )
    include = fields.String(
        load_default=None,
        validate=validate.OneOf(("document",), error="It is document."),
        metadata={"description": "The documents that became current as well, up to 64 KiB each."},
    )
    service = repeatable(fields.String(), "Only this service; one that ends in / is a prefix.")
    environment = repeatable(
        fields.String(), "Versions of this environment only, and what concerns all environments."
    )
    resolved = StrictBoolean(
        load_default=False,
        metadata={
            "description": "With one `service` and one `environment`: every change of what its "
            "resolved document is made of."
        },
    )
    kind = repeatable(
        fields.String(validate=validate.OneOf(tuple(ChangeKind), error="It is one of: {choices}.")),
        "Only this kind of change.",
    )
    epoch = fields.String(
        load_default=None,
        metadata={
            "description": "The epoch of an `after` that is a revision alone; another one is a 410."
        },
    )

    @validates_schema
    def _one_document(self, data: dict[str, Any], **_rest: Any) -> None:
        if not data.get("resolved"):
            return
        services = data.get("service", [])
        if len(services) != 1 or services[0].endswith("/") or len(data.get("environment", [])) > 1:
            message = "It takes one service=, and at most one environment=."
            raise ValidationError(message, "resolved")
        # What became current is one layer; what programs get of it they ask for.
        if data.get("include") or data.get("kind"):
            raise ValidationError("It goes with neither include= nor kind=.", "resolved")


class AuditFilter(Schema):
    actor = fields.String(load_default=None, metadata={"description": "The actor's exact name."})
    kind = repeatable(
        fields.String(validate=validate.OneOf(tuple(AuditKind), error="It is one of: {choices}.")),
        "Only this kind of entry.",
    )
    service = fields.String(
        load_default=None,
        metadata={"description": "Only about this service; one that ends in / is a prefix."},
    )
    since = Time(load_default=None, metadata={"description": "From this RFC 3339 time on."})
    until = Time(load_default=None, metadata={"description": "Up to this RFC 3339 time."})
    from_revision = StrictInteger(
        load_default=None, metadata={"description": "Only what seals this revision or a later one."}
    )
    to_revision = StrictInteger(
        load_default=None,
        metadata={"description": "Only what seals this revision or an earlier one."},
    )


class AuditQuery(AuditFilter, PageQuery):
    pass


# No cursor: an export is complete, or it is refused for its size.
class AuditExportQuery(AuditFilter):
    format = fields.String(
        load_default="jsonl",
        validate=validate.OneOf(("jsonl", "csv"), error="It is one of: {choices}."),
    )


class PublishQuery(Schema):
    environment = environment()
    note = note()
    dry_run = dry_run()


class DefinitionQuery(Schema):
    definition = definition_name()


class DefinitionReadQuery(DefinitionQuery):
    number = StrictInteger(
        load_default=None, metadata={"description": "A revision; the newest by default."}
    )


class DefinitionsQuery(PageQuery):
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )


class RevisionsQuery(DefinitionQuery, PageQuery):
    schemas = StrictBoolean(load_default=False, metadata={"description": "Schemas as well."})


class DefinitionDiffQuery(DefinitionQuery):
    old = StrictInteger(required=True, data_key="from")
    new = StrictInteger(required=True, data_key="to")


class DefinitionWriteQuery(DefinitionQuery):
    note = note()
    dry_run = dry_run()


class ReviseQuery(DefinitionWriteQuery):
    force = StrictBoolean(
        load_default=False,
        metadata={"description": "Apply it even if it breaks something; takes a note."},
    )


class DeleteDefinitionQuery(DefinitionWriteQuery):
    cascade = fields.String(
        load_default="",
        validate=validate.OneOf(("detach", "delete"), error="It is one of: {choices}."),
        metadata={"description": "How the services that conform to it are treated."},
    )


class ConformingQuery(DefinitionQuery, PageQuery):
    environment = environment()
    where = repeatable(
        fields.String(),
        "A condition on an indexed property, as in `db.port>=5000`, `tier=gold` or "
        "`tier in gold,silver`; several must all hold.",
    )
    search = fields.String(
        load_default="", metadata={"description": "A part of the name, in any case."}
    )
    sort = fields.String(
        load_default=None, metadata={"description": "An indexed property; by name by default."}
    )
    order = fields.String(
        load_default="asc", validate=validate.OneOf(("asc", "desc"), error="It is asc or desc.")
    )


class ExportQuery(Schema):
    environment = environment()
    prefix = fields.String(load_default="", metadata={"description": "How the name begins."})
    format = fields.String(
        load_default=None,
        validate=validate.OneOf(list(FORMATS), error="It is one of: {choices}."),
    )


class ImportQuery(PublishQuery):
    prune = StrictBoolean(
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
        # To accept it would suggest that only these services are imported.
        if data.get("prefix") and not data.get("prune"):
            raise ValidationError("It only limits what prune=true deletes.", "prefix")


class AccountsQuery(Schema):
    limit = StrictInteger(least=1, load_default=None)
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
    id = StrictInteger(required=True)
    note = note()
    dry_run = dry_run()


class NamedAccountQuery(Schema):
    name = fields.String(required=True)
    note = note()
    dry_run = dry_run()


class AccountWriteQuery(Schema):
    note = note()
    dry_run = dry_run()
