"""Everything at once: the current documents of all services, out and in.

The shape is one object of ``{service: document}``. History does not travel this way; a backup
holds it.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select

from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.models import ServiceRow, VersionRow
from distributed_config.services.documents.stored import intact
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import DocumentKey, Viewer
from distributed_config.wire import (
    Document,
    DocumentLimits,
    check_name,
    digest_of,
    make_document,
    repeated_keys,
)


def export(reader: Reader, prefix: str = "") -> Iterator[tuple[str, Document]]:
    """The current document of every service whose name begins with ``prefix``, by name.

    A service whose versions are all disabled has none and is left out. Secrets are shown as
    ``realm`` sees them.
    """
    newest = (
        select(func.max(VersionRow.number))
        .where(
            VersionRow.service_id == ServiceRow.id,
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.enabled,
        )
        .correlate(ServiceRow)
        .scalar_subquery()
    )
    query = (
        select(
            ServiceRow.id,
            ServiceRow.name,
            ServiceRow.secret_marks,
            VersionRow.document,
            VersionRow.digest,
        )
        .join(VersionRow, VersionRow.service_id == ServiceRow.id)
        .where(
            ServiceRow.organisation_id == reader.visibility.organisation,
            reader.visibility.sql_filter(ServiceRow.name),
            VersionRow.environment == DEFAULT_ENVIRONMENT,
            VersionRow.number == newest,
            func.substr(ServiceRow.name, 1, len(prefix)) == prefix,
        )
        .order_by(ServiceRow.name)
    )
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)
    for service_id, name, marks, text, digest in reader.connection.execute(query):
        home = DocumentKey(service_id, reader.visibility.organisation, name, marks)
        shown = viewer.render(home, intact(text, digest))
        yield name, Document(shown.text, digest_of(shown.text) if shown.etag_variant else digest)


def documents_of(
    value: Any, limits: DocumentLimits
) -> list[tuple[str, Document | InvalidDocument]]:
    """The documents in an object of ``{service: document}``.

    What is wrong with a document, or with its service's name, is in the document's place. Raises
    InvalidDocument if ``value`` is no such object at all.
    """
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems(
            [Problem("", 'What is imported is one object, {"service": {…}, …}.', "type")]
        )
    repeated = set(repeated_keys(value))
    return [
        (str(name), _document_or_faults(document, limits, str(name), name in repeated))
        for name, document in value.items()
    ]


def _document_or_faults(
    value: Any, limits: DocumentLimits, name: str, repeated: bool
) -> Document | InvalidDocument:
    document: Document | None = None
    problems: list[Problem] = []
    if repeated:
        problems.append(Problem("", "The service is given more than once.", "duplicate"))
    try:
        document = make_document(value, limits, name)
    except InvalidDocument as error:
        problems += error.problems
    try:
        check_name(name)
    except Invalid as error:
        problems += [Problem("", each.message, each.rule) for each in error.problems]
    return document if document and not problems else InvalidDocument.from_problems(problems)
