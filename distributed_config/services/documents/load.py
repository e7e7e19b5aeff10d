"""Stored documents: loaded, verified against their digests, and rendered for a viewer.

Every query for documents selects ``COLUMNS``, and every row of it goes through ``verify_row``.
That keeps two promises in one place: a damaged document is never served, and secrets are shown
only to those who may read them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, select

from distributed_config.models import ServiceRow, VersionRow
from distributed_config.services.documents.current import (
    SERVICE,
    in_environment,
    in_series,
    is_current,
)
from distributed_config.services.documents.stored import intact
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.services.secrets.masking import Rendered

COLUMNS = (
    ServiceRow.id.label("service_id"),
    ServiceRow.organisation_id,
    ServiceRow.name,
    ServiceRow.secret_marks,
    VersionRow.environment,
    VersionRow.number,
    VersionRow.digest,
    VersionRow.document,
)
"""The columns that ``verify_row`` needs; a query may have others after them."""

DOCUMENTS = select(*COLUMNS).join(VersionRow, VersionRow.service_id == ServiceRow.id)
"""The documents of all versions, in every environment and of every organisation."""

_CURRENT = select(*COLUMNS).join(VersionRow, is_current(ServiceRow.id))
_CURRENT_OF_ONE = _CURRENT.where(ServiceRow.id == SERVICE)


# A tuple: an export makes one for every service, and a frozen dataclass takes three times as long.
class StoredText(NamedTuple):
    """The document of one version, as it is stored; ``text`` is what its ``digest`` says."""

    key: DocumentKey
    number: int
    digest: str
    text: str

    def render(self, viewer: Viewer) -> Rendered:
        """Return the document as ``viewer`` shows it. Raises SecretUnreadable."""
        return viewer.render(self.key, self.text)


def verify_row(row: Any) -> StoredText:
    """Return the document in a row that begins with ``COLUMNS``. Raises DocumentDamaged."""
    service_id, organisation, name, marks, environment, number, digest, text = row[: len(COLUMNS)]
    key = DocumentKey(service_id, organisation, name, marks, environment)
    return StoredText(key, number, digest, intact(text, digest))


def load_current(connection: Connection, service_id: int, environment: str) -> StoredText | None:
    """Return the current document of a series, or None if no version is enabled.

    Raises DocumentDamaged.
    """
    parameters = in_series(service_id, environment)
    row = connection.execute(_CURRENT_OF_ONE, parameters).one_or_none()
    return None if row is None else verify_row(row)


def each_current(
    reader: Reader, *conditions: ColumnElement[bool], environment: str = DEFAULT_ENVIRONMENT
) -> Iterator[StoredText]:
    """Yield the current documents in an environment that the reader may see, by service.

    ``conditions`` are on ServiceRow. A service without an enabled version is left out. Raises
    DocumentDamaged when it gets to a damaged document.
    """
    # A generator: an export of many services is never in memory as a whole.
    query = _CURRENT.where(
        ServiceRow.organisation_id == reader.visibility.organisation,
        reader.visibility.sql_filter(ServiceRow.name),
        *conditions,
    ).order_by(ServiceRow.name)
    for row in reader.connection.execute(query, in_environment(environment)):
        yield verify_row(row)
