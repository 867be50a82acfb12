"""Alembic's entry point: run migrations on the connection that `Database.migrate` passes."""

from alembic import context

from core.storage.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
