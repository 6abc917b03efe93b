"""0003_alarms: the alarm journal, which only grows, and the live state of every alarm that ever left normal.

`append_only()` is the trigger function that 0004 and later journals use too.
"""

from alembic import op

revision = "0003_alarms"
down_revision = "0002_ledger"
branch_labels = None
depends_on = None

STATES = "('normal', 'unacknowledged', 'acknowledged', 'returned')"


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'integrity_constraint_violation';
        END $$
    """)
    op.execute(f"""
        CREATE TABLE alarm_journal (
            id            uuid PRIMARY KEY,
            sequence      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- order in which the journal was drained
            alarm         text NOT NULL,
            source        text NOT NULL,
            priority      smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
            event         text NOT NULL CHECK (event IN ('raised', 'cleared', 'acknowledged')),
            state_from    text NOT NULL CHECK (state_from IN {STATES}),
            state_to      text NOT NULL CHECK (state_to IN {STATES}),
            value         double precision NOT NULL,  -- at this transition
            raised_value  double precision NOT NULL,  -- of the transition that raised it
            "limit"       double precision NOT NULL,
            unit          text NOT NULL,
            quality       bigint NOT NULL,  -- OPC UA StatusCode
            plant_time_ns bigint NOT NULL,
            plant_time    timestamptz GENERATED ALWAYS AS (to_timestamp(plant_time_ns / 1e9)) STORED,
            user_name     text NOT NULL DEFAULT '',
            station       text NOT NULL DEFAULT '',
            comment       text NOT NULL DEFAULT '',
            text_zh       text NOT NULL,
            text_en       text NOT NULL
        )
    """)
    op.execute("CREATE INDEX alarm_journal_source ON alarm_journal (source, sequence)")
    op.execute("CREATE INDEX alarm_journal_time ON alarm_journal (plant_time_ns)")
    op.execute("""
        CREATE TRIGGER alarm_journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON alarm_journal
        FOR EACH STATEMENT EXECUTE FUNCTION append_only()
    """)
    op.execute(f"""
        CREATE TABLE alarm_state (
            alarm    text PRIMARY KEY,
            state    text NOT NULL CHECK (state IN {STATES}),
            since_ns bigint NOT NULL,  -- plant time of the last transition
            value    double precision NOT NULL,  -- that raised it
            quality  bigint NOT NULL
        )
    """)


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
