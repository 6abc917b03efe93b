"""0005_history: values over time, and their roll-ups at 15 minutes, an hour and a day.

With TimescaleDB: a hypertable with compression, and continuous aggregates that also answer for what they have not
materialised yet. Without: daily range partitions, and for each resolution a table filled by the core up to a mark,
under a view that adds the rest from the raw rows. Names and columns are the same, so every query is.

Days are days of UTC. An average is the mean of the recorded samples: trends, never money.
"""

from alembic import op
from sqlalchemy import text

revision = "0005_history"
down_revision = "0004_commands"
branch_labels = None
depends_on = None

RESOLUTIONS = (("history_15m", "15 minutes"), ("history_1h", "1 hour"), ("history_1d", "1 day"))
ORIGIN = "timestamptz '2000-01-03 00:00:00+00'"  # TimescaleDB's own, a Monday
# Bad values, NaN and infinities are counted and not summed; beyond 1e150 a sum might overflow and stop the roll-up.
USABLE = "quality < 2147483648 AND value BETWEEN -1e150 AND 1e150"

COMMON = f"""
    count(*)                            AS samples,
    count(*)   FILTER (WHERE {USABLE})  AS usable,
    min(value) FILTER (WHERE {USABLE})  AS value_min,
    max(value) FILTER (WHERE {USABLE})  AS value_max,
    sum(value) FILTER (WHERE {USABLE})  AS value_sum,
    max(quality)                        AS quality
"""
FIRST_LAST_TIMESCALE = f"""
    first(value, time) FILTER (WHERE {USABLE}) AS value_first,
    last(value, time)  FILTER (WHERE {USABLE}) AS value_last
"""
FIRST_LAST_PLAIN = f"""
    (array_agg(value ORDER BY time)      FILTER (WHERE {USABLE}))[1] AS value_first,
    (array_agg(value ORDER BY time DESC) FILTER (WHERE {USABLE}))[1] AS value_last
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tag (
            tag_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id         text NOT NULL UNIQUE,
            first_seen timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE history_writer (
            writer     uuid PRIMARY KEY,  -- one start of the core
            number     bigint NOT NULL,  -- its last batch that is in the table: a repeated one is recognised
            changed_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    if timescale_usable():
        make_hypertable()
    else:
        make_partitioned()


def timescale_usable() -> bool:
    """Tell whether the extension is there with its community features (compression, continuous aggregates)."""
    found = op.get_bind().execute(
        text("""
            SELECT current_setting('timescaledb.license', true) = 'timescale'
            FROM pg_extension WHERE extname = 'timescaledb'
        """)
    )
    return bool(found.scalar())


def columns(tail: str = "") -> str:
    return f"""
        (
            time    timestamptz NOT NULL,
            tag_id  integer NOT NULL,
            value   double precision NOT NULL,
            quality bigint NOT NULL  -- OPC UA StatusCode
        ) {tail}
    """


def make_hypertable() -> None:
    op.execute(f"CREATE TABLE history {columns()}")
    op.execute(
        "SELECT create_hypertable('history', by_range('time', INTERVAL '1 day'), create_default_indexes => false)"
    )
    op.execute("CREATE INDEX history_tag_time ON history (tag_id, time)")
    op.execute("""
        ALTER TABLE history SET (
            timescaledb.compress, timescaledb.compress_segmentby = 'tag_id', timescaledb.compress_orderby = 'time'
        )
    """)
    op.execute("SELECT add_compression_policy('history', INTERVAL '2 days')")
    for name, width in RESOLUTIONS:
        op.execute(f"""
            CREATE MATERIALIZED VIEW {name}
            WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
            SELECT time_bucket(INTERVAL '{width}', time) AS bucket, tag_id, {COMMON}, {FIRST_LAST_TIMESCALE}
            FROM history GROUP BY 1, 2
            WITH NO DATA
        """)
        op.execute(f"""
            SELECT add_continuous_aggregate_policy('{name}', start_offset => INTERVAL '7 days',
                end_offset => INTERVAL '{width}', schedule_interval => INTERVAL '{width}')
        """)


def make_partitioned() -> None:
    op.execute(f"CREATE TABLE history {columns('PARTITION BY RANGE (time)')}")
    op.execute("CREATE INDEX history_tag_time ON history (tag_id, time)")
    op.execute("CREATE TABLE rollup_mark (name text PRIMARY KEY, width interval NOT NULL, until timestamptz)")
    for name, width in RESOLUTIONS:
        op.execute(f"INSERT INTO rollup_mark VALUES ('{name}', INTERVAL '{width}', NULL)")
        rolled = f"""
            SELECT date_bin(INTERVAL '{width}', time, {ORIGIN}) AS bucket, tag_id, {COMMON}, {FIRST_LAST_PLAIN}
            FROM history WHERE time >= (SELECT coalesce(until, '-infinity') FROM rollup_mark WHERE name = '{name}')
        """
        op.execute(f"CREATE VIEW {name}_tail AS {rolled} GROUP BY 1, 2")
        op.execute(f"""
            CREATE FUNCTION {name}_until(before timestamptz) RETURNS SETOF {name}_tail LANGUAGE sql STABLE AS
            $$ {rolled} AND time < before GROUP BY 1, 2 $$
        """)
        op.execute(f"CREATE TABLE {name}_stored AS SELECT * FROM {name}_tail WITH NO DATA")
        op.execute(f"ALTER TABLE {name}_stored ADD PRIMARY KEY (tag_id, bucket)")
        op.execute(f"CREATE VIEW {name} AS SELECT * FROM {name}_stored UNION ALL SELECT * FROM {name}_tail")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
