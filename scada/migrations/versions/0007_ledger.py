"""0007_ledger: the chain carries documents; charges know tier, position and method; who may write what.

Kinds of transfers and accounts are a table of the program (billing_core/chart.py); here only their spelling is checked.
"""

from alembic import op

from scada.migrations import rights

revision = "0007_ledger"
down_revision = "0006_users"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check, ADD CHECK (kind ~ '^[a-z][a-z-]{0,31}$')",
    "ALTER TABLE account DROP CONSTRAINT account_kind_check, ADD CHECK (kind ~ '^[a-z][a-z-]{0,31}$')",
    "CREATE TABLE document (seq bigint PRIMARY KEY REFERENCES transfer, body jsonb NOT NULL)",
    # A terms row that says nothing about a household or an opening stays as it was, and so does its hash.
    "ALTER TABLE terms ADD household integer NOT NULL DEFAULT 0 CHECK (household >= 0), "
    "ADD opened_s bigint NOT NULL DEFAULT 0 CHECK (opened_s >= 0)",
    """
    DO $$ DECLARE name text; BEGIN
        SELECT conname INTO STRICT name FROM pg_constraint WHERE conrelid = 'terms'::regclass AND contype = 'u';
        EXECUTE format('ALTER TABLE terms DROP CONSTRAINT %I', name);
    END $$
    """,
    "ALTER TABLE terms ADD CONSTRAINT terms_once "
    "UNIQUE (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household, opened_s)",
    """
    ALTER TABLE charge
        ADD tier smallint NOT NULL DEFAULT 0 CHECK (tier >= 0),
        ADD position_milli bigint NOT NULL DEFAULT 0 CHECK (position_milli >= 0),
        ADD kind smallint NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 4),
        ADD method smallint NOT NULL DEFAULT 0 CHECK (method BETWEEN 0 AND 3),
        ADD reverses_seq bigint,
        ADD reverses_line integer,
        DROP CONSTRAINT charge_milli_check,
        DROP CONSTRAINT charge_nano_check,
        DROP CONSTRAINT charge_price_micro_check,
        -- 1 uplift to another price, up or down; 2 reversal, negative
        ADD CHECK (kind IN (1, 2) OR (milli > 0 AND nano >= 0 AND price_micro >= 0)),
        ADD CHECK ((kind = 2) = (reverses_seq IS NOT NULL) AND (kind = 2) = (reverses_line IS NOT NULL))
    """,
    "CREATE UNIQUE INDEX charge_reversed_once ON charge (reverses_seq, reverses_line) WHERE kind = 2",
)
COMMENTS = {
    "TABLE document": "append-only: what a transfer says besides money; its hash is part of the transfer''s",
    "COLUMN charge.kind": "0 metered, 1 uplift, 2 reversal, 3 recharge, 4 estimate",
    "COLUMN charge.method": "0 within one rate, 1 split by time, 2 split by rate registers, 3 given by a person",
    "COLUMN charge.position_milli": "tier position of the point before this row",
}
LEDGER_TABLES = ("transfer", "entry", "charge", "document", "receipt", "tariff_version", "terms")
LEDGER_STATE = ("book", "account", "balance", "point_state", "credit_stop")
JOURNALS = ("alarm_journal", "command_journal")
PEOPLE = ("app_user", "app_session")


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")
    rights.make_roles()
    rights.append_only(*LEDGER_TABLES)
    rights.projection(*LEDGER_STATE)
    for journal in JOURNALS:  # their triggers are there
        rights.grant(journal, "SELECT, INSERT", rights.HISTORY)
    rights.projection("alarm_state", writer=rights.HISTORY)
    rights.projection(*PEOPLE, writer=rights.USERS)


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
