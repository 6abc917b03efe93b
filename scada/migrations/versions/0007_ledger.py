"""0007_ledger: the chain carries documents; charges know tier, position and method; pages; who may write what.

Kinds of transfers and accounts are a table of the program (billing_core/chart.py); here only their spelling is checked.
A checkpoint moves nearly every balance and register, so both lie in pages of packed integers (billing_core/pages.py);
the views `balance` and `point_state` give them back by name. The entries of a charge transfer are the sums of its
charges: they are not stored a second time, the view `entry` shows them with the others. No foreign key and no check of
order hangs on `charge`, which takes most of the writing: the audit proves what they would, and more.
"""

from alembic import op
from sqlalchemy import text

from scada.migrations import rights

revision = "0007_ledger"
down_revision = "0006_users"
branch_labels = None
depends_on = None

SKIP_SCAN_SINCE = 180_000  # from this server version on an index (seq, terms) finds a point's rows by itself
POINT_COLUMNS = (
    "terms", "last_raw", "last_s", "moved_s", "held", "held_raw", "held_s", "first_raw", "first_s", "billed_milli",
    "charged_nano", "position_milli", "period", "rate_raw_1", "rate_raw_2", "rate_raw_3", "rate_raw_4", "rate_raw_5",
)  # fmt: skip
POINT_WIDTH, POINTS_A_PAGE, ACCOUNTS_A_PAGE = 24, 16, 64
NO_REGISTER = -1
AFTER = {"position_milli": "coalesce(billed_milli, 0)", "period": 0}  # of points billed by plans of one tier

CHAIN = (
    "ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check, ADD CHECK (kind ~ '^[a-z][a-z-]{0,31}$')",
    "CREATE INDEX transfer_by_time ON transfer (plant_time)",
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
    "CREATE INDEX terms_by_account ON terms (account)",
)
CHARGES = (
    """
    ALTER TABLE charge
        ADD tier smallint NOT NULL DEFAULT 0 CHECK (tier >= 0),
        ADD position_milli bigint NOT NULL DEFAULT 0 CHECK (position_milli >= 0),
        ADD kind smallint NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 4),
        ADD method smallint NOT NULL DEFAULT 0 CHECK (method BETWEEN 0 AND 3),
        ADD reverses_seq bigint,
        ADD reverses_line integer,
        DROP CONSTRAINT charge_check,
        DROP CONSTRAINT charge_milli_check,
        DROP CONSTRAINT charge_nano_check,
        DROP CONSTRAINT charge_price_micro_check,
        DROP CONSTRAINT charge_seq_fkey,
        DROP CONSTRAINT charge_terms_fkey,
        DROP CONSTRAINT charge_pkey,
        -- 1 uplift to another price, up or down; 2 reversal, negative
        -- what a person gives for the gap of a swap may have no length of its own
        ADD CHECK (time_from <= segment_from AND segment_to <= time_to
                   AND (segment_from < segment_to OR method = 3 AND segment_from = segment_to)),
        ADD CHECK (kind IN (1, 2) OR (milli > 0 AND nano >= 0 AND price_micro >= 0)),
        ADD CHECK ((kind = 2) = (reverses_seq IS NOT NULL) AND (kind = 2) = (reverses_line IS NOT NULL))
    """,
    # What older rows did not say and the audit expects: plans had one tier, and no column besides `split` had a method.
    # Their hash does not know these columns (book.folded_after says up to which transfer).
    "ALTER TABLE charge DISABLE TRIGGER charge_append_only",
    """
    UPDATE charge c SET method = split::int, position_milli = before.milli
    FROM (SELECT seq, line, sum(milli) OVER (PARTITION BY t.point ORDER BY seq, line) - milli AS milli
          FROM charge JOIN terms t ON t.id = charge.terms) before
    WHERE (before.seq, before.line) = (c.seq, c.line)
    """,
    "ALTER TABLE charge ENABLE TRIGGER charge_append_only",
    "ALTER TABLE charge DROP COLUMN split",
    # The rows of a checkpoint are written in the order of their terms: the index grows at its end only.
    "ALTER TABLE charge ADD PRIMARY KEY (seq, terms, line)",
    "DROP INDEX charge_by_terms",
    "CREATE UNIQUE INDEX charge_reversed_once ON charge (reverses_seq, reverses_line) WHERE kind = 2",
)
ENTRIES = (
    "ALTER TABLE entry RENAME TO posted_entry",
    "ALTER TABLE book ADD folded_after bigint NOT NULL DEFAULT 0",
    "UPDATE book SET folded_after = seq",
    """
    CREATE VIEW entry AS
        SELECT seq, line, account, nano FROM posted_entry
        UNION ALL
        SELECT c.seq, NULL::integer, t.account, -sum(c.nano)::bigint FROM charge c JOIN terms t ON t.id = c.terms
        WHERE c.seq > (SELECT folded_after FROM book) GROUP BY c.seq, t.account HAVING sum(c.nano) <> 0
        UNION ALL
        SELECT c.seq, NULL::integer, 'revenue:' || t.medium, sum(c.nano)::bigint
        FROM charge c JOIN terms t ON t.id = c.terms
        WHERE c.seq > (SELECT folded_after FROM book) GROUP BY c.seq, t.medium HAVING sum(c.nano) <> 0
    """,
)
BALANCES = (
    "ALTER TABLE account ADD number integer UNIQUE CHECK (number >= 0)",
    "UPDATE account SET number = n.number "
    "FROM (SELECT id, row_number() OVER (ORDER BY opened_at, id) - 1 AS number FROM account) n WHERE n.id = account.id",
    "ALTER TABLE account ALTER number SET NOT NULL",
    "ALTER TABLE balance RENAME TO balance_row",
    "CREATE TABLE balance_page (page integer PRIMARY KEY, body bytea NOT NULL) WITH (fillfactor = 40)",
    "ALTER TABLE balance_page ALTER body SET STORAGE PLAIN",
    f"""
    INSERT INTO balance_page
    SELECT n / {ACCOUNTS_A_PAGE},
           string_agg(int8send(coalesce(b.nano, 0)) || int8send(coalesce(b.seq, 0)), '' ORDER BY n)
    FROM (SELECT generate_series(0, (max(number) / {ACCOUNTS_A_PAGE} + 1) * {ACCOUNTS_A_PAGE} - 1) FROM account) g (n)
    LEFT JOIN account a ON a.number = n LEFT JOIN balance_row b ON b.account = a.id GROUP BY n / {ACCOUNTS_A_PAGE}
    """,
    "DROP TABLE balance_row",
    f"""
    CREATE VIEW balance AS
        SELECT a.id AS account, packed_bigint(p.body, a.number % {ACCOUNTS_A_PAGE} * 2) AS nano,
               packed_bigint(p.body, a.number % {ACCOUNTS_A_PAGE} * 2 + 1) AS seq
        FROM account a JOIN balance_page p ON p.page = a.number / {ACCOUNTS_A_PAGE}
    """,
)
PACKED = """
    CREATE FUNCTION packed_bigint(body bytea, at bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || encode(substr(body, at::integer * 8 + 1, 8), 'hex'))::bit(64)::bigint
"""
VIEW_COLUMNS = ", ".join(
    f"packed_bigint(p.body, s.slot % {POINTS_A_PAGE} * {POINT_WIDTH} + {at})"
    f"{'::smallint' if name == 'held' else '::integer' if name == 'terms' else ''} AS {name}"
    for at, name in enumerate(POINT_COLUMNS)
)
PACKING = " || ".join(
    f"int8send(coalesce({name}, 0)::bigint)"
    if at <= POINT_COLUMNS.index("charged_nano")
    else f"int8send({value}::bigint)"
    for at, (name, value) in enumerate(
        [(name, AFTER.get(name, NO_REGISTER)) for name in POINT_COLUMNS]
        + [("", 0)] * (POINT_WIDTH - len(POINT_COLUMNS))
    )
)
REGISTERS = (
    "ALTER TABLE point_state RENAME TO point_row",
    "CREATE TABLE point_slot (point text PRIMARY KEY, slot integer NOT NULL UNIQUE CHECK (slot >= 0))",
    "INSERT INTO point_slot SELECT point, row_number() OVER (ORDER BY point) - 1 FROM point_row",
    "CREATE TABLE point_page (page integer PRIMARY KEY, body bytea NOT NULL) WITH (fillfactor = 40)",
    "ALTER TABLE point_page ALTER body SET STORAGE PLAIN",
    f"""
    INSERT INTO point_page SELECT n / {POINTS_A_PAGE}, string_agg({PACKING}, '' ORDER BY n)
    FROM (SELECT generate_series(0, (max(slot) / {POINTS_A_PAGE} + 1) * {POINTS_A_PAGE} - 1) FROM point_slot) g (n)
    LEFT JOIN point_slot s ON s.slot = n LEFT JOIN point_row r USING (point) GROUP BY n / {POINTS_A_PAGE}
    """,
    "DROP TABLE point_row",
    f"CREATE VIEW point_state AS SELECT s.point, {VIEW_COLUMNS} "
    f"FROM point_slot s JOIN point_page p ON p.page = s.slot / {POINTS_A_PAGE}",
)
COMMENTS = {
    "TABLE document": "append-only: what a transfer says besides money; its hash is part of the transfer''s",
    "TABLE posted_entry": "append-only: entries of transfers other than charges; the view entry has all",
    "TABLE balance_page": "projection: balances by account.number, 64 a page; the view balance has their names",
    "TABLE point_page": "projection: registers by point_slot.slot, 16 a page; the view point_state has their names",
    "TABLE point_slot": "where a supply point lies in point_page",
    "VIEW entry": "one side of a transfer, positive credits the account; of charge transfers the sums of its charges",
    "VIEW balance": "fold of the entries of each account",
    "VIEW point_state": "last billed register of each supply point, seconds UTC",
    "COLUMN charge.kind": "0 metered, 1 uplift, 2 reversal, 3 recharge, 4 estimate",
    "COLUMN charge.method": "0 within one rate, 1 split by time, 2 split by rate registers, 3 given by a person",
    "COLUMN charge.position_milli": "tier position of the point before this row",
    "COLUMN book.folded_after": "charge transfers after this number store no entries: they are the sums of its charges",
}
LEDGER_TABLES = ("transfer", "posted_entry", "charge", "document", "receipt", "tariff_version", "terms")
LEDGER_STATE = ("meta", "book", "account", "balance_page", "point_page", "point_slot", "credit_stop")
JOURNALS = ("alarm_journal", "command_journal")
ROLL_UPS = ("history_15m", "history_1h", "history_1d")
PEOPLE = ("app_user", "app_session")


def upgrade() -> None:
    for statement in (*CHAIN, *CHARGES, *ENTRIES, PACKED, *BALANCES, *REGISTERS):
        op.execute(statement)
    if op.get_bind().execute(text("SELECT current_setting('server_version_num')::int")).scalar_one() < SKIP_SCAN_SINCE:
        op.execute("CREATE INDEX charge_by_terms ON charge (terms, seq)")
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")
    op.execute("DROP TRIGGER entry_append_only ON posted_entry")
    rights.make_roles()
    rights.append_only(*LEDGER_TABLES)
    rights.projection(*LEDGER_STATE)
    rights.readable("entry", "balance", "point_state")
    for journal in JOURNALS:  # their triggers are there
        rights.grant(journal, "SELECT, INSERT", rights.HISTORY)
    rights.projection("alarm_state", writer=rights.HISTORY)
    give_history()
    rights.projection(*PEOPLE, writer=rights.USERS)
    rights.readable("alembic_version")


def give_history() -> None:
    """Let the historian keep its tables: it makes partitions ahead of time and drops old ones.

    On TimescaleDB policies of the server work on the hypertable in its owner's name, so the owner stays and the
    historian keeps the rights of its login.
    """
    tables = op.get_bind().execute(
        text("""
            SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = 'wattkeeper'::regnamespace AND c.relkind IN ('r', 'p')
              AND (c.relname ~ '^history_p[0-9]{8}$' OR c.relname = ANY(:names))
        """),
        {"names": ["history", "tag", "history_writer", "rollup_mark", *(f"{name}_stored" for name in ROLL_UPS)]},
    )
    names = [name for (name,) in tables]
    if "rollup_mark" in names:
        rights.give(rights.HISTORY, *names)
        rights.readable(*ROLL_UPS, *(f"{name}_tail" for name in ROLL_UPS))
    else:
        rights.readable("history", "tag", *ROLL_UPS)


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
