"""Every SQL statement of the settlement, in one place, for settle_store.

Parameters: wallet, account; from_s, to_s of the period; cut, the last transfer to look at; prev, cut of the statement
before, -1 without one: what came later than prev for a time before from_s is late.
"""

from typing import Final

SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
HEAD: Final = "SELECT seq FROM book"
ACCOUNT: Final = """
    SELECT a.name_zh, a.name_en, a.currency, b.nano, b.seq FROM account a JOIN balance b ON b.account = a.id
    WHERE a.id = %(wallet)s
"""
WALLETS: Final = """
    SELECT substr(a.id, 8) FROM account a JOIN balance b ON b.account = a.id
    WHERE a.kind = 'wallet' AND b.seq > 0 ORDER BY a.id
"""
PLANS: Final = "SELECT encode(hash, 'hex'), body FROM tariff_version"

# --- what the period holds

_WITHIN: Final = """
    ((c.segment_from >= to_timestamp(%(from_s)s) AND c.segment_to <= to_timestamp(%(to_s)s))
     OR (c.segment_to <= to_timestamp(%(from_s)s) AND %(prev)s >= 0 AND c.seq > %(prev)s))
"""
USAGES: Final = f"""
    SELECT t.point, t.medium, t.unit, encode(t.tariff, 'hex'),
           width_bucket(extract(epoch FROM c.segment_from)::bigint, %(borders)s::bigint[]), c.rate, c.tier, c.kind,
           c.price_micro, c.segment_to <= to_timestamp(%(from_s)s), sum(c.milli)::bigint,
           coalesce(sum(c.milli) FILTER (WHERE c.method = 1), 0)::bigint, sum(c.nano)::bigint
    FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.account = %(wallet)s AND c.seq <= %(cut)s AND {_WITHIN}
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
# Charges over a border of the period: few, taken apart row by row.
CROSSING: Final = """
    SELECT t.point, t.medium, t.unit, encode(t.tariff, 'hex'), c.rate, c.tier, c.kind, c.method, c.price_micro, c.milli,
           c.nano, extract(epoch FROM c.segment_from)::bigint, extract(epoch FROM c.segment_to)::bigint, c.seq
    FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.account = %(wallet)s AND c.seq <= %(cut)s
      AND ((c.segment_from < to_timestamp(%(from_s)s) AND c.segment_to > to_timestamp(%(from_s)s))
           OR (c.segment_from < to_timestamp(%(to_s)s) AND c.segment_to > to_timestamp(%(to_s)s)))
"""
CHARGED_AFTER: Final = """
    SELECT coalesce(sum(c.nano), 0)::bigint FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.account = %(wallet)s AND c.seq <= %(cut)s AND c.segment_from >= to_timestamp(%(to_s)s)
"""
POSTED: Final = """
    SELECT a.kind, a.point, a.medium, a.component, max(a.name_zh), max(a.name_en), a.tax_ppm, sum(a.nano)::bigint,
           a.time_from < to_timestamp(%(from_s)s), coalesce(max(a.inputs ->> 'compliance'), '')
    FROM assessment a JOIN transfer x USING (seq)
    WHERE a.account = %(account)s AND x.kind <> 'settlement' AND a.seq <= %(cut)s
      AND ((a.time_from >= to_timestamp(%(from_s)s) AND a.time_from < to_timestamp(%(to_s)s))
           OR (a.time_from < to_timestamp(%(from_s)s) AND %(prev)s >= 0 AND a.seq > %(prev)s))
    GROUP BY 1, 2, 3, 4, 7, 9
"""
POSTED_AFTER: Final = """
    SELECT coalesce(sum(a.nano), 0)::bigint FROM assessment a JOIN transfer x USING (seq)
    WHERE a.account = %(account)s AND x.kind <> 'settlement' AND a.seq <= %(cut)s
      AND a.time_from >= to_timestamp(%(to_s)s)
"""
# Money that came otherwise: transfers with neither charges nor assessments.
_MOVED: Final = """
    FROM entry e JOIN transfer x USING (seq)
    WHERE e.account = %(wallet)s AND e.seq <= %(cut)s AND x.charges_hash IS NULL AND x.kind <> 'settlement'
      AND NOT EXISTS (SELECT FROM assessment a WHERE a.seq = e.seq)
"""
MOVEMENTS: Final = f"""
    SELECT e.seq, x.kind, extract(epoch FROM x.plant_time)::bigint, x.memo, sum(e.nano)::bigint {_MOVED}
      AND ((x.plant_time >= to_timestamp(%(from_s)s) AND x.plant_time < to_timestamp(%(to_s)s))
           OR (x.plant_time < to_timestamp(%(from_s)s) AND %(prev)s >= 0 AND e.seq > %(prev)s))
    GROUP BY 1, 2, 3, 4 ORDER BY 1
"""
MOVED_AFTER: Final = f"""
    SELECT coalesce(sum(e.nano), 0)::bigint {_MOVED} AND x.plant_time >= to_timestamp(%(to_s)s)
"""
REGISTERS: Final = """
    SELECT t.point, t.meter, t.unit, t.milli_per_count, opened.raw_from, opened.from_s, closed.raw_to, closed.to_s
    FROM terms t
    CROSS JOIN LATERAL (
        SELECT c.raw_from, extract(epoch FROM c.time_from)::bigint AS from_s FROM charge c
        WHERE c.terms = t.id AND c.kind = 0 AND c.seq <= %(cut)s AND c.time_to > to_timestamp(%(from_s)s)
          AND c.time_from < to_timestamp(%(to_s)s)
        ORDER BY c.time_to, c.seq, c.line LIMIT 1) opened
    CROSS JOIN LATERAL (
        SELECT c.raw_to, extract(epoch FROM c.time_to)::bigint AS to_s FROM charge c
        WHERE c.terms = t.id AND c.kind = 0 AND c.seq <= %(cut)s AND c.time_to > to_timestamp(%(from_s)s)
          AND c.time_from < to_timestamp(%(to_s)s)
        ORDER BY c.time_to DESC, c.seq DESC, c.line DESC LIMIT 1) closed
    WHERE t.account = %(wallet)s ORDER BY t.point, opened.from_s
"""
FIRST_UNITS: Final = """
    SELECT c.milli, c.price_micro, extract(epoch FROM c.segment_from)::bigint, extract(epoch FROM c.segment_to)::bigint
    FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.account = %(wallet)s AND t.point = %(point)s AND c.seq <= %(cut)s AND c.kind IN (0, 3, 4)
      AND c.segment_to > to_timestamp(%(from_s)s) AND c.segment_from < to_timestamp(%(to_s)s)
    ORDER BY c.segment_from, c.seq, c.line LIMIT %(most)s OFFSET %(skip)s
"""
HIGHEST: Final = """
    SELECT point, component, max(watt) FROM demand
    WHERE account = %(account)s AND seq <= %(cut)s AND window_from >= to_timestamp(%(from_s)s)
      AND window_to <= to_timestamp(%(to_s)s)
    GROUP BY 1, 2
"""
REACTIVE: Final = """
    SELECT point, extract(epoch FROM at)::bigint, meter, milli FROM reactive_reading
    WHERE point = ANY(%(points)s) AND at BETWEEN to_timestamp(%(from_s)s) AND to_timestamp(%(late_s)s)
    ORDER BY point, at
"""
BEHIND: Final = """
    SELECT point FROM point_state WHERE point = ANY(%(points)s) AND (held <> 0 OR last_s < %(to_s)s) ORDER BY point
"""

# --- what the clock keeps

SPANS: Final = """
    SELECT point, extract(epoch FROM since)::bigint, account, encode(tariff, 'hex'), contract_w, capacity_va
    FROM supply_span ORDER BY point, since
"""
ADD_SPAN: Final = """
    INSERT INTO supply_span (point, since, account, tariff, contract_w, capacity_va)
    VALUES (%(point)s, to_timestamp(%(since_s)s), %(account)s, decode(%(plan)s, 'hex'), %(contract_w)s, %(capacity_va)s)
    ON CONFLICT (point, since) DO NOTHING
"""
CLOCK: Final = "SELECT extract(epoch FROM done)::bigint FROM settlement_clock"
SET_CLOCK: Final = """
    INSERT INTO settlement_clock (one, done) VALUES (true, to_timestamp(%(done_s)s))
    ON CONFLICT (one) DO UPDATE SET done = excluded.done
"""
POSTED_IN_MONTH: Final = """
    SELECT a.point, a.account, a.component, sum(a.nano)::bigint FROM assessment a JOIN transfer x USING (seq)
    WHERE a.time_from >= to_timestamp(%(from_s)s) AND a.time_from < to_timestamp(%(to_s)s) AND x.kind <> 'settlement'
      AND a.kind IN ('fixed-month', 'capacity', 'demand-reserve')
    GROUP BY 1, 2, 3
"""
STOPS: Final = """
    SELECT account, extract(epoch FROM stopped_at)::bigint,
           coalesce(extract(epoch FROM reconnected_at)::bigint, 1::bigint << 40)
    FROM credit_stop
    WHERE stopped_at < to_timestamp(%(to_s)s) AND (reconnected_at IS NULL OR reconnected_at > to_timestamp(%(from_s)s))
"""
ADD_REACTIVE: Final = """
    INSERT INTO reactive_reading (point, at, meter, milli, read_at)
    VALUES (%(point)s, to_timestamp(%(at_s)s), %(meter)s, %(milli)s, to_timestamp(%(read_s)s))
    ON CONFLICT (point, at) DO NOTHING
"""
ADD_ASSESSMENT: Final = """
    INSERT INTO assessment (key, seq, kind, account, point, medium, component, name_zh, name_en, time_from, time_to,
                            tax_ppm, nano, inputs)
    VALUES (%(key)s, %(seq)s, %(kind)s, %(account)s, %(point)s, %(medium)s, %(component)s, %(name_zh)s, %(name_en)s,
            to_timestamp(%(from_s)s), to_timestamp(%(to_s)s), %(tax_ppm)s, %(nano)s, %(inputs)s)
"""
KNOWN_ASSESSMENTS: Final = "SELECT key FROM assessment WHERE key = ANY(%(keys)s)"
ADD_DEMAND: Final = """
    INSERT INTO demand (point, component, account, month, window_from, window_to, raw_from, raw_to, milli_per_count,
                        watt, seq)
    VALUES (%(point)s, %(component)s, %(account)s, %(month)s, to_timestamp(%(from_s)s), to_timestamp(%(to_s)s),
            %(raw_from)s, %(raw_to)s, %(milli_per_count)s, %(watt)s, %(seq)s)
"""
DEMANDS: Final = """
    SELECT point, component, account, max(watt) FROM demand WHERE month = %(month)s GROUP BY 1, 2, 3
"""

# --- statements

ADD_STATEMENT: Final = """
    INSERT INTO statement (account, label, time_from, time_to, seq, cut_seq, opening_nano, closing_nano)
    VALUES (%(account)s, %(label)s, to_timestamp(%(from_s)s), to_timestamp(%(to_s)s), %(seq)s, %(cut_seq)s,
            %(opening_nano)s, %(closing_nano)s)
"""
LAST_STATEMENT: Final = """
    SELECT s.label, extract(epoch FROM s.time_to)::bigint, s.cut_seq, s.closing_nano, d.body -> 'left_nano'
    FROM statement s JOIN document d USING (seq) WHERE s.account = %(account)s ORDER BY s.time_to DESC LIMIT 1
"""
STATEMENT: Final = """
    SELECT d.body FROM statement s JOIN document d USING (seq)
    WHERE s.account = %(account)s AND (s.label = %(label)s OR starts_with(s.label, %(label)s || '/'))
    ORDER BY s.time_to
"""
STATEMENTS: Final = """
    SELECT s.account, s.label, s.seq, s.opening_nano, s.closing_nano FROM statement s
    WHERE s.label = %(label)s OR starts_with(s.label, %(label)s || '/') ORDER BY s.account, s.time_to
"""

# --- shares

POINT_COSTS: Final = """
    SELECT t.point, substr(t.account, 8), c.kind, c.milli, c.nano, c.price_micro,
           extract(epoch FROM c.segment_from)::bigint, extract(epoch FROM c.segment_to)::bigint
    FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.point = ANY(%(points)s) AND c.seq <= %(cut)s
      AND ((c.segment_from < to_timestamp(%(from_s)s) AND c.segment_to > to_timestamp(%(from_s)s))
           OR (c.segment_from < to_timestamp(%(to_s)s) AND c.segment_to > to_timestamp(%(to_s)s)))
"""
POINT_SUMS: Final = """
    SELECT t.point, substr(t.account, 8), coalesce(sum(c.milli) FILTER (WHERE c.kind <> 1), 0)::bigint,
           sum(c.nano)::bigint
    FROM terms t JOIN charge c ON c.terms = t.id
    WHERE t.point = ANY(%(points)s) AND c.seq <= %(cut)s
      AND c.segment_from >= to_timestamp(%(from_s)s) AND c.segment_to <= to_timestamp(%(to_s)s)
    GROUP BY 1, 2
"""
POINT_ASSESSED: Final = """
    SELECT point, account, sum(nano)::bigint FROM assessment
    WHERE point = ANY(%(points)s) AND kind <> 'share' AND seq <= %(cut)s
      AND time_from >= to_timestamp(%(from_s)s) AND time_from < to_timestamp(%(to_s)s)
    GROUP BY 1, 2
"""
ADD_SHARE_BILL: Final = """
    INSERT INTO share_bill ("group", month, state, document, seq, who, made_at)
    VALUES (%(group)s, %(month)s, %(state)s, %(document)s, %(seq)s, %(who)s, to_timestamp(%(made_s)s))
"""
SHARE_BILLS: Final = """
    SELECT DISTINCT ON ("group") "group", state, document, seq FROM share_bill WHERE month = %(month)s
    ORDER BY "group", (state = 'confirmed') DESC, id DESC
"""
