"""Every SQL statement of the books, in one place, for the store and the audit."""

from typing import Final

from billing_core.pages import BALANCE_PAGE_BYTES, POINT_PAGE_BYTES

# --- who may write, and the head of the chain

MAKE_BOOK: Final = "INSERT INTO book (site, hash) VALUES (%(site)s, %(genesis)s) ON CONFLICT (one) DO NOTHING"
LOCK_BOOK: Final = """
    SELECT site, holder, epoch, checkpoint_seq, seq, hash, extract(epoch FROM plant_time)::bigint,
           extract(epoch FROM clock_timestamp() - seen_at)::double precision,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM book FOR UPDATE
"""
TAKE_BOOK: Final = """
    UPDATE book SET holder = %(holder)s, epoch = epoch + 1, seen_at = clock_timestamp() RETURNING epoch
"""
KEEP_BOOK: Final = """
    UPDATE book SET checkpoint_seq = %(checkpoint_seq)s, seq = %(seq)s, hash = %(hash)s,
                    plant_time = greatest(plant_time, to_timestamp(%(plant_time_s)s)), seen_at = clock_timestamp()
"""

# --- what the configuration names

OPEN_ACCOUNTS: Final = """
    INSERT INTO account (id, kind, name_zh, name_en, currency, number)
    SELECT * FROM unnest(%(ids)s::text[], %(kinds)s::text[], %(zh)s::text[], %(en)s::text[], %(currencies)s::text[],
                         %(numbers)s::int[])
    ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en
        WHERE (account.name_zh, account.name_en) <> (excluded.name_zh, excluded.name_en)
"""
READ_ACCOUNTS: Final = "SELECT id, currency FROM account ORDER BY number"
READ_BALANCES: Final = "SELECT page, body FROM balance_page ORDER BY page"
READ_SLOTS: Final = "SELECT point, slot FROM point_slot"
READ_POINTS: Final = "SELECT page, body FROM point_page ORDER BY page"
LATE_CREDITS: Final = """
    SELECT substr(e.account, 8), e.nano FROM posted_entry e JOIN transfer t USING (seq)
    WHERE t.idempotency_key = ANY(%(keys)s) AND e.account LIKE 'wallet:%%' ORDER BY e.seq, e.line
"""
ADD_TARIFF: Final = """
    INSERT INTO tariff_version (hash, tariff, body) VALUES (%(hash)s, %(tariff)s, %(body)s)
    ON CONFLICT (hash) DO NOTHING
"""
_TERMS_GIVEN: Final = """
    unnest(%(point)s::text[], %(meter)s::text[], %(account)s::text[], %(medium)s::text[], %(unit)s::text[],
           %(milli_per_count)s::bigint[], %(modulus_counts)s::bigint[], %(tariff)s::bytea[], %(household)s::integer[],
           %(opened_s)s::bigint[])
    WITH ORDINALITY AS given (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household,
                              opened_s, place)
"""
ADD_TERMS: Final = f"""
    INSERT INTO terms (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household,
                       opened_s)
    SELECT point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household, opened_s
    FROM {_TERMS_GIVEN} ORDER BY place
"""
FIND_TERMS: Final = f"""
    SELECT given.place, terms.id
    FROM {_TERMS_GIVEN} JOIN terms
    USING (point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household, opened_s)
"""

# --- pages

KEEP_BALANCES: Final = f"""
    INSERT INTO balance_page (page, body)
    SELECT page, substr(%(body)b, ((k - 1) * {BALANCE_PAGE_BYTES} + 1)::integer, {BALANCE_PAGE_BYTES})
    FROM unnest(%(pages)s::int[]) WITH ORDINALITY AS o (page, k)
    ON CONFLICT (page) DO UPDATE SET body = excluded.body
"""
KEEP_POINTS: Final = f"""
    INSERT INTO point_page (page, body)
    SELECT page, substr(%(body)b, ((k - 1) * {POINT_PAGE_BYTES} + 1)::integer, {POINT_PAGE_BYTES})
    FROM unnest(%(pages)s::int[]) WITH ORDINALITY AS o (page, k)
    ON CONFLICT (page) DO UPDATE SET body = excluded.body
"""
OPEN_SLOTS: Final = "INSERT INTO point_slot SELECT * FROM unnest(%(points)s::text[], %(slots)s::int[])"
READ_TERMS: Final = """
    SELECT t.id, t.point, t.meter, substr(t.account, 8), t.medium, t.unit, t.milli_per_count, t.modulus_counts,
           t.household, t.opened_s, v.tariff, v.body
    FROM terms t JOIN tariff_version v ON v.hash = t.tariff WHERE t.id = ANY(%(numbers)s)
"""

# --- posting

POST: Final = """
    INSERT INTO transfer (seq, idempotency_key, site, kind, plant_time, posted_at, who, station, memo, charges_hash,
                          prev_hash, hash)
    VALUES (%(seq)s, %(key)s, %(site)s, %(kind)s, to_timestamp(%(plant_time_s)s),
            'epoch'::timestamptz + %(posted_at_us)s * interval '1 microsecond', %(who)s, %(station)s, %(memo)s,
            %(charges_hash)s, %(prev_hash)s, %(hash)s)
"""
POST_ENTRIES: Final = """
    INSERT INTO posted_entry (seq, line, account, nano)
    SELECT %(seq)s, line - 1, account, nano
    FROM unnest(%(accounts)s::text[], %(nanos)s::bigint[]) WITH ORDINALITY AS given (account, nano, line)
"""
ADD_DOCUMENT: Final = "INSERT INTO document (seq, body) VALUES (%(seq)s, %(body)s)"
FIND_POSTED: Final = """
    SELECT t.seq, t.kind, t.memo, d.body, extract(epoch FROM t.plant_time)::bigint, t.who, t.station
    FROM transfer t LEFT JOIN document d USING (seq) WHERE t.idempotency_key = %(key)s
"""
ENTRIES_OF: Final = "SELECT account, nano FROM posted_entry WHERE seq = %(seq)s ORDER BY line"
MOVED_SINCE: Final = "SELECT coalesce(sum(nano), 0)::bigint FROM entry WHERE account = %(account)s AND seq >= %(seq)s"
COPY_CHARGES: Final = """
    COPY charge (seq, line, terms, raw_from, time_from, raw_to, time_to, segment_from, segment_to, rate, price_micro,
                 milli, nano, tier, position_milli, kind, method)
    FROM STDIN (FORMAT BINARY)
"""
COPY_EVIDENCE: Final = """
    COPY rate_reading (seq, terms, time_from, time_to, from_1, from_2, from_3, from_4, from_5, to_1, to_2, to_3, to_4,
                       to_5)
    FROM STDIN (FORMAT BINARY)
"""
ADD_RESTATED: Final = """
    INSERT INTO charge (seq, line, terms, raw_from, time_from, raw_to, time_to, segment_from, segment_to, rate,
                        price_micro, milli, nano, tier, position_milli, kind, method, reverses_seq, reverses_line)
    VALUES (%s, %s, %s, %s, to_timestamp(%s), %s, to_timestamp(%s), to_timestamp(%s), to_timestamp(%s), %s, %s, %s, %s,
            %s, %s, %s, %s, %s, %s)
"""
ADD_RECEIPT: Final = """
    INSERT INTO receipt (number, seq, account, amount_nano, balance_nano, currency, channel, plant_time, who, station)
    SELECT %(number)s, %(seq)s, id, %(amount_nano)s, %(balance_nano)s, currency, %(channel)s,
           to_timestamp(%(plant_time_s)s), %(who)s, %(station)s
    FROM account WHERE id = %(account)s
"""
FIND_RECEIPT: Final = """
    SELECT number, seq, substr(account, 8), amount_nano, balance_nano, currency, channel,
           extract(epoch FROM plant_time)::bigint, who, station
    FROM receipt WHERE seq = %(seq)s
"""

# --- supplies switched off by credit

STOP_CREDIT: Final = """
    INSERT INTO credit_stop (account, breaker, stopped_at, balance_nano, reason)
    VALUES (%(account)s, %(breaker)s, to_timestamp(%(at_s)s), %(balance_nano)s, %(reason)s)
    ON CONFLICT (breaker) WHERE reconnected_at IS NULL DO NOTHING
"""
END_CREDIT_STOP: Final = """
    UPDATE credit_stop SET reconnected_at = to_timestamp(%(at_s)s)
    WHERE breaker = %(breaker)s AND reconnected_at IS NULL
"""
ENDED_CREDIT_STOPS: Final = """
    SELECT breaker, extract(epoch FROM max(reconnected_at))::bigint FROM credit_stop
    WHERE reconnected_at IS NOT NULL GROUP BY breaker
"""
OPEN_CREDIT_STOPS: Final = """
    SELECT account, breaker, extract(epoch FROM stopped_at)::bigint FROM credit_stop WHERE reconnected_at IS NULL
"""

# --- audit, read in the order in which it was written

AUDIT_COUNTS: Final = """
    SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM posted_entry) + (SELECT count(*) FROM charge)
"""
PLANT_TIME: Final = "SELECT extract(epoch FROM plant_time)::bigint FROM book"
HASH_OF: Final = "SELECT hash FROM transfer WHERE seq = %(seq)s"
AUDIT_BOOK: Final = "SELECT seq, hash FROM book"
AUDIT_TRANSFERS: Final = """
    SELECT seq, idempotency_key, kind, site, extract(epoch FROM plant_time)::bigint,
           (extract(epoch FROM posted_at) * 1000000)::bigint, who, station, memo, charges_hash, prev_hash, hash, d.body
    FROM transfer LEFT JOIN document d USING (seq) ORDER BY seq
"""
AUDIT_ENTRIES: Final = "SELECT seq, account, nano FROM posted_entry ORDER BY seq, line"
_CHARGE_LIST: Final = """
    SELECT seq, line, terms, raw_from, extract(epoch FROM time_from)::bigint, raw_to,
           extract(epoch FROM time_to)::bigint, extract(epoch FROM segment_from)::bigint,
           extract(epoch FROM segment_to)::bigint, rate, price_micro, milli, nano, tier, position_milli, kind,
           method, coalesce(reverses_seq, 0), coalesce(reverses_line, 0)
    FROM charge
"""
AUDIT_CHARGES: Final = f"{_CHARGE_LIST} ORDER BY seq, line"
AUDIT_CHARGE: Final = f"{_CHARGE_LIST} WHERE seq = %(seq)s AND line = %(line)s"
RATE_READINGS: Final = """
    SELECT seq, terms, extract(epoch FROM time_from)::bigint, extract(epoch FROM time_to)::bigint,
           ARRAY[from_1, from_2, from_3, from_4, from_5], ARRAY[to_1, to_2, to_3, to_4, to_5]
    FROM rate_reading
"""
AUDIT_RATE_READINGS: Final = f"{RATE_READINGS} ORDER BY seq, terms, time_from, time_to"
RATE_READING: Final = f"""{RATE_READINGS}
    WHERE terms = %(terms)s AND time_from = to_timestamp(%(from_s)s) AND time_to = to_timestamp(%(to_s)s)
    ORDER BY seq LIMIT 1
"""
RATE_READINGS_LEFT: Final = f"""{RATE_READINGS} r
    WHERE NOT EXISTS (SELECT FROM charge c
                      WHERE (c.seq, c.terms, c.time_from, c.time_to) = (r.seq, r.terms, r.time_from, r.time_to)
                        AND c.method = 2 AND c.kind IN (0, 1))
    ORDER BY seq, terms, time_from
"""
PROVEN_AFTER: Final = "SELECT proven_after FROM book"
AUDIT_TARIFFS: Final = "SELECT hash, body FROM tariff_version"
AUDIT_TERMS: Final = (
    "SELECT id, point, meter, account, medium, unit, milli_per_count, modulus_counts, tariff, household, opened_s"
    " FROM terms ORDER BY id"
)
AUDIT_BALANCES: Final = "SELECT account, nano, seq FROM balance ORDER BY account"
AUDIT_RECEIPTS: Final = """
    SELECT r.number, r.seq, r.account, r.amount_nano, r.balance_nano, r.currency, r.channel,
           extract(epoch FROM r.plant_time)::bigint, r.who, r.station, a.currency
    FROM receipt r JOIN account a ON a.id = r.account ORDER BY r.seq
"""
AUDIT_POINTS: Final = """
    SELECT s.point, s.last_raw, s.last_s, s.first_raw, s.first_s, s.billed_milli, s.charged_nano
    FROM point_state s WHERE s.last_s >= 0 ORDER BY s.point
"""
