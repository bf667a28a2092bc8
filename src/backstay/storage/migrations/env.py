"""Alembic's entry point: runs on the connection that `upgrade` hands over, inside its transaction."""

from alembic import context

from backstay.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
