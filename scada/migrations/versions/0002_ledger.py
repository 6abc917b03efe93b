"""0002_ledger: the books. Append-only where money or its proof is concerned, projections beside it.

Times are plant time (UTC). Money is nano (1e-9) of the currency, quantities milli of the priced unit, prices micro.
"""

from alembic import op

revision = "0002_ledger"
down_revision = "0001_base"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE book (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    site           text NOT NULL,
    holder         text NOT NULL DEFAULT '',
    epoch          bigint NOT NULL DEFAULT 0,
    seen_at        timestamptz NOT NULL DEFAULT now(),
    checkpoint_seq bigint NOT NULL DEFAULT 0 CHECK (checkpoint_seq >= 0),
    seq            bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    plant_time     timestamptz NOT NULL DEFAULT 'epoch'
);
CREATE TABLE account (
    id        text PRIMARY KEY,
    kind      text NOT NULL CHECK (kind IN ('wallet', 'revenue', 'cash', 'clearing', 'opening', 'rounding')),
    name_zh   text NOT NULL,
    name_en   text NOT NULL,
    currency  text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE transfer (
    seq             bigint PRIMARY KEY CHECK (seq > 0),
    idempotency_key text NOT NULL UNIQUE CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    site            text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('charge', 'topup', 'opening', 'reversal')),
    plant_time      timestamptz NOT NULL,
    posted_at       timestamptz NOT NULL,
    who             text NOT NULL,
    station         text NOT NULL,
    memo            text NOT NULL,
    charges_hash    bytea CHECK (length(charges_hash) = 32),
    prev_hash       bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash            bytea NOT NULL UNIQUE CHECK (length(hash) = 32)
);
CREATE TABLE entry (
    seq     bigint NOT NULL REFERENCES transfer,
    line    integer NOT NULL CHECK (line >= 0),
    account text NOT NULL REFERENCES account,
    nano    bigint NOT NULL CHECK (nano <> 0),
    PRIMARY KEY (seq, line)
);
CREATE INDEX entry_by_account ON entry (account, seq);
CREATE TABLE tariff_version (
    hash       bytea PRIMARY KEY CHECK (length(hash) = 32),
    tariff     text NOT NULL,
    body       jsonb NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE terms (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    point           text NOT NULL,
    meter           text NOT NULL,
    account         text NOT NULL REFERENCES account,
    medium          text NOT NULL,
    unit            text NOT NULL,
    milli_per_count bigint NOT NULL CHECK (milli_per_count > 0),
    modulus_counts  bigint NOT NULL CHECK (modulus_counts > 1),
    tariff          bytea NOT NULL REFERENCES tariff_version,
    first_used      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff)
);
CREATE TABLE charge (
    seq          bigint NOT NULL REFERENCES transfer,
    line         integer NOT NULL CHECK (line >= 0),
    terms        integer NOT NULL REFERENCES terms,
    raw_from     bigint NOT NULL CHECK (raw_from >= 0),
    time_from    timestamptz NOT NULL,
    raw_to       bigint NOT NULL CHECK (raw_to >= 0),
    time_to      timestamptz NOT NULL,
    segment_from timestamptz NOT NULL,
    segment_to   timestamptz NOT NULL,
    rate         smallint NOT NULL CHECK (rate BETWEEN 0 AND 4),
    price_micro  bigint NOT NULL CHECK (price_micro >= 0),
    milli        bigint NOT NULL CHECK (milli > 0),
    nano         bigint NOT NULL CHECK (nano >= 0),
    split        boolean GENERATED ALWAYS AS (segment_from <> time_from OR segment_to <> time_to) STORED,
    PRIMARY KEY (seq, line),
    CHECK (time_from <= segment_from AND segment_from < segment_to AND segment_to <= time_to)
);
CREATE INDEX charge_by_terms ON charge (terms, time_to);
CREATE TABLE receipt (
    number       text PRIMARY KEY,
    seq          bigint NOT NULL UNIQUE REFERENCES transfer,
    account      text NOT NULL REFERENCES account,
    amount_nano  bigint NOT NULL CHECK (amount_nano > 0),
    balance_nano bigint NOT NULL,
    currency     text NOT NULL,
    channel      text NOT NULL,
    plant_time   timestamptz NOT NULL,
    who          text NOT NULL,
    station      text NOT NULL
);
CREATE INDEX receipt_by_account ON receipt (account, seq);
CREATE TABLE balance (
    account text PRIMARY KEY REFERENCES account,
    nano    bigint NOT NULL,
    seq     bigint NOT NULL
);
CREATE TABLE point_state (
    point        text PRIMARY KEY,
    terms        integer NOT NULL REFERENCES terms,
    last_raw     bigint NOT NULL,
    last_s       bigint NOT NULL,
    moved_s      bigint NOT NULL,
    held         smallint NOT NULL,
    held_raw     bigint NOT NULL,
    held_s       bigint NOT NULL,
    first_raw    bigint NOT NULL,
    first_s      bigint NOT NULL,
    billed_milli bigint NOT NULL CHECK (billed_milli >= 0),
    charged_nano bigint NOT NULL CHECK (charged_nano >= 0)
);
CREATE TABLE credit_stop (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account        text NOT NULL,
    breaker        text NOT NULL,
    stopped_at     timestamptz NOT NULL,
    balance_nano   bigint NOT NULL,
    reason         text NOT NULL,
    reconnected_at timestamptz
);
CREATE UNIQUE INDEX credit_stop_open ON credit_stop (breaker) WHERE reconnected_at IS NULL;
"""

COMMENTS = {
    "book": "one row: who may write these books (fencing), the last checkpoint and the head of the hash chain",
    "account": "chart of accounts: wallet per tenant, revenue per medium, cash, clearing per channel, opening, rounding",  # noqa: E501
    "transfer": "append-only: one balanced movement of money; hash = sha256(prev_hash || canonical form)",
    "entry": "append-only: one side of a transfer; the entries of a transfer sum to zero; positive credits the account",
    "tariff_version": "append-only: a tariff as it was when something was charged by it; hash of its canonical form",
    "terms": "append-only: what a supply point was billed by: meter, ratio, purse and tariff version",
    "charge": "append-only: one priced part of the interval between two register readings",
    "receipt": "append-only: what a tenant was given for a top-up",
    "balance": "projection: fold of the entries of each account",
    "point_state": "projection: last billed register of each supply point, seconds UTC",
    "credit_stop": "supplies switched off by credit control, until they were reconnected",
}

PROTECTED = ("transfer", "entry", "charge", "receipt", "tariff_version", "terms")

GUARD = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the books are append-only; post a reversal instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table, comment in COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    op.execute(GUARD)
    for table in PROTECTED:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
