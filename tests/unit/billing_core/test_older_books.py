"""Books from before pages and folded entries: migrated as they are, they audit, and billing goes on in them."""

import hashlib
import json
from typing import Any

import numpy as np
import psycopg
from alembic import command
from psycopg.types.json import Jsonb

from billing_core import ledger
from billing_core.ledger import CHARGE_FIRST, GENESIS, Transfer
from billing_core.plan_body import body_hash, plan_body
from scada import database
from tests.unit.billing_core.park import BEGIN_S, TARIFFS, YUAN, Park
from tests.unit.billing_core.test_store import assert_clean, committed, opened, prepared, query, run

LAST_S = BEGIN_S + 10
PRICE = 300_001
BODY = plan_body(TARIFFS[0])
TERMS = {
    "point": "p1", "meter": "m1", "account": "wallet:t1", "medium": "electricity", "unit": "kWh", "milli_per_count": 10,
    "modulus_counts": 100_000_000, "tariff": body_hash(BODY),
}  # fmt: skip
CHARGE = (1, 0, BEGIN_S, 3, LAST_S, BEGIN_S, LAST_S, 3, PRICE, 30, 30 * PRICE)
NANO = 30 * PRICE


def old_terms_hash() -> bytes:
    """The hash as it was written before terms knew households and openings."""
    facts = {name: value.hex() if isinstance(value, bytes) else value for name, value in TERMS.items()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).digest()


def old_books(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    put = connection.execute
    opening = (("opening", -100 * YUAN), ("wallet:t1", 100 * YUAN))
    charged = (("wallet:t1", -NANO), ("revenue:electricity", NANO))
    charges = hashlib.sha256(np.array(CHARGE, dtype="<i8").tobytes() + old_terms_hash()).digest()
    transfers = (
        Transfer("opening:t1", "opening", "demo", 0, "system", "core", "opening balance", opening),
        Transfer("charge:demo:1", "charge", "demo", LAST_S, "system", "core", "", charged, charges),
    )
    for account in ("wallet:t1", "revenue:electricity", "opening"):
        kind = account.partition(":")[0]
        put("INSERT INTO account VALUES (%s, %s, %s, %s, 'CNY')", [account, kind, account, account])
    head = GENESIS
    for seq, transfer in enumerate(transfers, 1):
        before, head = head, ledger.chain(head, ledger.canonical(transfer, seq, seq))
        put(
            "INSERT INTO transfer VALUES (%s, %s, 'demo', %s, to_timestamp(%s),"
            " timestamptz 'epoch' + %s * interval '1 microsecond', 'system', 'core', %s, %s, %s, %s)",
            [seq, transfer.key, transfer.kind, transfer.plant_time_s, seq, transfer.memo, transfer.charges_hash or None,
             before, head],
        )  # fmt: skip
        for line, (account, nano) in enumerate(transfer.entries):
            put("INSERT INTO entry VALUES (%s, %s, %s, %s)", [seq, line, account, nano])
    put("INSERT INTO tariff_version VALUES (%s, 'tou', %s)", [TERMS["tariff"], Jsonb(BODY)])
    names = ", ".join(TERMS)
    put(f"INSERT INTO terms ({names}) VALUES ({', '.join(['%s'] * len(TERMS))})".encode(), list(TERMS.values()))
    times = {2, 4, 5, 6}
    values = ", ".join("to_timestamp(%s)" if at in times else "%s" for at in range(len(CHARGE)))
    put(f"INSERT INTO charge VALUES (2, 0, {values})".encode(), CHARGE)
    for account, nano, seq in (("wallet:t1", 100 * YUAN - NANO, 2), ("revenue:electricity", NANO, 2)):
        put("INSERT INTO balance VALUES (%s, %s, %s)", [account, nano, seq])
    put("INSERT INTO balance VALUES ('opening', %s, 1)", [-100 * YUAN])
    put("INSERT INTO point_state VALUES ('p1', 1, 3, %s, %s, 0, 0, 0, 0, %s, 30, %s)", [LAST_S, LAST_S, BEGIN_S, NANO])
    put(
        "INSERT INTO book (site, checkpoint_seq, seq, hash, plant_time) VALUES ('demo', 1, 2, %s, to_timestamp(%s))",
        [head, LAST_S],
    )


def test_old_books_are_migrated_audited_and_continued(empty_postgres_dsn: str) -> None:
    assert len(CHARGE) == CHARGE_FIRST
    command.upgrade(database._alembic(empty_postgres_dsn), "0006_users")
    with psycopg.connect(empty_postgres_dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        old_books(connection)
    database.migrate(empty_postgres_dsn)
    assert_clean(empty_postgres_dsn)
    assert query(empty_postgres_dsn, "SELECT nano FROM balance WHERE account = 'wallet:t1'") == 100 * YUAN - NANO
    assert (
        query(empty_postgres_dsn, "SELECT (last_raw, last_s, rate_raw_1)::text FROM point_state") == f"(3,{LAST_S},-1)"
    )
    assert query(empty_postgres_dsn, "SELECT count(*) FROM entry") == 4

    async def test() -> None:
        park = Park.new()
        async with opened(empty_postgres_dsn) as store:
            await prepared(store, park)
            assert park.engine.register(0).raw == 3
            park.work.points.raw[0], park.now_s = 3, LAST_S
            park.step(2, 1, 1)
            park.step(2, 1, 1)
            await committed(store, park)

    run(test)
    assert query(empty_postgres_dsn, "SELECT sum(nano)::bigint FROM entry") == 0
    assert query(empty_postgres_dsn, "SELECT billed_milli FROM point_state WHERE point = 'p1'") == 70
    assert_clean(empty_postgres_dsn)
