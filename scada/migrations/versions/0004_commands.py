"""0004_commands: the command journal, which only grows: one row for every state a switching command entered."""

from alembic import op

revision = "0004_commands"
down_revision = "0003_alarms"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE command_journal (
            id            uuid PRIMARY KEY,
            sequence      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- order in which the journal was drained
            command       uuid NOT NULL,
            breaker       text NOT NULL,
            target        text NOT NULL CHECK (target IN ('open', 'closed')),
            state         text NOT NULL CHECK (state IN (
                'selected', 'sent', 'accepted', 'verified', 'failed', 'undetermined', 'cancelled', 'expired')),
            origin        text NOT NULL,
            user_name     text NOT NULL,
            role          text NOT NULL,
            station       text NOT NULL,
            reason        text NOT NULL,
            detail        text NOT NULL,
            plant_time_ns bigint NOT NULL,
            plant_time    timestamptz GENERATED ALWAYS AS (to_timestamp(plant_time_ns / 1e9)) STORED,
            elapsed_ns    bigint NOT NULL,  -- real time since it was selected, or taken over after a restart
            conditions    jsonb NOT NULL  -- the interlocks as they were judged, where they were
        )
    """)
    op.execute("CREATE INDEX command_journal_command ON command_journal (command, sequence)")
    op.execute("CREATE INDEX command_journal_breaker ON command_journal (breaker, sequence)")
    op.execute("""
        CREATE TRIGGER command_journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON command_journal
        FOR EACH STATEMENT EXECUTE FUNCTION append_only()
    """)


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
