"""How alembic reaches the data base: one connection, one transaction for all revisions, one process at a time.

Rule: killed anywhere, it has done nothing; the tables of alembic live in our schema, never in public.
"""

from typing import Final

import psycopg
import sqlalchemy
from alembic import context

SCHEMA: Final = "wattkeeper"
LOCK_KEY: Final = 0x5741_5454  # "WATT": two processes that migrate at a time wait for each other


def run() -> None:
    """Apply the revisions on a connection made from config.attributes["dsn"]."""
    dsn: str = context.config.attributes["dsn"]
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=sqlalchemy.pool.NullPool
    )
    with engine.connect() as connection, connection.begin():
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})"))
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.execute(sqlalchemy.text(f"SET LOCAL search_path TO {SCHEMA}, public"))
        context.configure(connection=connection, version_table_schema=SCHEMA, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()


run()
