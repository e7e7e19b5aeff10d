"""The tables.

Times are microseconds since 1970 in UTC. ``revision`` is always the journal's. The journal's rows
name services by their text, because they outlive them.

One file: the whole schema is read on one page.
"""

from typing import Annotated

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Moment = Annotated[int, mapped_column(BigInteger)]
Revision = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    # Named constraints, so that a migration can name what it changes.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class OrganisationRow(Base):
    """A tenant. ``default`` exists from the start, with id 1."""

    __tablename__ = "organisations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[Moment]


class EnvironmentRow(Base):
    """A named variant of every service. ``inherits`` is another one; None: it stands alone.

    ``default`` exists from the start, in every organisation.
    """

    __tablename__ = "environments"

    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    description: Mapped[str] = mapped_column(Text)
    inherits: Mapped[str | None] = mapped_column(Text)
    protected: Mapped[bool]
    position: Mapped[int]
    created_at: Mapped[Moment]


class InheritanceRow(Base):
    """What an environment has inherited from since a revision. Never updated, never deleted."""

    __tablename__ = "inheritances"

    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    revision: Mapped[Revision] = mapped_column(primary_key=True, autoincrement=False)
    inherits: Mapped[str | None] = mapped_column(Text)


class ServiceRow(Base):
    """A named configuration. A service that was deleted and created again is another row.

    ``secret_marks`` is "" where nothing is secret. Otherwise something may be: by the service's own
    pointers, a JSON array that may be empty, by its definition, or since it was once.
    """

    __tablename__ = "services"
    # An id is never used again, also when the newest service is deleted: the response to POST
    # shows it.
    __table_args__ = (UniqueConstraint("organisation_id", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]
    created_revision: Mapped[Revision]
    # The attribute says which marks: the database has had the column by its shorter name since its
    # first schema, and renaming it would rewrite the table.
    secret_marks: Mapped[str] = mapped_column(
        "marks", Text, key="secret_marks", server_default="", default=""
    )


class KeptMarksRow(Base):
    """What was secret in a service that was deleted; see ``services/secrets/kept_marks.py``.

    ``pointers`` is as ``ServiceRow.secret_marks``; ``schema`` is that of its definition, "" if
    none marks.
    """

    __tablename__ = "kept_marks"

    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    pointers: Mapped[str] = mapped_column(Text)
    schema: Mapped[str] = mapped_column(Text)


class ExtensionRow(Base):
    """What a service has extended since a revision: a JSON array of names. Never updated."""

    __tablename__ = "extensions"

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    revision: Mapped[Revision] = mapped_column(primary_key=True, autoincrement=False)
    extends: Mapped[str] = mapped_column(Text)


class DependencyRow(Base):
    """A service that another one rests on, by its name: ``target``.

    ``environment`` is that of the series whose current document refers to it; "" where the
    service extends it.
    """

    __tablename__ = "dependencies"
    __table_args__ = (Index(None, "organisation_id", "target"),)

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    target: Mapped[str] = mapped_column(Text, primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))


class TagRow(Base):
    """A word that services can be searched by."""

    __tablename__ = "service_tags"
    __table_args__ = (Index(None, "tag"),)

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)


class VersionRow(Base):
    """One version. Once written, only ``enabled`` changes, and a deletion empties ``document``.

    ``document`` is the last column: SQLite then reads the columns before it without touching the
    pages that a large document fills.
    """

    __tablename__ = "versions"

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True, default="default")
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    enabled: Mapped[bool]
    digest: Mapped[str] = mapped_column(Text)
    size: Mapped[int]
    author: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]
    revision: Mapped[Revision]
    deleted_revision: Mapped[Revision | None]
    document: Mapped[str | None] = mapped_column(Text)


class RollbackRow(Base):
    """A version that is a roll-back: the copy of the version ``to_number``. Never updated.

    A table of its own: a column that is added to ``versions`` would come after the document.
    """

    __tablename__ = "version_rollbacks"

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    to_number: Mapped[int]


class DefinitionRow(Base):
    """A named JSON Schema that services conform to. ``changed_at`` moves with all it has.

    ``applies_to`` says which documents have to conform: the ``resolved`` ones, or all ``layers``.
    """

    __tablename__ = "definitions"
    __table_args__ = (UniqueConstraint("organisation_id", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    name: Mapped[str] = mapped_column(Text)
    policy: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    applies_to: Mapped[str] = mapped_column(Text, server_default="resolved", default="resolved")


class DefinitionRevisionRow(Base):
    """One revision of a definition. Never updated. ``schema`` is last, as a document is."""

    __tablename__ = "definition_revisions"

    definition_id: Mapped[int] = mapped_column(ForeignKey("definitions.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    forced: Mapped[bool]
    created_at: Mapped[Moment]
    revision: Mapped[Revision]
    schema: Mapped[str] = mapped_column(Text)


class IndexRow(Base):
    """A property of a definition, by its dotted path, that its services can be searched by."""

    __tablename__ = "definition_indexes"
    __table_args__ = (UniqueConstraint("definition_id", "path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    definition_id: Mapped[int] = mapped_column(ForeignKey("definitions.id"))
    position: Mapped[int]
    path: Mapped[str] = mapped_column(Text)


class ConformanceRow(Base):
    """A service that conforms to a definition.

    The service's name is here as well, so that a definition's services come in its order without
    being sorted. ``changed_at`` is when it got what is current.
    """

    __tablename__ = "conformances"
    __table_args__ = (
        Index(None, "definition_id", "name"),
        Index(None, "definition_id", "changed_at"),
    )

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    definition_id: Mapped[int] = mapped_column(ForeignKey("definitions.id"))
    name: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[Moment]


class EntryRow(Base):
    """What the current document of a series has under an index.

    ``services/conformance/index_keys.py`` says how the key is formed.
    """

    __tablename__ = "index_entries"
    __table_args__ = (Index(None, "index_id", "environment", "key", "name", "service_id"),)

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    index_id: Mapped[int] = mapped_column(ForeignKey("definition_indexes.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)


class CheckRow(Base):
    """The definition, and its revision, that a version was checked against last."""

    __tablename__ = "version_checks"

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[str] = mapped_column(Text)
    definition_revision: Mapped[int]


class HeadRow(Base):
    """The journal's head: one row. ``epoch`` is another one after every restore.

    ``first_epoch`` is the one that the database was created with, and stays. ``steady_at`` is
    steady time at the newest commit, at ``uptime`` of the boot ``boot``: see
    ``services/journal/steady.py``.

    The newest entry of the audit log is here as well, so that adding one costs no look-up, and
    the last ones cannot go missing by themselves.
    """

    __tablename__ = "head"

    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[str] = mapped_column(Text)
    revision: Mapped[Revision]
    changed_at: Mapped[Moment]
    audit_id: Mapped[int] = mapped_column(server_default="0")
    audit_at: Mapped[Moment] = mapped_column(server_default="0")
    audit_hash: Mapped[str] = mapped_column(Text, server_default="0" * 64)
    first_epoch: Mapped[str] = mapped_column(Text, server_default="")
    steady_at: Mapped[Moment] = mapped_column(server_default="0")
    boot: Mapped[str] = mapped_column(Text, server_default="")
    uptime: Mapped[Moment] = mapped_column(server_default="0")


class ChangeRow(Base):
    """One entry of the journal. Never updated, never deleted.

    ``number`` is that of a version or, of a change that belongs to a definition and to no service,
    of its revision. ``current`` is the number of the version that is current after the change,
    None if none is. ``subject`` is who or what a change of accounts is about, as ``user:3``.
    """

    __tablename__ = "changes"
    __table_args__ = (
        Index(None, "organisation_id", "service", "environment", "revision"),
        Index(None, "changed_at"),
    )

    revision: Mapped[Revision] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    changed_at: Mapped[Moment]
    organisation_id: Mapped[int]
    kind: Mapped[str] = mapped_column(Text)
    service: Mapped[str | None] = mapped_column(Text)
    environment: Mapped[str | None] = mapped_column(Text)
    number: Mapped[int | None]
    current: Mapped[int | None]
    digest: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    definition: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)


class IdempotencyRow(Base):
    """The first response for an idempotency key; ``created_at`` is steady time."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    organisation_id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]
    status: Mapped[int]
    headers: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class UserRow(Base):
    """A person. ``password`` is an Argon2id hash; "" is none, and fits nothing."""

    __tablename__ = "users"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    password: Mapped[str] = mapped_column(Text)
    must_change: Mapped[bool]
    active: Mapped[bool]
    created_at: Mapped[Moment]


class MembershipRow(Base):
    """What a user may do in an organisation: a role, limited to a scope (two JSON arrays)."""

    __tablename__ = "memberships"
    __table_args__ = (Index(None, "organisation_id"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    services: Mapped[str] = mapped_column(Text)
    environments: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]


class RoleRow(Base):
    """A role of an organisation's own; ``permissions`` is a JSON array."""

    __tablename__ = "roles"

    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    permissions: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]


class TokenRow(Base):
    """A credential; see ``services/access/tokens.py`` for the kinds.

    ``digest`` is the SHA-256 of the secret, which is stored nowhere; ``hint`` is how it begins.
    ``parent_id`` is the token that created it; see ``services/access/lineage.py``.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        Index(None, "organisation_id"),
        Index(None, "user_id"),
        Index(None, "parent_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text, unique=True)
    hint: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    services: Mapped[str] = mapped_column(Text)
    environments: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]
    created_by: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    used_at: Mapped[Moment | None]
    used_from: Mapped[str] = mapped_column(Text)
    # It refers to a row of this table; rows of it are never deleted.
    parent_id: Mapped[int | None]


class SecretKeyRow(Base):
    """A key that encrypts secrets, itself encrypted; see ``services/secrets/keyring.py``."""

    __tablename__ = "secret_keys"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Text, unique=True)
    wrapped: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Moment]


class AuditRow(Base):
    """One link of the chain of what happened; see ``services/journal/audit.py``. Never updated."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "organisation_id", "id"), Index(None, "revision"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    happened_at: Mapped[Moment]
    organisation_id: Mapped[int | None]
    kind: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    service: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[Revision | None]
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)
