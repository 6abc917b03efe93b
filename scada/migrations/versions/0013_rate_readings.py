"""0013_rate_readings: the rate registers that split an interval, so that the split can be computed again.

Splits from before are believed as they stand: book.proven_after says up to which transfer.
"""

from alembic import op

from scada.migrations import rights

revision = "0013_rate_readings"
down_revision = "0012_plans"
branch_labels = None
depends_on = None

TABLE = """
    CREATE TABLE rate_reading (
        seq bigint NOT NULL, terms integer NOT NULL, time_from timestamptz NOT NULL, time_to timestamptz NOT NULL,
        from_1 bigint NOT NULL, from_2 bigint NOT NULL, from_3 bigint NOT NULL, from_4 bigint NOT NULL,
        from_5 bigint NOT NULL,
        to_1 bigint NOT NULL, to_2 bigint NOT NULL, to_3 bigint NOT NULL, to_4 bigint NOT NULL, to_5 bigint NOT NULL,
        PRIMARY KEY (seq, terms, time_from, time_to)
    )
"""
COMMENTS = {
    "TABLE rate_reading": "rate registers at both ends of an interval that they split (charge.method 2); counts, -1"
    " none; from_1 sharp, 2 peak, 3 flat, 4 valley, 5 deep valley; tied into the charges hash of its transfer",
    "COLUMN book.proven_after": "splits by rate registers after this transfer have a rate_reading",
}


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX rate_reading_by_interval ON rate_reading (terms, time_from, time_to)")
    op.execute("ALTER TABLE book ADD proven_after bigint NOT NULL DEFAULT 0")
    op.execute("UPDATE book SET proven_after = seq")
    for what, text in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{text}'")
    rights.append_only("rate_reading")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
