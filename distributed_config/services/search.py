"""The search for a text in services: in their names, tags and notes, and in what is current.

It is bounded: in its hits of each kind, and in its time. Where it ends early, it says so.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, select

from distributed_config.models import ServiceRow, TagRow, VersionRow
from distributed_config.services import catalogue
from distributed_config.services.documents.current import in_environment, is_current
from distributed_config.services.documents.load import COLUMNS, verify_row
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import Viewer
from distributed_config.wire import escape_pointer, parse_stored

KINDS = ("name", "tag", "note", "key", "value")
"""The kinds of hits, in their order."""

_SECONDS = 1.0
_MOST_OF_ONE = 3
"""Hits of one kind in one document: a long list must not leave no room for other services."""

_MOST_MORE = 500
"""Documents that are read on when there is room left for keys alone, or for values alone."""

_BATCH = 250
_AFTER: BindParameter[str] = bindparam("after_name")
_UNTIL: BindParameter[str] = bindparam("until_name")
_EXCERPT = 120


Conditions = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Hit:
    """A place at which the text was found; ``pointer`` is None outside of documents.

    ``excerpt`` is the name, the tag, or what stands around the text in a note, a key or a value.
    """

    kind: str
    service: str
    environment: str
    pointer: str | None
    excerpt: str


@dataclass(frozen=True)
class Found:
    """The hits, by kind and then by service; ``truncated``: there may be more."""

    hits: list[Hit]
    truncated: bool


def search(
    reader: Reader,
    text: str,
    environment: str,
    *,
    limit: int,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Return up to ``limit`` hits of each kind of ``text``, in any case.

    ASCII letters are the same in either case, and others are as they are. In documents, secrets
    are masked for every reader, so that nothing of them is found. Raises EnvironmentNotFound.
    """
    require_visible(reader, environment)
    return _Search(reader, text, environment, limit, clock).run()


class _Search:
    """One search, and the hits that it has found so far."""

    def __init__(
        self,
        reader: Reader,
        text: str,
        environment: str,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._connection: Connection = reader.connection
        self._text = text
        self._lower = _lower(text)
        self._environment = environment
        self._limit = limit
        self._clock = clock
        self._ends_at = clock() + _SECONDS
        self._hits: dict[str, list[Hit]] = {kind: [] for kind in KINDS}
        self._truncated = False
        self._viewer = Viewer(reader.connection, reveal=False)
        self._read = 0

    def run(self) -> Found:
        """Search everywhere, what takes least first."""
        # Names and tags are in indexes; for the rest documents are read, as time allows.
        self._search_names()
        self._search_tags()
        self._search_versions()
        return Found([hit for kind in KINDS for hit in self._hits[kind]], self._truncated)

    def _search_names(self) -> None:
        query = (
            select(ServiceRow.name)
            .where(*catalogue.conditions(self._reader, self._text, "", ()))
            .order_by(ServiceRow.name)
            # The one more tells whether there are others.
            .limit(self._limit + 1)
        )
        for name in self._connection.scalars(query):
            self._add("name", name, None, name)

    def _search_tags(self) -> None:
        query = (
            select(ServiceRow.name, TagRow.tag)
            .join(TagRow, TagRow.service_id == ServiceRow.id)
            .where(
                *catalogue.conditions(self._reader, "", "", ()),
                TagRow.tag.icontains(self._text, autoescape=True),
            )
            .order_by(ServiceRow.name, TagRow.tag)
            .limit(self._limit + 1)
        )
        for name, tag in self._connection.execute(query):
            self._add("tag", name, None, tag)

    def _search_versions(self) -> None:
        """Search the current versions, and stop when there is no room or no time for more.

        They are read in batches of services: one statement over all documents could take long,
        and there is no time in it to stop.
        """
        visible = tuple(catalogue.conditions(self._reader, "", "", ()))
        names = select(ServiceRow.name).where(*visible, ServiceRow.name > _AFTER)
        batch = names.order_by(ServiceRow.name).limit(_BATCH)
        span = (*visible, ServiceRow.name > _AFTER, ServiceRow.name <= _UNTIL)
        # Batches go on after a name: an offset would read everything before it each time.
        position = ""
        while found := list(self._connection.scalars(batch, {"after_name": position})):
            parameters = {
                "after_name": position,
                "until_name": found[-1],
                **in_environment(self._environment),
            }
            # Notes are short, and are searched even where documents are not any more.
            self._search_notes(span, parameters)
            if not self._documents_are_over():
                self._search_documents(span, parameters)
            is_full = len(self._hits["note"]) == self._limit and self._documents_are_over()
            if is_full or self._clock() > self._ends_at:
                self._truncated = True
                return
            position = found[-1]

    def _search_notes(self, span: Conditions, parameters: dict[str, Any]) -> None:
        query = (
            select(ServiceRow.name, VersionRow.note)
            .join(VersionRow, is_current(ServiceRow.id))
            .where(*span, VersionRow.note.icontains(self._text, autoescape=True))
            .order_by(ServiceRow.name)
        )
        for name, note in self._connection.execute(query, parameters):
            self._add("note", name, None, self._excerpt(note))

    def _search_documents(self, span: Conditions, parameters: dict[str, Any]) -> None:
        # As it stands in a stored document, where quotes and line breaks are escaped.
        written = json.dumps(self._text, ensure_ascii=False)[1:-1]
        query = (
            select(*COLUMNS)
            .join(VersionRow, is_current(ServiceRow.id))
            .where(*span, VersionRow.document.icontains(written, autoescape=True))
            .order_by(ServiceRow.name)
        )
        for row in self._connection.execute(query, parameters):
            # The row may match where a secret is: what counts is what is masked.
            text = verify_row(row).render(self._viewer).text
            self._search_document(row.name, parse_stored(text))
            self._read += self._one_is_full()
            if self._documents_are_over() or self._clock() > self._ends_at:
                self._truncated = True
                return

    def _one_is_full(self) -> bool:
        return any(len(self._hits[kind]) == self._limit for kind in ("key", "value"))

    def _documents_are_over(self) -> bool:
        """Whether there is no room for more keys or values, or too much was read for the rest."""
        # A common word in values may be in no key at all: not every document is read to find out.
        is_full = all(len(self._hits[kind]) == self._limit for kind in ("key", "value"))
        return is_full or self._read == _MOST_MORE

    def _search_document(self, service: str, document: dict[str, Any]) -> None:
        left = {"key": _MOST_OF_ONE, "value": _MOST_OF_ONE}
        for kind, pointer, text in self._places("", document):
            if left[kind] == 0:
                self._truncated = True
                if not any(left.values()):
                    return
                continue
            left[kind] -= 1
            self._add(kind, service, pointer, self._excerpt(text))

    def _places(self, pointer: str, value: Any) -> Iterator[tuple[str, str, str]]:
        """Yield the kind, the pointer and the text of each place with a hit, in their order."""
        if isinstance(value, dict):
            for key, child in value.items():
                below = f"{pointer}/{escape_pointer(key)}"
                if self._lower in _lower(key):
                    yield "key", below, key
                yield from self._places(below, child)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                yield from self._places(f"{pointer}/{index}", child)
        else:
            # Numbers and words such as true are found as people read them.
            text = value if isinstance(value, str) else json.dumps(value)
            if self._lower in _lower(text):
                yield "value", pointer, text

    def _excerpt(self, text: str) -> str:
        """Return ``text``, or what stands around the hit where it is long."""
        start = max(0, _lower(text).index(self._lower) - _EXCERPT // 3)
        end = start + max(_EXCERPT, len(self._text) + _EXCERPT // 3)
        before, after = "…" if start else "", "…" if end < len(text) else ""
        return f"{before}{text[start:end]}{after}"

    def _add(self, kind: str, service: str, pointer: str | None, excerpt: str) -> None:
        hits = self._hits[kind]
        if len(hits) < self._limit:
            hits.append(Hit(kind, service, self._environment, pointer, excerpt))
        else:
            self._truncated = True


_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def _lower(text: str) -> str:
    """Return ``text`` with its ASCII letters in lower case, as the database compares them."""
    return text.translate(_LOWER)
