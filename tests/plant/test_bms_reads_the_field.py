"""A stock OPC UA client of a building management system over the mixed park: what every protocol looks like to it."""

import asyncio
from typing import Any

import pytest
from asyncua import Client, ua

from tests.plant.park import Park, wait_for

pytestmark = [pytest.mark.plant]

# device, measure -> (type, unit, English and Chinese in its description)
SEEN: dict[tuple[str, str], tuple[ua.VariantType, str, str, str]] = {
    # DL/T 645-2007
    ("e-b501", "ActiveEnergyImportTotal"): (ua.VariantType.Double, "kWh", "Active energy, import", "正向有功总电能"),
    ("e-b501", "Position"): (ua.VariantType.Int32, "", "Switch position", "开关位置"),
    ("e-b501", "PreTripAlarm"): (ua.VariantType.Boolean, "", "Alarm before a trip", "跳闸前报警"),
    ("e-b501", "MeterNumber"): (ua.VariantType.Int64, "", "Meter number", "表号"),
    ("e-b501", "ClockDeviation"): (ua.VariantType.Double, "s", "Clock deviation", "时钟偏差"),
    # DL/T 645-1997
    ("e-b404", "ActivePowerTotal"): (ua.VariantType.Double, "kW", "Active power", "总有功功率"),
    # CJ/T 188 on a serial port, and behind a DTU that dials in
    ("w-b401", "WaterVolume"): (ua.VariantType.Double, "m3", "Water volume", "累计水量"),
    ("w-b401", "BatteryLow"): (ua.VariantType.Boolean, "", "Battery low", "电池欠压"),
    ("g-bw104", "GasVolume"): (ua.VariantType.Double, "m3", "Gas volume", "累计气量"),
    ("g-bw104", "Position"): (ua.VariantType.Int32, "", "Valve position: open is shut off", "阀门位置"),
    # Counters of every line
    ("e-b501", "LastGood"): (ua.VariantType.Int64, "s", "Last good reply, UTC seconds", "最近正确应答时间"),
    ("w-b401", "BadFrames"): (ua.VariantType.Int64, "", "Bad frames", "错误报文次数"),
}


async def unit_of(node: Any) -> str:
    for each in await node.get_properties():
        if (await each.read_browse_name()).Name == "EngineeringUnits":
            return str((await each.read_value()).DisplayName.Text)
    return ""


async def browsed(park: Park) -> dict[tuple[str, str], Any]:
    """Return what differs from SEEN, and what is not good yet."""
    wrong: dict[tuple[str, str], Any] = {}
    async with Client(f"opc.tcp://127.0.0.1:{park.opcua_port}/wattkeeper") as client:
        index = next(at for at, uri in enumerate(await client.get_namespace_array()) if uri.endswith(":instances"))
        for (device, measure), (kind, unit, english, chinese) in SEEN.items():
            node = client.get_node(ua.NodeId(f"{park.plant.site.id}/M/{device}/{measure}", index))
            value = await node.read_data_value(raise_on_bad_status=False)
            described, named = await node.read_description(), await node.read_display_name()
            declared = (await node.read_data_type()).Identifier
            right = (
                value.StatusCode.is_good() and value.Value.VariantType == kind and declared == kind.value
                and await unit_of(node) == unit and english in described.Text
                and chinese in described.Text and chinese in named.Text
            )  # fmt: skip
            if not right:
                wrong[device, measure] = (value, declared, await unit_of(node), described.Text, named.Text)
    return wrong


@pytest.mark.timeout(120)
def test_meters_of_every_protocol_have_types_units_and_names(make_park) -> None:
    park = make_park().start()
    wait_for(lambda: "tags at opc.tcp" in park.log.read_text(encoding="utf-8"), 30, "the OPC UA server")
    wrong: dict[tuple[str, str], Any] = {}

    def right() -> bool:
        nonlocal wrong
        wrong = asyncio.run(browsed(park))
        return not wrong

    try:
        wait_for(right, 60, "every tag to be read and good")
    except AssertionError as late:
        raise AssertionError(wrong) from late
