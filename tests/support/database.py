"""A database file and transactions on it, without an application or a writer's thread.

Verbs of the services take a connection and an actor, so their tests need no more than this.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text

from distributed_config.models import sqlite as engines
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import advance_head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR, Actor
from distributed_config.services.policy.visibility import Scope, Visibility
from distributed_config.services.reader import Reader
from distributed_config.services.secrets import keyring
from distributed_config.settings import Settings
from distributed_config.wire import Document, DocumentLimits, make_document, make_object

LIMITS = DocumentLimits()
# After the migration of any database: the journal's times never run backwards.
_FIRST_MOMENT = 4_000_000_000_000_000


class Database:
    """The database of ``settings``, which has this release's schema already."""

    def __init__(self, settings: Settings) -> None:
        path, lock_seconds = settings.database_path, settings.lock_seconds
        self._engine = engines.writing_engine(path, lock_seconds)
        options = engines.engine_options(lock_seconds, 2)
        self._readers = create_engine(engines.url_of(path), **options)
        engines.prepare(self._readers, "BEGIN")
        keys = {keyring.OPTION: keyring.from_settings(settings)}
        for engine in (self._engine, self._readers):
            engine.update_execution_options(**keys)
        self._moment = _FIRST_MOMENT

    @contextmanager
    def transaction(self, actor: Actor = LOCAL_OPERATOR, note: str = "") -> Iterator[Transaction]:
        """A transaction that is committed, unless something is raised; each is a second later."""
        self._moment += 1_000_000
        with self._engine.begin() as connection:
            head = read_head(connection)
            transaction = Transaction(connection, actor, head, self._moment, note)
            yield transaction
            transaction.pending.insert()
            advance_head(connection, transaction.head)

    @contextmanager
    def reader(self, actor: Actor = LOCAL_OPERATOR) -> Iterator[Reader]:
        with self._readers.connect() as connection:
            yield Reader(connection, actor.visibility)

    def damage(self, series: Series, number: int) -> None:
        """Changes a stored document without its digest, as a failing disk would."""
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE versions SET document = replace(document, '1', '2') WHERE number = :n "
                    "AND environment = :e AND service_id = "
                    "(SELECT id FROM services WHERE name = :s)"
                ),
                {"n": number, "e": series.environment, "s": series.service},
            )

    def close(self) -> None:
        self._readers.dispose()
        self._engine.dispose()


def document(value: dict[str, Any]) -> Document:
    return make_document(value, LIMITS, "a-service")


def schema(value: dict[str, Any]) -> Document:
    return make_object(value, LIMITS)


def parsed(text: str | None) -> Any:
    assert text is not None
    return json.loads(text)


def actor(*permissions: str, services: tuple[str, ...] = ()) -> Actor:
    """An actor with exactly these permissions, limited to some services if any are named."""
    scopes = (Scope(services),) if services else ()
    return Actor("somebody", "token:7", frozenset(permissions), Visibility(scopes=scopes))
