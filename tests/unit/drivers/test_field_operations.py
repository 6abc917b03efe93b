"""What people ask of the field through the core: real gateways, a polling bus, and its frame log."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from harness import COMMAND_AT, FakeGateway, exception, honest, until
from test_bus import Setup, running

from drivers.field_operations import WAITING_MAX, operations
from scada.errors import Refused
from scada.operations import OperationDesk, Who

ENGINEER = Who("li", "engineer", "desk")
ADMIN = Who("console", "admin", "desk")


class Asked:
    """The operations of a running setup."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        gateway = setup.plant.gateway(setup.gateway.port)
        wired = (setup.bus, [gateway], setup.plant.devices, setup.plant.clock, Path("/run"))
        self.desk = OperationDesk(operations(*wired))

    async def __call__(self, name: str, who: Who = ENGINEER, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.desk.perform(f"field.{name}", json.dumps(arguments), who))
        return answer


READ = {"kind": "read", "function": 3, "address": 0, "count": 2}


def test_a_question_is_answered_with_its_frames_while_polling_goes_on(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3) as setup:
            asked = Asked(setup)
            await setup.good(0, 1, 2)
            said = await asked("ask", device="m1", **READ)
            assert said["outcome"] == {"kind": "reply", "payload": "000003ea"}
            (entry,) = said["entries"]
            assert entry["sent"].endswith("0006020300000002")
            assert (await asked("frames", line="g1"))["entries"][-1]["number"] == entry["number"]
            before = setup.asked(1)
            await until(lambda: setup.asked(1) > before + 2, "polls go on")
            assert len((await asked("frames", line="g1"))["entries"]) == 1  # and leave no trace

    reactor_loop.run(story())


def test_a_question_passes_the_polls_that_wait(reactor_loop: Any) -> None:
    async def slowly(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        await asyncio.sleep(0.02)
        return gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 20, slowly, timeout_s=2.0) as setup:
            asked = Asked(setup)
            await setup.good(0)
            already = len(setup.gateway.requests)
            await asked("ask", device="m5", kind="read", function=3, address=7, count=1)
            mine = next(i for i, frame in enumerate(setup.gateway.requests) if frame[9] == 7 and i >= already)
            assert mine <= already + 2

    reactor_loop.run(story())


def test_a_line_that_is_down_fails_at_once(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            asked = Asked(setup)
            await setup.good(0)
            await setup.gateway.stop()
            await until(lambda: setup.bus.state_of("g1") != "up", "the line to notice")
            said = await asked("ask", device="m0", **READ)
            assert (said["outcome"]["kind"], said["entries"]) == ("silence", [])
            await setup.gateway.start()

    reactor_loop.run(story())


def test_frames_of_one_device_while_somebody_follows(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 3) as setup:
            asked = Asked(setup)
            await setup.good(0, 1, 2)
            assert (await asked("frames", device="m1"))["entries"] == []
            await asked("frames", device="m1", follow=True)
            seen: list[dict[str, Any]] = []
            last = 0
            while len(seen) < 3:
                said = await asked("frames", device="m1", after=last, follow=True)
                last = said["last"]
                seen += said["entries"]
                await asyncio.sleep(0.05)
            assert {bytes.fromhex(entry["sent"])[6] for entry in seen} == {2}
            assert all(entry["good"] and entry["received"] for entry in seen)

    reactor_loop.run(story())


def test_what_goes_wrong_is_in_the_log_without_anybody_following(reactor_loop: Any) -> None:
    async def refuses(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        return exception(frame, 2) if frame[6] == 2 else gateway.answer(frame)

    async def story() -> None:
        async with running(reactor_loop.reactor, 2, refuses) as setup:
            asked = Asked(setup)
            await setup.good(0)
            await until(lambda: setup.asked(2) > 0, "the other one to be asked")
            entries = (await asked("frames", device="m1"))["entries"]
            assert {entry["outcome"] for entry in entries} == {"exception 02, illegal data address"}

    reactor_loop.run(story())


def test_any_station_of_a_line_is_asked_without_configuration(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            asked = Asked(setup)
            await setup.good(0)
            setup.gateway.registers[9] = dict.fromkeys(range(64), 7)
            said = await asked("ask", line="g1", station={"protocol": "modbus", "unit": 9}, **READ)
            assert said["outcome"]["payload"] == "00070007"
            (line,) = (await asked("lines"))["lines"]
            assert (line["line"], line["state"], line["devices"]) == ("g1", "up", ["m0"])

    reactor_loop.run(story())


SWITCH: dict[str, Any] = {
    "kind": "switch", "target": "open", "line": "g1",
    "station": {"protocol": "modbus", "unit": 9, "switch_function": 6, "switch_address": COMMAND_AT,
                "open_value": 0, "close_value": 0xFF00},
}  # fmt: skip


def test_a_station_that_is_not_ours_is_switched_by_force_alone(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            asked = Asked(setup)
            await setup.good(0)
            setup.gateway.registers[9] = dict.fromkeys(range(64), 0xF0)
            with pytest.raises(Refused, match=r"field\.force"):
                await asked("ask", ADMIN, **SWITCH)
            with pytest.raises(Refused, match=r"no permission 'breaker\.switch'"):
                await asked("ask", ENGINEER, **SWITCH, force=True)
            said = await asked("ask", ADMIN, **SWITCH, force=True)
            assert said["outcome"]["kind"] == "reply"
            assert setup.gateway.registers[9][COMMAND_AT] == 0

    reactor_loop.run(story())


REFUSED = {
    "unknown device": ({"device": "m9", **READ}, "field.device"),
    "unknown line": ({"line": "g9", "station": {"protocol": "modbus"}, **READ}, "field.line"),
    "no station": ({"line": "g1", **READ}, "field.station"),
    "unit": ({"line": "g1", "station": {"protocol": "modbus", "unit": 300}, **READ}, "field.station"),
    "count": ({"device": "m0", "kind": "read", "function": 3, "count": 200}, "field.question"),
    "protocol": ({"line": "g1", "station": {"protocol": "cjt188", "address": "1"}, **READ}, "field.question"),
    "kind": ({"device": "m0", "kind": "write"}, "operation.arguments"),
    "desk": ({"device": "m0", "kind": "switch", "target": "open"}, "field.desk"),
    "ours": ({**SWITCH, "force": True, "station": {**SWITCH["station"], "unit": 1}}, "field.desk"),
    "gas": (
        {**SWITCH, "force": True, "target": "closed", "station": {**SWITCH["station"], "medium": "gas"}}, "field.gas",
    ),
}  # fmt: skip


def test_what_may_not_be_asked_is_refused_by_name(reactor_loop: Any) -> None:
    async def story() -> None:
        async with running(reactor_loop.reactor, 1) as setup:
            asked = Asked(setup)
            await setup.good(0)
            before = len([frame for frame in setup.gateway.requests if frame[7] == 6])
            for name, (arguments, code) in REFUSED.items():
                with pytest.raises(Refused) as refused:
                    await asked("ask", ADMIN, **arguments)
                assert refused.value.code == code, name
            with pytest.raises(Refused, match=r"no permission 'field\.ask'"):
                await asked("ask", Who("zhang", "operator", "desk"), device="m0", **READ)
            assert len([frame for frame in setup.gateway.requests if frame[7] == 6]) == before

    reactor_loop.run(story())


def test_people_cannot_fill_a_line(reactor_loop: Any) -> None:
    held = asyncio.Event()

    async def stuck(gateway: FakeGateway, frame: bytes, writer: asyncio.StreamWriter) -> bytes:
        if frame[9] == 7:
            await held.wait()
        return await honest(gateway, frame, writer)

    async def story() -> None:
        async with running(reactor_loop.reactor, 1, stuck, timeout_s=5.0) as setup:
            asked = Asked(setup)
            await setup.good(0)
            question = {"device": "m0", "kind": "read", "function": 3, "address": 7, "count": 1}
            waiting = [asyncio.ensure_future(asked("ask", **question)) for _ in range(WAITING_MAX)]
            await asyncio.sleep(0)
            with pytest.raises(Refused, match=r"field\.busy"):
                await asked("ask", **question)
            held.set()
            assert all(said["outcome"]["kind"] == "reply" for said in await asyncio.gather(*waiting))

    reactor_loop.run(story())
