"""Stored documents as they are rendered: masked, or revealed to those who may read secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from distributed_config.json_schema import may_mark
from distributed_config.services.secrets.marking import (
    NOTHING,
    ON_REVEAL,
    SecretPaths,
    find_secrets,
    marks_of,
)
from distributed_config.services.secrets.sealing import open_sealed
from distributed_config.services.secrets.values import (
    SEAL,
    DocumentKey,
    Path,
    is_sealed,
    mask_of,
    pointer_of,
    to_json,
    with_replaced,
)
from distributed_config.wire import MASK, digest_of, parse_stored


@dataclass(frozen=True)
class Rendered:
    """The text of a document for one reader.

    ``etag_variant`` sets the masked and the revealed form apart in entity tags, which have to
    differ where the bytes do; "" if nothing in the document is secret.
    """

    text: str
    etag_variant: str = ""


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is stored, and the secrets in it by the marks of now.

    ``secrets`` are the values at secret places as they are stored: sealed, or in the clear if the
    place was marked later.
    """

    connection: Connection
    document_key: DocumentKey
    value: dict[str, Any]
    secrets: Mapping[Path, Any]

    @cached_property
    def masked(self) -> dict[str, Any]:
        """The document with the mask in place of every secret."""
        masked: dict[str, Any] = with_replaced(self.value, dict.fromkeys(self.secrets, MASK))
        return masked

    @cached_property
    def revealed(self) -> dict[str, Any]:
        """The document in the clear. Raises SecretUnreadable."""
        revealed: dict[str, Any] = with_replaced(
            self.value, {path: self.open(path) for path in self.secrets}
        )
        return revealed

    def editable(self, reveal: bool) -> dict[str, Any]:
        """Return the document for a patch: in the clear, or with KeptSecret in place of secrets."""
        if reveal:
            return self.revealed
        editable: dict[str, Any] = with_replaced(
            self.value, {path: mask_of(path) for path in self.secrets}
        )
        return editable

    def open(self, path: Path) -> Any:
        """Return the secret at ``path`` in the clear. Raises SecretUnreadable."""
        # Decision 18: versions from before the mark are masked by today's marks, and stay
        # unencrypted at rest. Encrypting them in place would change digests and history.
        value = self.secrets[path]
        if is_sealed(value):
            return self._unseal(path, value)
        # Parts of it may have been secrets of their own before the whole was marked.
        parts = dict(find_secrets(value, NOTHING)) if isinstance(value, dict | list) else {}
        opened = {part: self._unseal((*path, *part), sealed) for part, sealed in parts.items()}
        return with_replaced(value, opened) if opened else value

    def _unseal(self, path: Path, sealed: dict[str, str]) -> Any:
        return open_sealed(self.connection, self.document_key, path, sealed)


def load_stored(
    connection: Connection, document_key: DocumentKey, text: str, marks: SecretPaths | None = None
) -> StoredDocument:
    """Return the document in ``text``. ``marks`` are read from the database unless given."""
    value = parse_stored(text)
    present = marks_of(connection, document_key) if marks is None else marks
    return StoredDocument(connection, document_key, value, dict(find_secrets(value, present)))


class Viewer:
    """Renders stored documents for one reader: revealed if ``reveal`` holds, otherwise masked.

    It reads the marks of each service once, so a page of versions costs one look for all of them.
    """

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._connection = connection
        self._reveal = reveal
        self._marks: dict[int, SecretPaths] = {}

    def render(self, document_key: DocumentKey, text: str) -> Rendered:
        """Return a stored document as the reader gets it. Raises SecretUnreadable."""
        # Most services have no secrets: their documents are served without being parsed.
        if not document_key.secret_marks and SEAL not in text:
            return Rendered(text)
        found = load_stored(self._connection, document_key, text, self._marks_of(document_key))
        if not found.secrets:
            return Rendered(text)
        if not self._reveal:
            # The stored key order is kept, so that a masked document is the same bytes every time.
            masked = to_json(found.masked)
            # The variant names the masked text: after a new mark the same version looks different.
            return Rendered(masked, f"masked-{digest_of(masked)[:16]}")
        revealed = to_json(found.revealed)
        options = self._connection.get_execution_options()
        on_reveal: Callable[[str], None] | None = options.get(ON_REVEAL)
        if on_reveal is not None:
            # Called after everything else has succeeded: only what is really shown is audited as
            # read.
            on_reveal(document_key.name)
        return Rendered(revealed, "revealed")

    def _marks_of(self, document_key: DocumentKey) -> SecretPaths:
        service_id = document_key.service_id
        if service_id not in self._marks:
            self._marks[service_id] = marks_of(self._connection, document_key)
        return self._marks[service_id]


@dataclass(frozen=True)
class ValidationInput:
    """A document as it is validated and indexed. ``size`` is the length of its text.

    ``unseen`` are the pointers of secrets that the actor carried over without reading them:
    ``value`` has the mask there, and problems inside them are left out. ``masked`` is what may
    go into indexes.
    """

    value: Any
    size: int
    masked: Any
    unseen: frozenset[str] = frozenset()


def validation_input(text: str) -> ValidationInput:
    """Return the input for a document without secrets."""
    value = parse_stored(text)
    return ValidationInput(value, len(text), value)


def validation_input_alone(text: str, schema: str) -> ValidationInput:
    """Return the input for a document that belongs to no service, as in a trial validation.

    A mask where ``schema`` marks a secret counts as one that was carried over.
    """
    found = validation_input(text)
    # Most schemas mark nothing, and need no walk through the document.
    if not may_mark(schema):
        return found
    secrets = find_secrets(found.value, SecretPaths(schema))
    return replace(
        found, unseen=frozenset(pointer_of(path) for path, value in secrets if value == MASK)
    )


def validation_input_of_stored(found: StoredDocument, reveal: bool) -> ValidationInput:
    """Return the input for a stored document, with its secrets only if ``reveal`` holds."""
    if not reveal:
        unseen = frozenset(pointer_of(path) for path in found.secrets)
        return ValidationInput(found.masked, len(to_json(found.masked)), found.masked, unseen)
    return ValidationInput(found.revealed, len(to_json(found.revealed)), found.masked)
