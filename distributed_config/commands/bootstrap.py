"""The services that a new database begins with."""

import sys
from collections.abc import Callable
from typing import Any

from distributed_config.commands.import_ import read_sources
from distributed_config.errors import CannotStart, Invalid
from distributed_config.services import sections
from distributed_config.services.changesets import Imported, import_all
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer


def bootstrap(settings: Settings) -> None:
    """Import the bootstrap of ``settings`` if the database has never held anything.

    In one transaction, so of several servers that start together one does it. Raises CannotStart
    with all of its problems: a server that lacks what it should begin with is worse than none.
    """
    source = settings.bootstrap
    with open_writer(settings) as writer:
        if not writer.write(LOCAL_OPERATOR, _is_new):
            return
        if not source.exists():
            raise CannotStart(f"DISTCONF_BOOTSTRAP: there is nothing at {source}.")
        try:
            documents = read_sources((source,), settings, _section_reader(settings))

            def unit(transaction: Transaction) -> Imported | None:
                return import_all(transaction, documents) if _is_new(transaction) else None

            imported = writer.write(LOCAL_OPERATOR, unit, f"Began with {source}.")
        except Invalid as error:
            raise CannotStart(f"DISTCONF_BOOTSTRAP: {error.detail}", error.problems) from None
    if imported is not None:
        sys.stderr.write(f"distconf: began with {len(imported.created)} services from {source}\n")


def _section_reader(settings: Settings) -> Callable[[Any], Any]:
    """Return how a section is read: "Unified Config" begins with lists and plain values too."""
    if "unified" not in settings.dialects:
        return lambda value: value
    return lambda value: value if value is None else sections.wrapped(value)


def _is_new(transaction: Transaction) -> bool:
    return transaction.revision == 1 and not transaction.wrote
