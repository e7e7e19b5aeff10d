"""Statements about versions, made once."""

from sqlalchemy import Integer, LargeBinary, and_, bindparam, cast, func, insert, select, update

from distributed_config.models import (
    ChangeRow,
    CheckRow,
    ConformanceRow,
    DefinitionRevisionRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services.journal.kinds import MARKING_KINDS
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

SERIES = and_(
    VersionRow.service_id == bindparam("series"),
    VersionRow.environment == DEFAULT_ENVIRONMENT,
)


ONE = and_(SERIES, VersionRow.number == bindparam("which"))


PLAIN = (
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


WHOLE = (*PLAIN, VersionRow.document)


NAMED = and_(
    ServiceRow.organisation_id == bindparam("organisation"), ServiceRow.name == bindparam("name")
)


FIND = (
    select(
        ServiceRow.id,
        select(func.max(VersionRow.number))
        .where(
            VersionRow.service_id == ServiceRow.id, VersionRow.environment == DEFAULT_ENVIRONMENT
        )
        .scalar_subquery(),
        ConformanceRow.definition_id,
        ServiceRow.secret_marks,
    )
    .outerjoin(ConformanceRow, ConformanceRow.service_id == ServiceRow.id)
    .where(NAMED)
)


COUNT = (
    select(func.count())
    .select_from(ServiceRow)
    .where(ServiceRow.organisation_id == bindparam("organisation"))
)


HOME = select(
    ServiceRow.id, ServiceRow.organisation_id, ServiceRow.name, ServiceRow.secret_marks
).where(ServiceRow.id == bindparam("service"))


CURRENT = (
    select(
        *PLAIN,
        ServiceRow.id.label("service_id"),
        ServiceRow.secret_marks,
        select(ChangeRow.changed_at)
        .where(
            ChangeRow.organisation_id == bindparam("organisation"),
            ChangeRow.service == bindparam("name"),
            ChangeRow.environment == DEFAULT_ENVIRONMENT,
        )
        .order_by(ChangeRow.revision.desc())
        .limit(1)
        .scalar_subquery()
        .label("moved_at"),
        VersionRow.document,
    )
    .select_from(ServiceRow)
    .outerjoin(
        VersionRow,
        and_(
            VersionRow.service_id == ServiceRow.id,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.enabled,
        ),
    )
    .where(NAMED)
    .order_by(VersionRow.number.desc())
    .limit(1)
)


CURRENT_KEY = (
    select(VersionRow.number, VersionRow.digest)
    .where(SERIES, VersionRow.enabled)
    .order_by(VersionRow.number.desc())
    .limit(1)
)


CURRENT_BYTES = (
    # As bytes: damaged text may not be UTF-8, and would fail the whole unit when it is read.
    select(cast(VersionRow.document, LargeBinary).label("document"), VersionRow.digest)
    .where(SERIES, VersionRow.enabled)
    .order_by(VersionRow.number.desc())
    .limit(1)
)


STORED = select(*WHOLE).where(ONE)


SIZE = select(func.sum(VersionRow.size)).where(SERIES, VersionRow.deleted_revision.is_(None))


EXISTING = (
    select(*WHOLE).where(SERIES, VersionRow.deleted_revision.is_(None)).order_by(VersionRow.number)
)


BEFORE = and_(SERIES, VersionRow.number < func.coalesce(bindparam("before", type_=Integer), 2**62))


NEWEST_FIRST = VersionRow.number.desc()


MOST = bindparam("most", type_=Integer)


HISTORY = select(*PLAIN).where(BEFORE).order_by(NEWEST_FIRST).limit(MOST)


HISTORY_WITH_DOCUMENTS = select(*WHOLE).where(BEFORE).order_by(NEWEST_FIRST).limit(MOST)


CHECKS = select(CheckRow.number, CheckRow.definition, CheckRow.definition_revision).where(
    CheckRow.service_id == bindparam("series"),
    CheckRow.environment == DEFAULT_ENVIRONMENT,
    CheckRow.number.between(bindparam("lowest"), bindparam("highest")),
)


LAST_TWO = (
    select(ChangeRow.revision, ChangeRow.changed_at)
    .where(
        ChangeRow.organisation_id == bindparam("organisation"),
        ChangeRow.service == bindparam("name"),
    )
    .order_by(ChangeRow.revision.desc())
    .limit(2)
)


MOVED = LAST_TWO.where(ChangeRow.environment == DEFAULT_ENVIRONMENT)


MARKED = LAST_TWO.where(ChangeRow.environment.is_(None), ChangeRow.kind.in_(MARKING_KINDS))


REVISED = (
    select(DefinitionRevisionRow.revision, DefinitionRevisionRow.created_at)
    .join(ConformanceRow, ConformanceRow.definition_id == DefinitionRevisionRow.definition_id)
    .join(ServiceRow, ServiceRow.id == ConformanceRow.service_id)
    .where(NAMED)
    .order_by(DefinitionRevisionRow.number.desc())
    .limit(2)
)


ENABLED_NUMBERS = (
    select(VersionRow.number).where(SERIES, VersionRow.enabled).order_by(VersionRow.number)
)


INSERT_SERVICE = insert(ServiceRow).returning(ServiceRow.id)


INSERT_VERSION = insert(VersionRow)


ENABLE = update(VersionRow).where(ONE).values(enabled=bindparam("to"))


DISABLE_ALL = update(VersionRow).where(SERIES, VersionRow.enabled).values(enabled=False)


ERASE = update(VersionRow).where(ONE).values(document=None, deleted_revision=bindparam("at"))
