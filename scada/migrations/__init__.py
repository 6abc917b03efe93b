"""The schema's revisions, applied in order by alembic; `scada.database.migrate` is the only caller."""
