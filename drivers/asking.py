"""One question of a person to a meter, as plain data: made on the command line, carried out there or in the core.

Rule: no I/O. The same data make the same bytes, whether the tool owns the line or asks the core, which does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from drivers import cjt188, dlt645, modbus
from drivers.device import Device, Secret
from drivers.dialects import Question, dialect_of
from drivers.frame_log import Entry
from drivers.modbus_rtu import Question as RtuQuestion
from drivers.outcome import ExceptionMeaning, ExceptionReply, Outcome, Reply, Silence, Violation
from drivers.pollplan import Block
from drivers.profile import Profile, Protocol, Switch
from scada.errors import Refused
from scada.position import CLOSED, OPEN
from scada.quality import BAD_COMMUNICATION_ERROR

# read     `count` registers (or coils), or the data of an identifier (function 0; count -1: as many as come)
# switch   move the switch to `target`
# address  who is there? (DL/T 645-2007 control 13, CJ/T 188 810A)
# name     maker and model (Modbus 43/14), from object `address` on
Kind = Literal["read", "switch", "address", "name"]
TARGETS: Final[Mapping[str, int]] = {"open": OPEN, "closed": CLOSED}
NAMES_BASIC: Final = 1  # read device id code of 43/14: the objects that every device has


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of one device."""

    kind: Kind
    function: int = 0
    address: int = 0
    count: int = 0
    target: str = ""
    utc_ns: int = 0  # what the meter takes for now, when its clock is known to be wrong; 0: it is right


@dataclass(frozen=True, slots=True)
class StationSpec:
    """Where a device is on its line and how it wants to be asked: enough for a device that no configuration names.

    The core takes it as an argument of its operations, too.
    """

    protocol: Protocol
    unit: int = 0
    address: str = ""
    wake_bytes: int = 4
    di_low_first: bool = False
    meter_type: int = 0x10
    any_type: bool = True
    level: int = 0x02
    medium: str = ""
    switch_function: int = 0
    switch_address: int = 0
    open_value: int = -1
    close_value: int = -1
    n2: int = 0
    expiry_s: int = 600
    password: str = field(default="", repr=False)
    operator: str = field(default="", repr=False)

    def device(self) -> Device:
        """Return a device of this kind, with no register of its own. Refused for a number that no frame can carry."""
        if not (0 <= self.unit <= 255 and 0 <= self.wake_bytes <= 20 and 0 <= self.meter_type <= 255):
            raise Refused("field.station", "unit and meter type are bytes, at most 20 bytes wake a meter up")
        switch = None
        if (self.open_value, self.close_value) != (-1, -1):
            switch = Switch(
                "", (), self.switch_function, self.switch_address, self.open_value, self.close_value,
                n2=self.n2, expiry_s=self.expiry_s,
            )  # fmt: skip
        profile = Profile(
            "ad-hoc", "", "", self.medium, (), None, switch, protocol=self.protocol, wake_bytes=self.wake_bytes,
            di_low_first=self.di_low_first, meter_type=self.meter_type, any_type=self.any_type, level=self.level,
        )  # fmt: skip
        secret = Secret(self.password or "000000", self.operator or "00000000", self.level)
        return Device("ad-hoc", "", self.unit, profile, 1, 1, {}, address=self.address, secret=secret)


def spec_of(device: Device) -> StationSpec:
    """Return the same device as plain data."""
    profile, switch = device.profile, device.profile.switch
    spec = StationSpec(
        profile.protocol, device.unit, device.address, profile.wake_bytes, profile.di_low_first, profile.meter_type,
        profile.any_type, device.secret.level, profile.medium, password=device.secret.password,
        operator=device.secret.operator,
    )  # fmt: skip
    if switch is None:
        return spec
    return replace(
        spec, switch_function=switch.function, switch_address=switch.address, open_value=switch.open_value,
        close_value=switch.close_value, n2=switch.n2, expiry_s=switch.expiry_s,
    )  # fmt: skip


def question_of(device: Device, ask: Ask, framed: bool, utc_ns: int) -> Question:
    """Make the question. framed: the line carries Modbus TCP frames. Refused "field.question" when it is none."""
    protocol = device.profile.protocol
    utc_ns = ask.utc_ns or utc_ns
    try:
        if ask.kind == "read":
            block = Block(ask.function, ask.address, ask.count, ())
            return dialect_of(protocol, framed).read(device, block)
        if ask.kind == "switch":
            if device.profile.switch is None:
                raise ValueError("there is no switch to command")
            return dialect_of(protocol, framed).switch(device, device.profile.switch, TARGETS[ask.target], utc_ns)
        return _who(device, ask, framed)
    except KeyError as error:
        line = "a Modbus TCP" if framed else "a serial"
        raise Refused("field.question", f"{protocol} cannot be spoken on {line} line ({error})") from error
    except ValueError as error:
        raise Refused("field.question", str(error)) from error


def _who(device: Device, ask: Ask, framed: bool) -> Question:
    protocol = device.profile.protocol
    if ask.kind == "address" and protocol == "dlt645-2007":
        return dlt645.read_address(device.profile.wake_bytes)
    if ask.kind == "address" and protocol == "cjt188":
        return cjt188.read_address(cjt188.station_of(device))
    if ask.kind == "name" and protocol == "modbus":
        request = modbus.identify_request(device.unit, NAMES_BASIC, ask.address)
        return request if framed else RtuQuestion(request)
    raise ValueError(f"{protocol} has no question for the {ask.kind}")


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data."""
    if isinstance(outcome, Reply):
        return {"kind": "reply", "payload": outcome.payload.hex()}
    if isinstance(outcome, ExceptionReply):
        meaning = outcome.meaning
        return {"kind": "exception", "code": outcome.code, "name": meaning.name, "answer": meaning.answer,
                "quality": meaning.quality}  # fmt: skip
    if isinstance(outcome, Violation):
        return {"kind": "violation", "wrong": str(outcome.wrong)}
    return {"kind": "silence", "reason": outcome.reason, "sent": outcome.sent}


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome that plain data describe."""
    kind = data["kind"]
    if kind == "reply":
        return Reply(bytes.fromhex(data["payload"]))
    if kind == "exception":
        quality = data.get("quality", BAD_COMMUNICATION_ERROR)
        return ExceptionReply(data["code"], ExceptionMeaning(data["name"], data["answer"], quality))
    return Violation(data["wrong"]) if kind == "violation" else Silence(data["reason"], data["sent"])


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Return a transaction of a frame log as plain data."""
    return {
        "number": entry.number, "utc_ns": entry.utc_ns, "elapsed_ns": entry.elapsed_ns, "sent": entry.sent.hex(),
        "received": entry.received.hex(), "outcome": entry.outcome, "good": entry.good, "hidden": list(entry.hidden),
        "hidden_received": list(entry.hidden_received),
    }  # fmt: skip


def entry_from_json(data: Mapping[str, Any]) -> Entry:
    """Return the transaction that plain data describe."""
    sent, received = bytes.fromhex(data["sent"]), bytes.fromhex(data["received"])
    return Entry(
        data["number"], data["utc_ns"], data["elapsed_ns"], sent, received, data["outcome"], data["good"],
        tuple(data["hidden"]), tuple(data["hidden_received"]),
    )  # fmt: skip
