"""Qualities of a value: the OPC UA status codes that Wattkeeper uses, and how to ask about columns of them.

Rule: quality is judged here and nowhere else; no other file knows the bit layout.
Source: OPC 10000-4 clause 7.39 and the OPC Foundation's StatusCode table.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

GOOD: Final = 0x0000_0000
GOOD_LOCAL_OVERRIDE: Final = 0x0096_0000
UNCERTAIN_LAST_USABLE: Final = 0x4090_0000
UNCERTAIN_NO_COMMUNICATION: Final = 0x408F_0000
UNCERTAIN_SUBSTITUTE: Final = 0x4091_0000
UNCERTAIN_SENSOR_NOT_ACCURATE: Final = 0x4093_0000
UNCERTAIN_UNITS_EXCEEDED: Final = 0x4094_0000
UNCERTAIN_SUBNORMAL: Final = 0x4095_0000
UNCERTAIN_SIMULATED: Final = 0x4209_0000
BAD: Final = 0x8000_0000
BAD_COMMUNICATION_ERROR: Final = 0x8005_0000
BAD_TIMEOUT: Final = 0x800A_0000
BAD_NO_COMMUNICATION: Final = 0x8031_0000
BAD_WAITING_FOR_INITIAL_DATA: Final = 0x8032_0000
BAD_CONFIGURATION_ERROR: Final = 0x8089_0000
BAD_DEVICE_FAILURE: Final = 0x808B_0000
BAD_SENSOR_FAILURE: Final = 0x808C_0000
BAD_OUT_OF_SERVICE: Final = 0x808D_0000

NAMES: Final[dict[int, str]] = {
    GOOD: "Good",
    GOOD_LOCAL_OVERRIDE: "GoodLocalOverride",
    UNCERTAIN_LAST_USABLE: "UncertainLastUsableValue",
    UNCERTAIN_NO_COMMUNICATION: "UncertainNoCommunicationLastUsableValue",
    UNCERTAIN_SUBSTITUTE: "UncertainSubstituteValue",
    UNCERTAIN_SENSOR_NOT_ACCURATE: "UncertainSensorNotAccurate",
    UNCERTAIN_UNITS_EXCEEDED: "UncertainEngineeringUnitsExceeded",
    UNCERTAIN_SUBNORMAL: "UncertainSubNormal",
    UNCERTAIN_SIMULATED: "UncertainSimulatedValue",
    BAD: "Bad",
    BAD_COMMUNICATION_ERROR: "BadCommunicationError",
    BAD_TIMEOUT: "BadTimeout",
    BAD_NO_COMMUNICATION: "BadNoCommunication",
    BAD_WAITING_FOR_INITIAL_DATA: "BadWaitingForInitialData",
    BAD_CONFIGURATION_ERROR: "BadConfigurationError",
    BAD_DEVICE_FAILURE: "BadDeviceFailure",
    BAD_SENSOR_FAILURE: "BadSensorFailure",
    BAD_OUT_OF_SERVICE: "BadOutOfService",
}

SEVERITY_SHIFT: Final = 30  # the two top bits: 0 good, 1 uncertain, 2 bad

QualityColumn = npt.NDArray[np.uint32]


def is_good(quality: int) -> bool:
    """Tell whether one status code is good (severity bits 00)."""
    return quality >> SEVERITY_SHIFT == 0


def is_bad(quality: int) -> bool:
    """Tell whether one status code is bad (severity bits 10 or 11)."""
    return quality >> SEVERITY_SHIFT >= 2


def good_mask(quality: QualityColumn) -> npt.NDArray[np.bool_]:
    """Return (n,) bool: rows of a quality column that are good."""
    return quality < np.uint32(0x4000_0000)


def bad_mask(quality: QualityColumn) -> npt.NDArray[np.bool_]:
    """Return (n,) bool: rows of a quality column that are bad."""
    return quality >= np.uint32(0x8000_0000)


def name(quality: int) -> str:
    """Return the OPC UA name of a status code, or its hexadecimal form when it is not one of ours."""
    return NAMES.get(quality, f"0x{quality:08X}")
