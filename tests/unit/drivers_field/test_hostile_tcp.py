"""Every hostile class and device fault on a real Modbus TCP connection, ordered over the control port."""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any

import pytest

from drivers.field.hostile import classes_for
from drivers.modbus import Parser, check_reply, read_request
from drivers.outcome import ExceptionReply, Reply, Violation

REQUEST = read_request(2, 3, 11, 3)  # voltage, current and power of "shop"
TRUTH_WITHIN = {"duplicate", "drip", "split", "pause"}  # the right reply comes first, or comes slowly
PATIENCE_S = 0.15  # for what may be silence
SLOW_S = 4.0  # for what comes in any case, on a busy machine too


class Asker:
    """One connection; every request has a transaction number of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._transaction = 0

    async def ask(self, patience_s: float = SLOW_S) -> Any:
        """Return the first judgement of what comes back; None for silence."""
        self._transaction += 1
        self._writer.write(REQUEST.encode(self._transaction))
        parser = Parser()
        while True:
            try:
                data = await asyncio.wait_for(self._reader.read(4096), patience_s)
            except TimeoutError:
                return None
            for item in parser.feed(data):
                return item if isinstance(item, Violation) else check_reply(REQUEST, self._transaction, item)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the field has cut it, as some tests want it to
            await self._writer.wait_closed()


def asked(test: Callable[[Any, Asker], Any]) -> Callable[[Any, Any], None]:
    def run(make_park: Callable[..., Any], run_checked: Any) -> None:
        park = make_park()

        async def work() -> None:
            async with park.served():
                asker = Asker(*await asyncio.open_connection("127.0.0.1", park.gateways[0].port))
                await test(park, asker)
                await asker.close()

        run_checked(work())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.mark.parametrize("name", classes_for("mbap"))
def test_a_hostile_reply_is_no_other_truth(make_park: Callable[..., Any], run_checked: Any, name: str) -> None:
    @asked
    async def run(park: Any, asker: Asker) -> None:
        truth = await asker.ask()
        assert isinstance(truth, Reply)
        await park.ordered("hostile", "shop", f"{name} 1")
        assert (await park.ordered("list"))["devices"]["shop"] == [f"hostile {name}, 1 more"]
        spoiled = await asker.ask(SLOW_S if name in TRUTH_WITHIN else PATIENCE_S)
        if name in TRUTH_WITHIN:
            assert spoiled == truth
        else:
            assert not isinstance(spoiled, Reply)
        assert (await park.ordered("list"))["devices"]["shop"] == []

    run(make_park, run_checked)


@asked
async def test_a_late_reply_comes_before_the_next_one(park: Any, asker: Asker) -> None:
    await park.ordered("hostile", "shop", "late 1")
    assert await asker.ask(PATIENCE_S) is None
    late = await asker.ask()
    assert isinstance(late, Violation)  # it carries the number of the request before


@asked
async def test_exceptions_of_choice_and_off(park: Any, asker: Asker) -> None:
    for code in range(1, 12):
        await park.ordered("hostile", "shop", f"exception-{code}")
        answer = await asker.ask()
        assert isinstance(answer, ExceptionReply)
        assert answer.code == code
    await park.ordered("hostile", "shop", "off")
    assert isinstance(await asker.ask(), Reply)


@asked
async def test_wrong_orders_are_told(park: Any, asker: Asker) -> None:
    for order, target, value, allowed in [
        ("hostile", "shop", "polite", "wrong-transaction"),
        ("hostile", "shop", "checksum", "wrong-transaction"),  # Modbus TCP has none
        ("hostile", "shop", "drip 0", "1 to 1000000"),
        ("hostile", "shop", "exception-256", "1 to 255"),
        ("sensor", "shop", "hot", "nan, inf"),
        ("word-order", "shop", "AABB", "ABCD, CDAB"),
        ("holes", "shop", "many", "on, off"),
        ("scale", "shop", "1001", "0.001 to 1000"),
        ("swap", "shop", "shop", "feeder, hall, lamp, water"),
        ("same-serial", "shop", "nobody", "feeder, hall, lamp, water"),
        ("press-button", "shop", "", "nothing"),
        ("jump", "shop", "-1", "1 to 99999999"),
    ]:
        answer = await park.order(order, target, value)
        assert not answer["ok"]
        assert allowed in answer["error"]
    assert isinstance(await asker.ask(), Reply)


async def shop_words(park: Any) -> list[int]:
    async with park.client() as client:
        return list((await client.read_holding_registers(0, count=2, device_id=2)).registers)


@asked
async def test_jump_replace_and_word_order(park: Any, _asker: Asker) -> None:
    assert await shop_words(park) == [1234, 0]  # CDAB
    await park.ordered("jump", "shop", "1000000")
    park.step()
    assert await shop_words(park) == [1001234 & 0xFFFF, 1001234 >> 16]
    await park.ordered("word-order", "shop", "ABCD")
    assert await shop_words(park) == [1001234 >> 16, 1001234 & 0xFFFF]
    await park.ordered("clear", "shop")
    await park.ordered("replace", "shop", "17")
    park.step()
    assert await shop_words(park) == [17, 0]
    assert (await park.ordered("list"))["devices"]["shop"] == ["serial 9"]


@asked
async def test_a_meter_with_holes_refuses_reads_over_them_and_no_others(park: Any, _asker: Asker) -> None:
    """Between power (13) and power factor (16) "shop" has two registers that its profile does not use."""
    async with park.client() as client:

        async def code(address: int, count: int) -> int:
            reply = await client.read_holding_registers(address, count=count, device_id=2)
            return int(reply.exception_code) if reply.isError() else 0

        assert await code(11, 7) == 0
        await park.ordered("holes", "shop", "on")
        assert (await park.ordered("list"))["devices"]["shop"] == ["holes"]
        assert [await code(*read) for read in ((11, 7), (11, 3), (16, 2), (13, 2), (14, 1))] == [2, 0, 0, 2, 2]
        await park.ordered("clear", "shop")
        assert await code(11, 7) == 0


@asked
async def test_a_scale_unlike_the_profile_s_is_exact(park: Any, _asker: Asker) -> None:
    for factor, shown in [("10", 12340), ("0.1", 123), ("1000", 1234000)]:
        await park.ordered("scale", "shop", factor)
        assert await shop_words(park) == [shown & 0xFFFF, shown >> 16]
        assert (await park.ordered("list"))["devices"]["shop"] == [f"scale x{factor}"]
    await park.ordered("scale", "shop", "off")
    assert await shop_words(park) == [1234, 0]
    await park.ordered("scale", "shop", "10")
    await park.ordered("clear", "shop")
    assert await shop_words(park) == [1234, 0]


@asked
async def test_float_registers_show_what_is_no_number(park: Any, _asker: Asker) -> None:
    for pattern, bits in [("nan", 0x7FC00000), ("inf", 0x7F800000), ("-inf", 0xFF800000), ("denormal", 1)]:
        await park.ordered("sensor", "hall", pattern)
        async with park.client() as client:
            words = (await client.read_input_registers(0, count=2, device_id=3)).registers
        assert struct.unpack(">I", struct.pack(">2H", *words)) == (bits,)
    await park.ordered("sensor", "hall", "off")
    assert (await park.ordered("list"))["devices"]["hall"] == []


@asked
async def test_swapped_units_answer_for_each_other(park: Any, _asker: Asker) -> None:
    async with park.client() as client:
        lamp = (await client.read_holding_registers(0, count=2, device_id=4)).registers
        await park.ordered("swap", "shop", "lamp")
        assert (await client.read_holding_registers(0, count=2, device_id=4)).registers == [1234, 0]
        assert (await client.read_holding_registers(0, count=2, device_id=2)).registers == lamp
        assert (await park.ordered("list"))["devices"]["shop"] == ["answered by lamp"]
        await park.ordered("clear")
        assert (await client.read_holding_registers(0, count=2, device_id=2)).registers == [1234, 0]


@asked
async def test_reset_half_open_and_black_hole(park: Any, asker: Asker) -> None:
    assert isinstance(await asker.ask(), Reply)
    await park.ordered("gateway-half-open", "g1")
    assert await asker.ask(PATIENCE_S) is None
    fresh = Asker(*await asyncio.open_connection("127.0.0.1", park.gateways[0].port))
    assert isinstance(await fresh.ask(), Reply)
    await park.ordered("gateway-reset", "g1")
    with pytest.raises(ConnectionResetError):
        await fresh.ask()
    await park.ordered("gateway-black-hole", "g1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", park.gateways[0].port), 0.3)
    await park.ordered("clear")
    again = Asker(*await asyncio.open_connection("127.0.0.1", park.gateways[0].port))
    assert isinstance(await again.ask(), Reply)
    await again.close()


@asked
async def test_a_meter_is_silent_for_some_scans(park: Any, asker: Asker) -> None:
    await park.ordered("meter-silent", "shop", "2")
    assert [await asker.ask(patience_s) is None for patience_s in (PATIENCE_S, PATIENCE_S, SLOW_S)] == [
        True,
        True,
        False,
    ]
