"""0008_accounts: tenants, purses and tenancies that were opened while running; subsidies, reversals, approvals.

What stands here follows from documents in the chain (`document`) and is written in the transaction of its posting.
"""

from alembic import op

from scada.migrations import rights

revision = "0008_accounts"
down_revision = "0007_ledger"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE preset (
        id        text PRIMARY KEY,
        body      jsonb NOT NULL,
        who       text NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE tenant (
        id         text PRIMARY KEY,
        name_zh    text NOT NULL,
        name_en    text NOT NULL,
        contact    text NOT NULL DEFAULT '',
        household  integer NOT NULL DEFAULT 0 CHECK (household >= 0),
        opened_seq bigint NOT NULL REFERENCES transfer
    )
    """,
    """
    CREATE TABLE purse (
        account          text PRIMARY KEY,
        place            integer UNIQUE CHECK (place >= 0),
        tenant           text NOT NULL,
        state            text NOT NULL CHECK (state IN ('open', 'closing', 'closed')),
        account_class    text NOT NULL,
        recovery_percent integer CHECK (recovery_percent BETWEEN 0 AND 100),
        spec             jsonb NOT NULL,
        opened_seq       bigint REFERENCES transfer,
        closed_seq       bigint REFERENCES transfer
    )
    """,
    """
    CREATE TABLE tenancy (
        point   text NOT NULL,
        account text NOT NULL,
        from_s  bigint NOT NULL,
        seq     bigint NOT NULL REFERENCES transfer,
        PRIMARY KEY (point, seq)
    )
    """,
    """
    CREATE TABLE subsidy (
        key         text PRIMARY KEY,
        account     text NOT NULL,
        nano        bigint NOT NULL CHECK (nano > 0),
        until_s     bigint NOT NULL,
        seq         bigint NOT NULL UNIQUE REFERENCES transfer,
        cleared_seq bigint REFERENCES transfer
    )
    """,
    "CREATE INDEX subsidy_running ON subsidy (account) WHERE cleared_seq IS NULL",
    """
    CREATE TABLE receipt_reversal (
        number text PRIMARY KEY REFERENCES receipt,
        seq    bigint NOT NULL UNIQUE REFERENCES transfer
    )
    """,
    """
    CREATE TABLE approval (
        key          text PRIMARY KEY,
        operation    text NOT NULL,
        arguments    jsonb NOT NULL,
        code         text NOT NULL,
        why          text NOT NULL,
        requested_by text NOT NULL,
        station      text NOT NULL,
        seq          bigint NOT NULL REFERENCES transfer,
        state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'rejected')),
        decided_by   text CHECK (decided_by <> requested_by),
        decided_seq  bigint REFERENCES transfer
    )
    """,
)
COMMENTS = {
    "preset": "openings prepared beforehand: tenant, accounts, rooms, limits, opening credit",
    "tenant": "tenants whose accounts were opened while running",
    "purse": "accounts opened while running (place: order of opening), and what changed about configured ones",
    "tenancy": "append-only: from when on a supply point was paid for by an account, as far as that changed",
    "subsidy": "grants with a term; what a grant left at its end went back with the transfer cleared_seq",
    "receipt_reversal": "append-only: receipts whose payment was reversed",
    "approval": "requests that need a second person; decided by another than who asked",
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table, comment in COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    rights.append_only("tenancy", "receipt_reversal")
    rights.projection("preset", "tenant", "purse", "subsidy", "approval")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
