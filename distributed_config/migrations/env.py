"""Runs the migrations, on the engine of the application that Flask-Migrate knows."""

from alembic import context
from flask import current_app

from distributed_config.models import Base

with current_app.extensions["migrate"].db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite alters a table by copying it, and can do so inside a transaction: an upgrade
        # happens whole or not at all, and two of them one after the other.
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
