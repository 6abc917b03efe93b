"""0011_credit: notices to tenants, decisions of people, how accounts stand, what hours cost."""

from alembic import op

from scada.migrations import rights

revision = "0011_credit"
down_revision = "0010_settlement"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE notice (
        id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account         text NOT NULL,
        kind            text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9-]{0,31}$'),
        created         timestamptz NOT NULL,
        channel         text NOT NULL,
        delivered       timestamptz,
        result          text NOT NULL,
        balance_nano    bigint NOT NULL,
        stop_not_before timestamptz,
        due             timestamptz,
        text_zh         text NOT NULL,
        text_en         text NOT NULL,
        UNIQUE (account, kind, created, channel),
        CHECK ((result = 'delivered') = (delivered IS NOT NULL))
    )
    """,
    "CREATE INDEX notice_by_account ON notice (account, id)",
    """
    CREATE TABLE credit_event (
        id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key     text NOT NULL UNIQUE CHECK (length(key) BETWEEN 1 AND 200),
        verb    text NOT NULL CHECK (verb ~ '^[a-z][a-z-]{0,31}$'),
        account text NOT NULL,
        at      timestamptz NOT NULL,
        until   timestamptz,
        owner   text NOT NULL,
        reason  text NOT NULL,
        who     text NOT NULL,
        station text NOT NULL
    )
    """,
    """
    CREATE TABLE credit_account (
        account    text PRIMARY KEY,
        state      smallint NOT NULL CHECK (state >= 0),
        told_state smallint NOT NULL CHECK (told_state >= 0),
        since_s    bigint NOT NULL,
        due_s      bigint NOT NULL
    )
    """,
    """
    CREATE TABLE cost_hour (
        account text NOT NULL,
        hour    bigint NOT NULL,
        nano    bigint NOT NULL,
        PRIMARY KEY (account, hour)
    )
    """,
    # What a stop has to prove: the words that went before it, with channel, time of delivery and result.
    """
    CREATE VIEW credit_stop_proof AS
    SELECT s.id, s.account, s.breaker, s.stopped_at, s.balance_nano, s.reason, s.reconnected_at,
           coalesce(jsonb_agg(jsonb_build_object(
               'kind', n.kind, 'channel', n.channel, 'created', n.created, 'delivered', n.delivered, 'result', n.result
           ) ORDER BY n.id) FILTER (WHERE n.id IS NOT NULL), '[]') AS notices
    FROM credit_stop s
        LEFT JOIN notice n ON n.account = s.account AND n.kind IN ('final', 'again') AND n.created <= s.stopped_at
            AND n.due = (SELECT max(due) FROM notice l WHERE l.account = s.account AND l.created <= s.stopped_at)
    GROUP BY s.id
    """,
    # Charges are appended in the order of time: a block range index finds the last hours of a table of any size and
    # costs nothing worth naming when charges are written.
    "CREATE INDEX charge_by_time ON charge USING brin (segment_to)",
)
COMMENTS = {
    "TABLE notice": "append-only: one word to a tenant, by one channel, with what became of it; times are plant time",
    "TABLE credit_event": "append-only: protection, pause, dispute, hold and release; account '''' is every account",
    "TABLE credit_account": "projection: how each account stands, for the next start and for readers",
    "COLUMN credit_account.state": "index into billing_core.credit_levels.STATES",
    "COLUMN credit_account.due_s": "plant second at which the overdraft was used up, 0: it is not",
    "TABLE cost_hour": "projection: what each account cost in one hour (UTC second / 3600), two weeks of it",
}


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")
    rights.append_only("notice", "credit_event")
    rights.projection("credit_account", "cost_hour")
    rights.readable("credit_stop_proof")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
