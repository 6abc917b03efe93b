"""The room as clients see it: browse, read, subscribe, be refused, lose the core and find it again."""

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from scada import __version__
from scada.quality import (
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    UNCERTAIN_NO_COMMUNICATION,
)
from tests.unit.opcua_server.harness import (
    BALANCE,
    FACTOR,
    MINOR,
    ONLINE,
    POSITION,
    POWER,
    PRICE,
    SOURCE_NS,
    Core,
    Site,
    make_plant,
    serve,
    until,
)

SOURCE_TIME = datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=datetime.UTC)


class Heard:
    """Collects the data changes of a subscription."""

    def __init__(self) -> None:
        self.values: list[ua.DataValue] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.append(data.monitored_item.Value)

    @property
    def pairs(self) -> list[tuple[Any, int]]:
        return [(item.Value.Value if item.Value else None, item.StatusCode.value) for item in self.values]


def node_id(site: Site, row: int) -> ua.NodeId:
    return ua.NodeId(site.plant.tags.tags[row].id, 3)


async def read(site: Site, client: Client, row: int) -> ua.DataValue:
    return await client.get_node(node_id(site, row)).read_data_value(raise_on_bad_status=False)


async def browse_tree(client: Client, start: ua.NodeId) -> dict[str, ua.NodeId]:
    """Return path -> node id of everything below a node in hierarchical references."""
    found: dict[str, ua.NodeId] = {}
    todo = [("", start)]
    while todo:
        path, at = todo.pop()
        for child in await client.get_node(at).get_references(ua.ObjectIds.HierarchicalReferences):
            if child.IsForward:
                found[f"{path}/{child.BrowseName.Name}"] = child.NodeId
                todo.append((f"{path}/{child.BrowseName.Name}", child.NodeId))
    return found


def test_the_whole_tree_can_be_browsed_with_units_names_and_states(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            tree = await browse_tree(client, ua.NodeId("park", 3))
            tags = {identifier.Identifier for identifier in tree.values()} & {tag.id for tag in site.plant.tags.tags}
            assert len(tags) == len(site.plant.tags)
            assert tree["/Areas/a/e-a101/ActivePowerTotal"] == node_id(site, POWER)
            assert tree["/Tenants/t-001/Balance"] == node_id(site, BALANCE)

            power = client.get_node(node_id(site, POWER))
            unit = await (await power.get_child("0:EngineeringUnits")).read_value()
            assert (unit.UnitId, unit.DisplayName.Text) == (4937556, "kW")
            assert await power.read_type_definition() == ua.NodeId(ua.ObjectIds.AnalogUnitType)
            assert (await power.read_display_name()) == ua.LocalizedText("有功功率", "zh-CN")
            assert (await power.read_description()).Text == "Active power / 有功功率"
            assert await power.read_data_type() == ua.NodeId(ua.ObjectIds.Double)
            assert await power.get_access_level() == {ua.AccessLevel.CurrentRead}

            price = await (await client.get_node(node_id(site, PRICE)).get_child("0:EngineeringUnits")).read_value()
            assert (price.UnitId, price.NamespaceUri) == (-1, "urn:wattkeeper:types")
            money = await (await client.get_node(node_id(site, BALANCE)).get_child("0:CurrencyUnit")).read_value()
            assert (money.AlphabeticCode, money.NumericCode, money.Exponent) == ("CNY", 156, 2)
            states = await (await client.get_node(node_id(site, POSITION)).get_child("0:EnumStrings")).read_value()
            assert [text.Text for text in states] == ["intermediate", "open", "closed", "bad"]
            building = client.get_node(tree["/Areas/a"])
            assert (await building.read_display_name()).Text == "A 楼"

    asyncio.run(run())


def test_reads_show_value_type_status_and_times_of_the_last_scan(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            assert (await read(site, client, POWER)).StatusCode.value == BAD_WAITING_FOR_INITIAL_DATA
            assert (await read(site, client, POWER)).SourceTimestamp is None
            for row, value, quality in (
                (POWER, 12.5, GOOD),
                (FACTOR, 0.9, UNCERTAIN_NO_COMMUNICATION),
                (POSITION, 2.0, GOOD),
                (ONLINE, 1.0, GOOD),
                (MINOR, 123456789.0, GOOD),
                (BALANCE, -3.5, BAD_DEVICE_FAILURE),
                (PRICE, 0.61, GOOD),
            ):
                site.core.put(row, value, quality)
            await asyncio.sleep(0.5)
            expected = {
                POWER: (12.5, ua.VariantType.Double, GOOD),
                FACTOR: (0.9, ua.VariantType.Double, UNCERTAIN_NO_COMMUNICATION),
                POSITION: (2, ua.VariantType.Int32, GOOD),
                ONLINE: (True, ua.VariantType.Boolean, GOOD),
                MINOR: (123456789, ua.VariantType.Int64, GOOD),
                PRICE: (0.61, ua.VariantType.Double, GOOD),
            }
            for row, (value, kind, quality) in expected.items():
                data = await read(site, client, row)
                assert (data.Value.Value, data.Value.VariantType, data.StatusCode.value) == (value, kind, quality)
                assert data.SourceTimestamp == SOURCE_TIME
                assert data.ServerTimestamp > SOURCE_TIME
            bad = await read(site, client, BALANCE)
            assert bad.StatusCode.value == BAD_DEVICE_FAILURE
            assert bad.Value is None or bad.Value.Value is None
            assert bad.SourceTimestamp == SOURCE_TIME

    asyncio.run(run())


def test_a_subscription_hears_changes_of_value_and_status_and_nothing_else(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            site.core.put(POWER, 1.0)
            await asyncio.sleep(0.5)
            heard, stamped = Heard(), Heard()
            subscription = await client.create_subscription(100, heard)
            await subscription.subscribe_data_change(client.get_node(node_id(site, POWER)))
            clocked = await client.create_subscription(100, stamped)
            await clocked._subscribe(
                client.get_node(node_id(site, POWER)),
                mfilter=ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp),
            )
            await until(lambda: heard.pairs == [(1.0, GOOD)] and len(stamped.values) == 1)
            site.core.put(POWER, 1.0, source_ns=SOURCE_NS + 10**9)  # read again, unchanged
            site.core.put(FACTOR, 0.5)  # not monitored
            await until(lambda: len(stamped.values) == 2)
            site.core.put(POWER, 2.0)
            await until(lambda: heard.pairs == [(1.0, GOOD), (2.0, GOOD)])
            site.core.put(POWER, 2.0, UNCERTAIN_NO_COMMUNICATION)
            await until(lambda: heard.pairs[2:] == [(2.0, UNCERTAIN_NO_COMMUNICATION)])
            site.core.put(POWER, 2.0, BAD_DEVICE_FAILURE)
            await until(lambda: heard.pairs[3:] == [(None, BAD_DEVICE_FAILURE)])
            await subscription.delete()
            assert site.plant.tags.index  # the room still runs
            assert (await read(site, client, POWER)).StatusCode.value == BAD_DEVICE_FAILURE

    asyncio.run(run())


def test_a_deadband_follows_slow_drift_and_never_hides_a_bad_status(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            site.core.put(POWER, 0.0)
            await asyncio.sleep(0.5)
            heard = Heard()
            subscription = await client.create_subscription(100, heard)
            wish = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=ua.DeadbandType.Absolute, DeadbandValue=1.0
            )
            await subscription._subscribe(client.get_node(node_id(site, POWER)), mfilter=wish)
            await until(lambda: len(heard.values) == 1)
            for value in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5):
                site.core.put(POWER, value)
                await asyncio.sleep(0.35)
            site.core.put(POWER, 3.5, BAD_DEVICE_FAILURE)
            await until(lambda: heard.pairs[-1] == (None, BAD_DEVICE_FAILURE))
            assert [value for value, _ in heard.pairs] == [0.0, 1.5, 3.0, None]
            percent = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=ua.DeadbandType.Percent, DeadbandValue=1.0
            )
            with pytest.raises(ua.uaerrors.BadMonitoredItemFilterUnsupported):
                await subscription._subscribe(client.get_node(node_id(site, POWER)), mfilter=percent)
            with pytest.raises(ua.uaerrors.BadFilterNotAllowed):
                await subscription._subscribe(client.get_node(node_id(site, ONLINE)), mfilter=wish)

    asyncio.run(run())


def test_a_lost_core_makes_every_value_bad_and_a_restarted_one_brings_them_back(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            site.core.put(POWER, 7.0)
            site.core.put(BALANCE, 9.0)
            await asyncio.sleep(0.5)
            heard = Heard()
            subscription = await client.create_subscription(100, heard)
            await subscription.subscribe_data_change(client.get_node(node_id(site, POWER)))
            await until(lambda: heard.pairs == [(7.0, GOOD)])
            level = client.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel))
            await site.core.gone()  # as after SIGKILL: only the heartbeat stops
            assert await until(lambda: heard.pairs[1:] == [(None, BAD_NO_COMMUNICATION)]) < 3.0
            assert (await read(site, client, BALANCE)).StatusCode.value == BAD_NO_COMMUNICATION
            assert await level.read_value() == 1
            site.core = Core(site.data.image, site.plant.layout)
            site.core.put(POWER, 7.0)
            await until(lambda: heard.pairs[-1] == (7.0, GOOD))
            await asyncio.sleep(0.2)
            assert await level.read_value() == 255

    asyncio.run(run())


def test_the_room_ends_when_the_core_runs_on_another_configuration(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site:
            await site.core.gone(clean=True)
            site.core = Core(site.data.image, make_plant(layout_hash=b"x" * 32).layout)
            await asyncio.wait_for(asyncio.shield(site.task), 10)

    asyncio.run(run())


def test_nothing_can_be_written_or_called(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            site.core.put(BALANCE, 1.0)
            await asyncio.sleep(0.5)
            assert (await read(site, client, BALANCE)).Value.Value == 1.0
            balance = client.get_node(node_id(site, BALANCE))
            with pytest.raises(ua.uaerrors.BadNotWritable):
                await balance.write_value(1e6)
            with pytest.raises(ua.uaerrors.BadNotWritable):
                await balance.write_attribute(ua.AttributeIds.DisplayName, ua.DataValue(ua.LocalizedText("x")))
            diagnostics = client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_EnabledFlag))
            with pytest.raises(ua.uaerrors.BadNotWritable):
                await diagnostics.write_value(True)
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await client.nodes.objects.add_object(3, "intruder")
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await client.delete_nodes([balance])
            with pytest.raises(ua.uaerrors.BadNotExecutable):
                server = client.get_node(ua.ObjectIds.Server)
                await server.call_method(ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems), 1)
            assert (await read(site, client, BALANCE)).Value.Value == 1.0

    asyncio.run(run())


def test_the_server_says_who_it_is(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            assert (await client.get_namespace_array())[1:] == [
                "urn:wattkeeper:park",
                "urn:wattkeeper:types",
                "urn:wattkeeper:park:instances",
            ]
            info = await client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_BuildInfo)).read_value()
            assert (info.ProductName, info.SoftwareVersion) == ("Wattkeeper", __version__)
            endpoints = await client.get_endpoints()
            offered = {
                (point.SecurityPolicyUri.rpartition("#")[2], token.TokenType)
                for point in endpoints
                for token in point.UserIdentityTokens
            }
            name, anonymous = ua.UserTokenType.UserName, ua.UserTokenType.Anonymous
            assert offered == {
                ("None", anonymous),
                ("Basic256Sha256", name),
                ("Basic256Sha256", anonymous),
                ("Aes256_Sha256_RsaPss", name),
                ("Aes256_Sha256_RsaPss", anonymous),
            }
            assert "anybody may read" in endpoints[0].Server.ApplicationName.Text

    asyncio.run(run())
