"""The faults that the simulated field can be told to have: one table for the control port, the command line and help.

Rule: data only, light to import; what a fault does is in `drivers.field.faults`.
"""

from dataclasses import dataclass
from typing import Final, Literal

TargetKind = Literal[
    "none", "gateway", "device", "switch", "counter", "any", "optional", "medium", "button"
]  # button: a DL/T 645-2007 meter

HOST: Final = "127.0.0.1"  # the control port is for this machine only
CONTROL_PORT: Final = 15010  # the default of the configuration
LINE_MAX: Final = 4096  # bytes of one request or answer line that names one target; `list` answers longer
PERMILLE_MAX: Final = 10_000  # a load may be ten times its nominal, not more
DELAY_MS_MAX: Final = 60_000


@dataclass(frozen=True, slots=True)
class Order:
    """One order to the field."""

    name: str
    target: TargetKind  # what it names: a gateway id, a device id, a device with a switch or with a billing register
    value: str  # "" when it takes none; a trailing "?" when it may be left out; else what it means
    help: str


ORDERS: Final[tuple[Order, ...]] = (
    Order("list", "none", "", "list gateways and devices with the faults they have now"),
    Order("show", "device", "", "show what a device really measures, its true counter and its switch"),
    Order("gateway-kill", "gateway", "", "close a gateway's socket and all its connections"),
    Order("gateway-restore", "gateway", "", "let a killed or hanging gateway listen and answer again"),
    Order("gateway-hang", "gateway", "", "a gateway accepts connections and never answers"),
    Order("gateway-reset", "gateway", "", "cut a gateway's connections with RST (serial: unplug and plug in)"),
    Order("gateway-half-open", "gateway", "", "a gateway's present connections die without a word; new ones work"),
    Order("gateway-black-hole", "gateway", "", "a gateway answers no connection attempt, not even with a refusal"),
    Order("power-off", "none", "", "cut the power: no line answers, no electricity flows"),
    Order("power-on", "none", "", "end a power cut: everything comes back in the same moment"),
    Order("first-asked", "none", "", "tell how long after the last power cut each line was first asked, in seconds"),
    Order("meter-silent", "device", "requests?", "a device does not answer (REQUESTS times), its neighbours do"),
    Order("meter-restore", "device", "", "a silent device answers again"),
    Order("freeze", "device", "", "a device's registers stand still while it goes on counting"),
    Order("unfreeze", "device", "", "a frozen device shows true values again"),
    Order("rollover", "counter", "counts?", "put the billing register COUNTS (default 2) before it rolls over"),
    Order("set-register", "counter", "counts", "put the billing register at COUNTS, as a replaced meter would"),
    Order("hostile", "device", "class [count]", "spoil (COUNT of) a device's replies, see docs/simulated-field.md"),
    Order("sensor", "device", "nan|inf|-inf|denormal|off", "float and decimal registers show what is no number"),
    Order("word-order", "device", "ABCD|CDAB|BADC|DCBA|off", "long registers come in an order unlike the profile's"),
    Order("scale", "device", "factor|off", "long registers come multiplied by FACTOR, unlike the profile's scale"),
    Order("jump", "counter", "counts", "let the billing register jump forward by COUNTS"),
    Order("replace", "counter", "counts?", "another meter in its place: new serial number, register at COUNTS (0)"),
    Order("same-serial", "device", "device", "a device shows the serial number of another one"),
    Order("swap", "device", "device", "two devices answer for each other; again: undone"),
    Order("clock", "device", "seconds", "put a meter's own clock SECONDS ahead (negative: behind)"),
    Order("press-button", "button", "", "press the button of a meter whose close is permitted"),
    Order("holes", "device", "on|off", "a device refuses reads over registers that its profile does not use (Modbus)"),
    Order("split-answers", "button", "bytes", "cut a meter's answers into follow-up frames of BYTES; 0 ends it"),
    Order("slow", "any", "ms", "answer after MS milliseconds (a device, or everything behind a gateway); 0 ends it"),
    Order("load", "device", "factor", "multiply a device's own load by FACTOR (1 is normal)"),
    Order("bypass", "device", "percent", "let PERCENT of the load flow around the meter; 0 ends it"),
    Order("fail-trip", "switch", "", "a trip is accepted and the breaker does not move"),
    Order("fail-close", "switch", "", "a close is accepted and the breaker does not move"),
    Order("weld", "switch", "open|closed?", "the contact is welded: after a trip the position shows OPEN|CLOSED (default open) and current flows on"),  # noqa: E501
    Order("refuse-command", "switch", "", "a device answers every switching command with an exception"),
    Order("mute-command", "switch", "", "a device executes a switching command and does not answer it"),
    Order("local-trip", "switch", "", "somebody, or a protection, opens the breaker on the spot"),
    Order("local-close", "switch", "", "somebody closes the breaker on the spot"),
    Order("supply-off", "medium", "", "the source of a medium (electricity, water, ...) fails for the whole park"),
    Order("supply-on", "medium", "", "the source of a medium returns"),
    Order("clear", "optional", "", "end all faults, or those of one gateway or device"),
)  # fmt: skip

BY_NAME: Final = {order.name: order for order in ORDERS}
