"""Alembic's entry: runs the versions on the connection, and inside the transaction, that `upgrade` hands over."""

from alembic import context

from insource.store.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
