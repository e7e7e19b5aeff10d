"""The statements about versions, each built once when this module is loaded.

Parameters come from ``in_series`` where the service's id is known, and from ``NAMED`` where only
its name is. Statements that write name their values as no column is called: SQLAlchemy would take
such a parameter for a value to set.
"""

from sqlalchemy import Integer, LargeBinary, and_, bindparam, cast, func, insert, select, update

from distributed_config.models import (
    ChangeRow,
    CheckRow,
    ConformanceRow,
    DefinitionRevisionRow,
    RollbackRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services.documents.current import ENVIRONMENT, SERIES, SERVICE, is_current
from distributed_config.services.journal.kinds import MARKING_KINDS
from distributed_config.services.layers.graph import HAS_LAYERS

NAMED = and_(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)
"""The condition on a service that it has the name ``:name`` in ``:organisation``."""

_ONE = and_(SERIES, VersionRow.number == bindparam("which"))

METADATA = (
    VersionRow.number,
    VersionRow.enabled,
    VersionRow.digest,
    VersionRow.size,
    VersionRow.author,
    VersionRow.note,
    VersionRow.created_at,
    VersionRow.revision,
    VersionRow.deleted_revision,
)

_WHOLE = (*METADATA, VersionRow.document)


# --- services

FIND = (
    select(
        ServiceRow.id,
        func.coalesce(
            select(func.max(VersionRow.number))
            .where(VersionRow.service_id == ServiceRow.id, VersionRow.environment == ENVIRONMENT)
            .scalar_subquery(),
            -1,
        ),
        ConformanceRow.definition_id,
        ServiceRow.secret_marks,
        HAS_LAYERS.label("has_layers"),
    )
    .outerjoin(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(NAMED)
)

COUNT = (
    select(func.count())
    .select_from(ServiceRow)
    .where(ServiceRow.organisation_id == bindparam("organisation"))
)

INSERT_SERVICE = insert(ServiceRow).returning(ServiceRow.id)


# --- the current version

# The hottest statement of all, so everything that a read of the current version needs comes with
# it. The service is outer-joined: a row without a number says that nothing is current, and no row
# that there is no such service.
CURRENT = (
    select(
        *METADATA,
        ServiceRow.id.label("service_id"),
        ServiceRow.secret_marks,
        select(ChangeRow.changed_at)
        .where(
            ChangeRow.organisation_id == bindparam("organisation"),
            ChangeRow.service == bindparam("name"),
            ChangeRow.environment == ENVIRONMENT,
        )
        .order_by(ChangeRow.revision.desc())
        .limit(1)
        .scalar_subquery()
        .label("moved_at"),
        VersionRow.document,
    )
    .select_from(ServiceRow)
    .outerjoin(VersionRow, is_current(ServiceRow.id))
    .where(NAMED)
)

CURRENT_BYTES = (
    # As bytes: damaged text may not be UTF-8, and reading it as text would fail the whole
    # transaction.
    select(cast(VersionRow.document, LargeBinary).label("document"), VersionRow.digest).where(
        is_current(SERVICE)
    )
)


# --- versions of a series

STORED = select(*_WHOLE).where(_ONE)

SIZE = select(func.sum(VersionRow.size)).where(SERIES, VersionRow.deleted_revision.is_(None))

EXISTING = (
    select(*_WHOLE).where(SERIES, VersionRow.deleted_revision.is_(None)).order_by(VersionRow.number)
)

# One statement for a first page and for those after it: 2**62 is above every number.
_BEFORE = and_(SERIES, VersionRow.number < func.coalesce(bindparam("before", type_=Integer), 2**62))
_MOST = bindparam("most", type_=Integer)

HISTORY = select(*METADATA).where(_BEFORE).order_by(VersionRow.number.desc()).limit(_MOST)

HISTORY_WITH_DOCUMENTS = (
    select(*_WHOLE).where(_BEFORE).order_by(VersionRow.number.desc()).limit(_MOST)
)

CHECKS = select(CheckRow.number, CheckRow.definition, CheckRow.definition_revision).where(
    CheckRow.service_id == SERVICE,
    CheckRow.environment == ENVIRONMENT,
    CheckRow.number.between(bindparam("lowest"), bindparam("highest")),
)

ROLLBACKS = select(RollbackRow.number, RollbackRow.to_number).where(
    RollbackRow.service_id == SERVICE,
    RollbackRow.environment == ENVIRONMENT,
    RollbackRow.number.between(bindparam("lowest"), bindparam("highest")),
)

INSERT_ROLLBACK = insert(RollbackRow)

ENABLED_NUMBERS = (
    select(VersionRow.number).where(SERIES, VersionRow.enabled).order_by(VersionRow.number)
)

# Each environment with a version has one with number 0.
ENVIRONMENTS = (
    select(VersionRow.environment)
    .where(VersionRow.service_id == SERVICE, VersionRow.number == 0)
    .order_by(VersionRow.environment)
)

# In whichever environment.
ANY_VERSION = select(VersionRow.number).where(VersionRow.service_id == SERVICE).limit(1)

INSERT_VERSION = insert(VersionRow)

SET_ENABLED = update(VersionRow).where(_ONE).values(enabled=bindparam("to"))

DISABLE_ALL = update(VersionRow).where(SERIES, VersionRow.enabled).values(enabled=False)

ERASE = update(VersionRow).where(_ONE).values(document=None, deleted_revision=bindparam("at"))


# --- the two last revisions, with their times, that changed how versions are shown

_LAST_TWO = (
    select(ChangeRow.revision, ChangeRow.changed_at)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("name"),
    )
    .order_by(ChangeRow.revision.desc())
    .limit(2)
)

LAST_VERSION_CHANGES = _LAST_TWO.where(ChangeRow.environment == ENVIRONMENT)

# Marks belong to the service, so these changes are of no environment.
LAST_MARKINGS = _LAST_TWO.where(ChangeRow.environment.is_(None), ChangeRow.kind.in_(MARKING_KINDS))

LAST_DEFINITION_REVISIONS = (
    select(DefinitionRevisionRow.revision, DefinitionRevisionRow.created_at)
    .join(ConformanceRow, ConformanceRow.definition_id == DefinitionRevisionRow.definition_id)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .where(NAMED)
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(2)
)

CURRENT_AT_REVISION = (
    select(ChangeRow.current)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("name"),
        ChangeRow.environment == ENVIRONMENT,
        # An earlier series of the same name has other documents under the same numbers.
        ChangeRow.revision
        >= select(VersionRow.revision).where(SERIES, VersionRow.number == 0).scalar_subquery(),
    )
    .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
    .limit(1)
)
