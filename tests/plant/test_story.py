"""The whole story: a purse runs out, its supply stops, a top-up brings it back; and an operator's day."""

import asyncio
from decimal import Decimal

import pytest
from asyncua import Client, ua

from alarms.lifecycle import STATES as ALARM_STATES
from billing_core.credit_levels import STATES as CREDIT_STATES
from scada import quality
from scada.derived import NANO
from scada.position import CLOSED, OPEN
from tests.plant.amp_client import AmpError
from tests.plant.park import Park, wait_for

SPEED = 600
TENANT, BREAKER = "t-s01", "e-a101"
FINISHED = ("verified", "failed", "undetermined")

pytestmark = [pytest.mark.plant]


def credit_state(park: Park) -> str:
    snapshot = park.snapshot()
    assert snapshot is not None
    return CREDIT_STATES[int(snapshot.columns.accounts.credit_state[account_row(park)])]


def account_row(park: Park) -> int:
    return [account.id for account in park.plant.accounts].index(TENANT)


def position(park: Park, breaker: str) -> float:
    found = park.tag("M", breaker, "Position")
    assert found is not None
    return found[0] if quality.is_good(found[1]) else -1.0


def finished(park: Park, command: str) -> str:
    return wait_for(lambda: (s := park.command_state(command)) in FINISHED and s, 30, "the command to end")


@pytest.mark.timeout(240)
def test_a_purse_runs_out_and_a_top_up_brings_the_supply_back(make_park) -> None:
    park = make_park(openings={TENANT: "1.50"}).start(speed=SPEED)
    assert position(park, BREAKER) == CLOSED
    wait_for(lambda: credit_state(park) == "stopped", 90, "the supply to be stopped")
    assert position(park, BREAKER) == OPEN
    assert park.tag("M", BREAKER, "CurrentL1")[0] == 0.0
    point = [point.meter for point in park.plant.points].index(BREAKER)
    billed = int(park.snapshot().columns.points.billed_milli[point])

    first = park.top_up(TENANT, 10_000, "desk-1")
    again = park.top_up(TENANT, 10_000, "desk-1")
    assert (first["repeated"], again["repeated"]) == ("False", "True")
    assert first["receipt"] == again["receipt"]
    with pytest.raises(AmpError, match=r"topup\.key-reused"):
        park.top_up(TENANT, 20_000, "desk-1")

    assert int(park.snapshot().columns.points.billed_milli[point]) == billed  # nothing flowed while it was open
    wait_for(lambda: position(park, BREAKER) == CLOSED, 60, "the supply to return")
    wait_for(lambda: credit_state(park) != "stopped", 30, "the tenant to be supplied")
    wait_for(lambda: park.snapshot().columns.points.billed_milli[point] > billed, 60, "energy to flow again")

    commands = park.sql(
        "SELECT target, state FROM command_journal WHERE breaker = %s AND origin = 'credit' ORDER BY sequence", BREAKER
    )
    assert ("open", "verified") in commands
    wait_for(lambda: park.sql("SELECT 1 FROM credit_stop WHERE reconnected_at IS NOT NULL"), 20, "the stop's end")
    paid = park.sql("SELECT sum(nano) FROM entry WHERE account = 'cash'")[0][0]
    assert paid == -100 * NANO
    code, last = park.audit()
    assert code == 0, last


@pytest.mark.timeout(240)
def test_the_operators_day(make_park) -> None:
    park = make_park().start()
    low = next(a.id for a in park.plant.alarms if a.source == TENANT and a.priority == 4)
    wait_for(lambda: ALARM_STATES[park.alarm_state(low)] == "unacknowledged", 30, "the low-balance alarm")
    with pytest.raises(AmpError, match="role"):
        park.ask("Acknowledge", alarm=low, comment="", user="wang", role="viewer", station="desk")
    park.ask("Acknowledge", alarm=low, comment="已通知租户", user="wang", role="operator", station="desk")
    wait_for(lambda: ALARM_STATES[park.alarm_state(low)] == "acknowledged", 5, "the acknowledgement")
    line = "SELECT user_name, comment FROM alarm_journal WHERE alarm = %s AND event = 'acknowledged'"
    assert wait_for(lambda: park.sql(line, low), 10, "its journal line") == [("wang", "已通知租户")]

    breaker = "e-a102"
    assert finished(park, park.switch(breaker, "open")) == "verified"
    wait_for(lambda: position(park, breaker) == OPEN, 3, "the scan that shows it")
    with pytest.raises(AmpError, match=r"interlock\.already"):
        park.switch(breaker, "open")
    assert finished(park, park.switch(breaker, "closed")) == "verified"

    park.inject("fail-trip", "e-a103")
    assert finished(park, park.switch("e-a103", "open")) == "failed"
    assert position(park, "e-a103") == CLOSED
    discrepancy = next(a.id for a in park.plant.alarms if a.source == "e-a103" and "Discrepancy" in a.id)
    wait_for(lambda: ALARM_STATES[park.alarm_state(discrepancy)] == "unacknowledged", 40, "the discrepancy alarm")

    park.inject("load", "e-a104", "3")
    park.inject("weld", "e-a104", "open")
    assert finished(park, park.switch("e-a104", "open")) in ("failed", "undetermined")

    park.inject("mute-command", "e-a105")
    command = park.switch("e-a105", "open")  # no answer comes; the position that is read back tells
    wait_for(lambda: park.command_state(command) == "verified", 30, "the read-back")
    code, last = park.audit()
    assert code == 0, last


@pytest.mark.timeout(120)
def test_bms_clients_and_the_ledger_see_the_same_balance(make_park) -> None:
    park = make_park().start()
    site = park.plant.site.id

    async def read() -> dict[str, ua.DataValue]:
        async with Client(f"opc.tcp://127.0.0.1:{park.opcua_port}/wattkeeper") as client:
            index = next(at for at, uri in enumerate(await client.get_namespace_array()) if uri.endswith(":instances"))
            ids = [f"{site}/T/{TENANT}/BalanceMinor", f"{site}/M/{BREAKER}/Position", f"{site}/M/{BREAKER}/VoltageL1"]
            nodes = [client.get_node(ua.NodeId(tag, index)) for tag in ids]
            return dict(zip(ids, await client.read_attributes(nodes), strict=True))

    wait_for(lambda: "is running" in park.log.read_text(encoding="utf-8"), 30, "the rooms")
    wait_for(lambda: "tags at opc.tcp" in park.log.read_text(encoding="utf-8"), 30, "the OPC UA server")
    for medium in ("electricity", "water", "gas", "heat", "cooling", "steam"):
        park.inject("supply-off", medium)

    def equal() -> bool:
        values = asyncio.run(read())
        ledger = park.sql("SELECT nano FROM balance WHERE account = %s", f"wallet:{TENANT}")[0][0]
        snapshot = park.snapshot()
        assert snapshot is not None
        live = int(snapshot.columns.accounts.balance_nano[account_row(park)])
        served = values[f"{site}/T/{TENANT}/BalanceMinor"]
        assert served.StatusCode.is_good()
        assert served.SourceTimestamp is not None
        return int(Decimal(served.Value.Value)) == live // 10_000_000 and live == ledger

    wait_for(equal, 30, "OPC UA, image and ledger to agree")
