"""0010_settlement: what is charged besides the unit, demand and its evidence, shares, statements.

Every row of `assessment` and `demand` stands in the document of its transfer too, which the hash chain covers; the
tables are there to be searched. Times are plant time (UTC), money nano, quantities milli.
"""

from alembic import op

from scada.migrations import rights

revision = "0010_settlement"
down_revision = "0009_meters"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE assessment (
        key       text PRIMARY KEY,
        seq       bigint NOT NULL REFERENCES transfer,
        kind      text NOT NULL,
        account   text NOT NULL,
        point     text NOT NULL,
        medium    text NOT NULL,
        component text NOT NULL,
        name_zh   text NOT NULL,
        name_en   text NOT NULL,
        time_from timestamptz NOT NULL,
        time_to   timestamptz NOT NULL,
        tax_ppm   integer NOT NULL CHECK (tax_ppm >= 0),
        nano      bigint NOT NULL,
        inputs    jsonb NOT NULL,
        CHECK (time_from < time_to)
    )
    """,
    "CREATE INDEX assessment_by_account ON assessment (account, time_from)",
    "CREATE INDEX assessment_by_point ON assessment (point, component, time_from)",
    """
    CREATE TABLE demand (
        point           text NOT NULL,
        component       text NOT NULL,
        account         text NOT NULL,
        month           text NOT NULL,
        window_from     timestamptz NOT NULL,
        window_to       timestamptz NOT NULL,
        raw_from        bigint NOT NULL,
        raw_to          bigint NOT NULL,
        milli_per_count bigint NOT NULL,
        watt            bigint NOT NULL CHECK (watt > 0),
        seq             bigint NOT NULL REFERENCES transfer,
        PRIMARY KEY (point, component, window_to)
    )
    """,
    "CREATE INDEX demand_by_month ON demand (month, point)",
    """
    CREATE TABLE supply_span (
        point       text NOT NULL,
        since       timestamptz NOT NULL,
        account     text NOT NULL,
        tariff      bytea NOT NULL,
        contract_w  bigint NOT NULL,
        capacity_va bigint NOT NULL,
        PRIMARY KEY (point, since)
    )
    """,
    """
    CREATE TABLE reactive_reading (
        point   text NOT NULL,
        at      timestamptz NOT NULL,
        meter   text NOT NULL,
        milli   bigint NOT NULL CHECK (milli >= 0),
        read_at timestamptz NOT NULL,
        PRIMARY KEY (point, at)
    )
    """,
    """
    CREATE TABLE share_bill (
        id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        "group"  text NOT NULL,
        month    text NOT NULL,
        state    text NOT NULL CHECK (state IN ('draft', 'confirmed')),
        document jsonb NOT NULL,
        seq      bigint REFERENCES transfer,
        who      text NOT NULL,
        made_at  timestamptz NOT NULL,
        CHECK ((state = 'confirmed') = (seq IS NOT NULL))
    )
    """,
    """CREATE UNIQUE INDEX share_bill_once ON share_bill ("group", month) WHERE state = 'confirmed'""",
    """
    CREATE TABLE statement (
        account      text NOT NULL,
        label        text NOT NULL,
        time_from    timestamptz NOT NULL,
        time_to      timestamptz NOT NULL,
        seq          bigint NOT NULL UNIQUE REFERENCES transfer,
        cut_seq      bigint NOT NULL,
        opening_nano bigint NOT NULL,
        closing_nano bigint NOT NULL,
        PRIMARY KEY (account, label),
        CHECK (time_from < time_to)
    )
    """,
    """
    CREATE TABLE settlement_clock (
        one  boolean PRIMARY KEY DEFAULT true CHECK (one),
        done timestamptz NOT NULL
    )
    """,
)
COMMENTS = {
    "assessment": "append-only: one posting of a component besides the unit price, with every input of its computation",
    "demand": "append-only: a new highest demand window of a month: two readings of one register",
    "supply_span": "append-only: from when on a supply point was paid by an account under a plan",
    "reactive_reading": "append-only: reactive register at the begin of a local day, for the power factor",
    "share_bill": "append-only: drafts of shared costs; one confirmed per group and month",
    "statement": "append-only: frozen month of an account; its lines are the document of its transfer",
    "settlement_clock": "one row: the plant time up to which daily charges are posted",
}
KEPT = ("assessment", "demand", "supply_span", "reactive_reading", "share_bill", "statement")


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    for table, comment in COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    rights.append_only(*KEPT)
    rights.projection("settlement_clock")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
