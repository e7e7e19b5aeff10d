"""The current documents of all services at once: exported, and parsed for an import.

The shape is one object of ``{service: document}``. Histories are not a part of it; a backup has
them.
"""

from collections.abc import Iterator
from typing import Any

from distributed_config.errors import Invalid, InvalidDocument, Problem
from distributed_config.services.catalogue import name_begins_with
from distributed_config.services.documents.load import each_current
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import Viewer
from distributed_config.wire import (
    Document,
    DocumentLimits,
    check_name,
    digest_of,
    make_document,
    repeated_keys,
)


def export(
    reader: Reader, prefix: str = "", environment: str = DEFAULT_ENVIRONMENT
) -> Iterator[tuple[str, Document]]:
    """Yield the current document in an environment of every service, by name.

    ``prefix`` is how the names begin.

    A service without an enabled version is left out. Secrets are in the clear only for readers
    who may read them. Raises EnvironmentNotFound, and DocumentDamaged when it gets to a damaged
    document.
    """
    viewer = Viewer(reader.connection, reader.visibility.reads_secrets)
    require_visible(reader, environment)
    for document in each_current(reader, name_begins_with(prefix), environment=environment):
        rendered = document.render(viewer)
        # The stored digest is of the sealed form, and that of a document with secrets is another.
        digest = digest_of(rendered.text) if rendered.etag_variant else document.digest
        yield document.key.name, Document(rendered.text, digest)


def documents_of(
    value: Any, limits: DocumentLimits
) -> list[tuple[str, Document | InvalidDocument]]:
    """Return the documents in an object of ``{service: document}``, in its order.

    An error stands in place of a document that cannot be stored, or whose service's name is
    invalid, so that an import can report all of them. Raises InvalidDocument if ``value`` is no
    object.
    """
    if not isinstance(value, dict):
        raise InvalidDocument.from_problems(
            [Problem("", 'What is imported is one object, {"service": {…}, …}.', "type")]
        )
    repeated = set(repeated_keys(value))
    return [
        (str(name), _document_or_error(document, limits, str(name), name in repeated))
        for name, document in value.items()
    ]


def _document_or_error(
    value: Any, limits: DocumentLimits, name: str, repeated: bool
) -> Document | InvalidDocument:
    # Everything is checked even after a problem, so that one response names all of them.
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
        problems += [Problem("", problem.message, problem.rule) for problem in error.problems]
    return document if document and not problems else InvalidDocument.from_problems(problems)
