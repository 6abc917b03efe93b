"""Engineering units: the symbol a person reads and the UNECE code that OPC UA wants.

Source: UNECE Recommendation 20 codes as listed by the OPC Foundation (UNECE_to_OPCUA); the numeric
id is the big-endian packing of the code's ASCII letters.
"""

from typing import Final

UNECE_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"

UNECE_CODE: Final[dict[str, str]] = {
    "kWh": "KWH", "Wh": "WHR", "kW": "KWT", "W": "WTT", "kVA": "KVA", "kvar": "KVR", "kvarh": "K3", "V": "VLT",
    "A": "AMP", "mA": "4K", "Hz": "HTZ", "m3": "MTQ", "m3/h": "MQH", "L": "LTR", "GJ": "GV", "MJ": "3B", "°C": "CEL",
    "t": "TNE", "t/h": "E18", "kPa": "KPA", "MPa": "MPA", "%": "P1", "": "C62", "s": "SEC", "ms": "C26", "d": "DAY",
    "h": "HUR",
}  # fmt: skip


def unece_id(symbol: str) -> int:
    """Return the OPC UA unitId of a unit symbol; KeyError when the symbol is not a UNECE unit (money is not)."""
    return int.from_bytes(UNECE_CODE[symbol].encode("ascii"), "big")
