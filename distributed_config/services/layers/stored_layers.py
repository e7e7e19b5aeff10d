"""The layers of services as they are stored: read for many services and environments at once."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, and_, bindparam, false, func, null, or_, select

from distributed_config.errors import VersionDeleted
from distributed_config.models import (
    ChangeRow,
    EnvironmentRow,
    ExtensionRow,
    InheritanceRow,
    ServiceRow,
    VersionRow,
)
from distributed_config.services import secrets
from distributed_config.services.documents import load
from distributed_config.services.documents.current import is_current
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.layers.merging import MARK_OF_USE, Hidden, Reference, references
from distributed_config.services.secrets import DocumentKey, SecretPaths
from distributed_config.wire import MASK, parse_stored

_BATCH = 500
_NOW = (1 << 63) - 1


@dataclass(frozen=True)
class Layer:
    """One current document that a resolved document is made of.

    ``value`` has a ``Hidden`` in place of each secret. Times are microseconds since 1970.
    """

    key: DocumentKey
    environment: str
    number: int
    digest: str
    text: str
    value: dict[str, Any]
    author: str
    note: str
    created_at: int
    revision: int

    @cached_property
    def targets(self) -> frozenset[str]:
        """The services that the document refers to."""
        if MARK_OF_USE not in self.text:
            return frozenset()
        found = references(self.value)
        return frozenset(one.service for _, one in found if isinstance(one, Reference))

    @property
    def service(self) -> str:
        """The name of the service that the document belongs to."""
        return self.key.name

    @property
    def may_have_secrets(self) -> bool:
        """Whether its service has marks, or the document a sealed value."""
        return bool(self.key.secret_marks) or secrets.is_sealed_text(self.text)

    def __str__(self) -> str:
        return f"{self.service}@{self.environment}:{self.number}"


@dataclass
class StoredService:
    """A service as it was read: what it extends, and its layers by environment.

    ``moved_at`` is when anything of that changed last, in the environments that were read.
    ``lost`` are the environments in which it had a current document at an earlier moment, whose
    series has been deleted since.
    """

    key: DocumentKey
    extends: tuple[str, ...]
    created_revision: int
    layers: dict[str, Layer] = field(default_factory=dict)
    moved_at: int = 0
    lost: set[str] = field(default_factory=set)


class StoredLayers:
    """The services of one organisation that were read so far, from one snapshot of the database.

    ``reveal`` shows secrets in the clear. ``at`` is the revision whose state is meant; None is the
    present one.
    """

    def __init__(
        self, connection: Connection, organisation: int, *, reveal: bool, at: int | None
    ) -> None:
        self._connection = connection
        self._organisation = organisation
        self._reveal = reveal
        self._at = at
        self._services: dict[str, StoredService | None] = {}
        self._read: set[tuple[str, str]] = set()
        self._marks: dict[int, SecretPaths] = {}

    def get(self, name: str) -> StoredService | None:
        """Return a service that was read; None if there is none."""
        return self._services.get(name)

    @property
    def names(self) -> set[str]:
        """The names that were looked for, also those of services that do not exist."""
        return set(self._services)

    def replace(self, name: str, environment: str, text: str) -> None:
        """Take ``text``, which has no secrets, for the current document of a service."""
        service = self._services[name]
        assert service is not None  # nothing rests on a service that does not exist
        service.layers[environment] = Layer(
            key=replace(service.key, environment=environment),
            environment=environment,
            number=-1,
            digest="",
            text=text,
            value=parse_stored(text),
            author="",
            note="",
            created_at=0,
            revision=0,
        )

    def read(self, names: Iterable[str], environments: Collection[str]) -> None:
        """Read the layers of services in ``environments``, unless that was done.

        Raises DocumentDamaged, SecretUnreadable, or VersionDeleted for an earlier state.
        """
        missing = [
            name for name in names if any((name, one) not in self._read for one in environments)
        ]
        # In batches: a statement has a limited number of parameters.
        for start in range(0, len(missing), _BATCH):
            self._read_batch(missing[start : start + _BATCH], list(environments))
        self._read |= {(name, environment) for name in missing for environment in environments}

    def was_deleted(self, name: str) -> bool:
        """Whether a service that was there at an earlier moment has been deleted since."""
        service = self._services.get(name)
        return self._at is not None and (service is None or service.created_revision > self._at)

    def secret_paths(self, key: DocumentKey) -> SecretPaths:
        """Return the marks of a service, which are read once."""
        if key.service_id not in self._marks:
            self._marks[key.service_id] = secrets.marks_of(self._connection, key)
        return self._marks[key.service_id]

    def _read_batch(self, names: list[str], environments: list[str]) -> None:
        parameters = {
            "organisation": self._organisation,
            "names": names,
            "chain": environments,
            "at": _NOW if self._at is None else self._at,
        }
        statement = _LAYERS_NOW if self._at is None else _LAYERS_THEN
        for name in names:
            self._services.setdefault(name, None)
        for row in self._connection.execute(statement, parameters):
            service = self._services[row.name]
            if service is None:
                key = DocumentKey(
                    row.service_id, row.organisation_id, row.name, row.secret_marks, row.place
                )
                extends = tuple(json.loads(row.extends or "[]"))
                service = StoredService(key, extends, row.created_revision)
                self._services[row.name] = service
            if row.is_lost:
                service.lost.add(row.place)
            moved = (row.series_moved, row.service_moved, row.environment_moved)
            service.moved_at = max(filter(None, (service.moved_at, *moved)), default=0)
            # A service is read again when another environment is asked for.
            if row.number is not None and row.place not in service.layers:
                service.layers[row.place] = self._layer(row)

    def _layer(self, row: Any) -> Layer:
        # Only an earlier state can have it: a deleted version is never current.
        if row.deleted_revision is not None:
            raise VersionDeleted(row.name, row.number)
        stored = load.verify_row(row)
        return Layer(
            key=stored.key,
            environment=row.place,
            number=stored.number,
            digest=stored.digest,
            text=stored.text,
            value=self._value(stored),
            author=row.author,
            note=row.note,
            created_at=row.created_at,
            revision=row.revision,
        )

    def _value(self, stored: load.StoredText) -> dict[str, Any]:
        key = stored.key
        # Most documents have no secrets, and are merged as they are.
        if not key.secret_marks and not secrets.is_sealed_text(stored.text):
            return parse_stored(stored.text)
        found = secrets.load_stored(self._connection, key, stored.text, self.secret_paths(key))
        value: dict[str, Any] = secrets.with_replaced(
            found.value,
            {
                path: Hidden(found.open(path) if self._reveal else MASK, key.name)
                for path in found.secrets
            },
        )
        return value


# --- statements, each built once: the layers of some services in some environments

_EXTENDS = (
    select(ExtensionRow.extends)
    .where(ExtensionRow.service_id == ServiceRow.id, ExtensionRow.revision <= bindparam("at"))
    .order_by(ExtensionRow.revision.desc())
    .limit(1)
    .scalar_subquery()
    .label("extends")
)


def _layers(environment: Any) -> Any:
    """Select what is needed of every service in each ``environment``, a column."""
    return select(
        *load.COLUMNS,
        environment.label("place"),
        _EXTENDS,
        VersionRow.author,
        VersionRow.note,
        VersionRow.created_at,
        VersionRow.revision,
        VersionRow.deleted_revision,
        ServiceRow.created_revision,
    )


_NAMED = and_(
    ServiceRow.organisation_id == bindparam("organisation"),
    ServiceRow.name.in_(bindparam("names", expanding=True)),
)


def _last_change(*conditions: Any) -> Any:
    """Select when the last change with ``conditions`` happened."""
    return (
        select(ChangeRow.changed_at)
        .where(ChangeRow.organisation_id == ServiceRow.organisation_id, *conditions)
        .order_by(ChangeRow.revision.desc())
        .limit(1)
        .correlate(ServiceRow, EnvironmentRow)
        .scalar_subquery()
    )


# Three, and not one with OR: each is one look into the index by service and environment.
_MOVED = (
    _last_change(
        ChangeRow.service == ServiceRow.name, ChangeRow.environment == EnvironmentRow.name
    ).label("series_moved"),
    _last_change(ChangeRow.service == ServiceRow.name, ChangeRow.environment.is_(None)).label(
        "service_moved"
    ),
    _last_change(ChangeRow.service.is_(None), ChangeRow.environment == EnvironmentRow.name).label(
        "environment_moved"
    ),
)

_LAYERS_NOW = (
    _layers(EnvironmentRow.name)
    .add_columns(false().label("is_lost"), *_MOVED)
    .select_from(ServiceRow)
    .join(
        EnvironmentRow,
        and_(
            EnvironmentRow.organisation_id == ServiceRow.organisation_id,
            EnvironmentRow.name.in_(bindparam("chain", expanding=True)),
        ),
    )
    # Outer-joined: a service without a layer of its own may extend others.
    .outerjoin(VersionRow, is_current(ServiceRow.id, EnvironmentRow.name))
    .where(_NAMED)
)

# Environments that do not exist any more as well: an earlier state may have had them.
_EVER = (
    select(InheritanceRow.environment)
    .where(
        InheritanceRow.organisation_id == bindparam("organisation"),
        InheritanceRow.environment.in_(bindparam("chain", expanding=True)),
    )
    .distinct()
    .subquery()
)

_FIRST = VersionRow.__table__.alias("first_version")
_BEGINNING = (
    select(_FIRST.c.revision)
    .where(
        _FIRST.c.service_id == ServiceRow.id,
        _FIRST.c.environment == _EVER.c.environment,
        _FIRST.c.number == 0,
    )
    .correlate(ServiceRow, _EVER)
    .scalar_subquery()
)


def _last_until_then(column: Any, *conditions: Any) -> Any:
    """Select ``column`` of a service's last change with ``conditions``."""
    return (
        select(column)
        .where(
            ChangeRow.organisation_id == ServiceRow.organisation_id,
            ChangeRow.service == ServiceRow.name,
            ChangeRow.revision <= bindparam("at"),
            *conditions,
        )
        .order_by(ChangeRow.revision.desc(), ChangeRow.position.desc())
        .limit(1)
        .correlate(ServiceRow, _EVER)
        .scalar_subquery()
    )


_OF_SERIES = ChangeRow.environment == _EVER.c.environment
# An earlier series of the same name has other documents under the same numbers.
_CURRENT_THEN = _last_until_then(ChangeRow.current, _OF_SERIES, ChangeRow.revision >= _BEGINNING)

_DELETED_THEN = _last_until_then(
    ChangeRow.revision,
    ChangeRow.environment.is_(None),
    ChangeRow.kind == ChangeKind.SERVICE_DELETED,
)
# A series can go with its whole service while a version of it is current.
_IS_LOST = and_(
    or_(_BEGINNING.is_(None), bindparam("at") < _BEGINNING),
    _last_until_then(
        ChangeRow.current, _OF_SERIES, ChangeRow.revision > func.coalesce(_DELETED_THEN, 0)
    ).is_not(None),
)

_LAYERS_THEN = (
    _layers(_EVER.c.environment)
    .add_columns(
        _IS_LOST.label("is_lost"),
        null().label("series_moved"),
        null().label("service_moved"),
        null().label("environment_moved"),
    )
    .select_from(ServiceRow)
    .join(_EVER, ServiceRow.organisation_id == bindparam("organisation"))
    .outerjoin(
        VersionRow,
        and_(
            VersionRow.service_id == ServiceRow.id,
            VersionRow.environment == _EVER.c.environment,
            VersionRow.number == _CURRENT_THEN,
        ),
    )
    .where(_NAMED)
)
