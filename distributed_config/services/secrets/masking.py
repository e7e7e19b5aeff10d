"""Stored documents as they are shown: masked, or in the clear for whoever may read secrets."""

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
    kept_at,
    pointer_of,
    to_json,
    with_replaced,
)
from distributed_config.wire import MASK, digest_of, parse_stored


@dataclass(frozen=True)
class Rendered:
    """A document as it is shown.

    ``etag_variant`` tells the masked and the revealed form apart; "": nothing in it is secret.
    """

    text: str
    etag_variant: str = ""


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is stored, and what is secret in it now."""

    connection: Connection
    home: DocumentKey
    value: dict[str, Any]
    secrets: Mapping[Path, Any]

    @cached_property
    def masked(self) -> dict[str, Any]:
        """The document as it is shown to those who may not read secrets."""
        made: dict[str, Any] = with_replaced(self.value, dict.fromkeys(self.secrets, MASK))
        return made

    @cached_property
    def revealed(self) -> dict[str, Any]:
        """The document in the clear. Raises SecretUnreadable."""
        made: dict[str, Any] = with_replaced(
            self.value, {path: self.open(path) for path in self.secrets}
        )
        return made

    def editable(self, reveal: bool) -> dict[str, Any]:
        """The document for who changes it: in the clear, or with ``Kept`` in place of secrets."""
        if reveal:
            return self.revealed
        made: dict[str, Any] = with_replaced(
            self.value, {path: kept_at(path) for path in self.secrets}
        )
        return made

    def open(self, path: Path) -> Any:
        """The secret at ``path``, in the clear. Raises SecretUnreadable."""
        value = self.secrets[path]
        if is_sealed(value):
            return self._unseal(path, value)
        # What was marked later, as a whole, may have sealed parts.
        parts = dict(find_secrets(value, NOTHING)) if isinstance(value, dict | list) else {}
        opened = {part: self._unseal((*path, *part), each) for part, each in parts.items()}
        return with_replaced(value, opened) if opened else value

    def _unseal(self, path: Path, sealed: dict[str, str]) -> Any:
        return open_sealed(self.connection, self.home, path, sealed)


def load_stored(
    connection: Connection, home: DocumentKey, text: str, marks: SecretPaths | None = None
) -> StoredDocument:
    """The document in ``text``; ``marks`` are the service's present ones."""
    value = parse_stored(text)
    now = marks_of(connection, home) if marks is None else marks
    return StoredDocument(connection, home, value, dict(find_secrets(value, now)))


class Viewer:
    """Shows stored documents: in the clear to those for whom ``reveal`` holds, masked to others."""

    def __init__(self, connection: Connection, reveal: bool) -> None:
        self._connection = connection
        self._reveal = reveal
        self._marks: dict[int, SecretPaths] = {}

    def render(self, home: DocumentKey, text: str) -> Rendered:
        """A stored document as it is shown. Raises SecretUnreadable."""
        if not home.secret_marks and SEAL not in text:
            return Rendered(text)
        found = load_stored(self._connection, home, text, self._marks_of(home))
        if not found.secrets:
            return Rendered(text)
        if not self._reveal:
            masked = to_json(found.masked)
            # Another mark, and the same version looks another way.
            return Rendered(masked, f"masked-{digest_of(masked)[:16]}")
        plain = to_json(found.revealed)
        note: Callable[[str], None] | None = self._connection.get_execution_options().get(ON_REVEAL)
        if note is not None:
            note(home.name)
        return Rendered(plain, "revealed")

    def _marks_of(self, home: DocumentKey) -> SecretPaths:
        if home.service_id not in self._marks:
            self._marks[home.service_id] = marks_of(self._connection, home)
        return self._marks[home.service_id]


@dataclass(frozen=True)
class ValidationInput:
    """A document as it is checked, and found by.

    ``unseen`` are the pointers of secrets that were kept by one who may not read them: ``value``
    has the mask there, and nothing is told of them. ``masked`` is what indexes may have.
    """

    value: Any
    size: int
    masked: Any
    unseen: frozenset[str] = frozenset()


def validation_input(text: str) -> ValidationInput:
    """A document without secrets."""
    value = parse_stored(text)
    return ValidationInput(value, len(text), value)


def validation_input_alone(text: str, schema: str) -> ValidationInput:
    """A document of no service. The mask, where ``schema`` marks, stands for what would be kept."""
    found = validation_input(text)
    if not may_mark(schema):
        return found
    kept = [path for path, each in find_secrets(found.value, SecretPaths(schema)) if each == MASK]
    return replace(found, unseen=frozenset(map(pointer_of, kept)))


def validation_input_of_stored(found: StoredDocument, reveal: bool) -> ValidationInput:
    """A document that is stored already."""
    if not reveal:
        unseen = frozenset(pointer_of(path) for path in found.secrets)
        return ValidationInput(found.masked, len(to_json(found.masked)), found.masked, unseen)
    return ValidationInput(found.revealed, len(to_json(found.revealed)), found.masked)
