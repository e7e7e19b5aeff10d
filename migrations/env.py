"""Runs the migrations, on the engine of the application that Flask-Migrate knows."""

from typing import Any

from alembic import context
from flask import current_app

from distributed_config.models import Base

_migrate = current_app.extensions["migrate"]


def _number_draft(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Number a drafted migration after the last one; drop it where it would do nothing.

    Numbers, and not Alembic's random names: a release can say which one it needs, and the folder
    shows the order.
    """
    [draft] = directives
    if draft.upgrade_ops.is_empty():
        directives.clear()
        return
    last = context.script.get_current_head() or "0"
    draft.rev_id = f"{int(last) + 1:04}"


with _migrate.db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite alters a table by copying it, and can do so inside a transaction: an upgrade
        # happens whole or not at all, and two of them one after the other.
        transactional_ddl=True,
        process_revision_directives=_number_draft,
        **_migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
