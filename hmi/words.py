"""Words: what a person reads for each code and state that other packages name. Unknown codes show themselves."""

import re
from typing import Final

from hmi.i18n import N_, Texts
from hmi.switch_words import SWITCH_WORDS, Kind

# group -> code -> English text
WORDS: Final[dict[str, dict[str, str]]] = {
    "command": {
        "idle": N_("No command"),
        "selected": N_("Selected"),
        "sent": N_("Sent, waiting for the device"),
        "accepted": N_("Accepted, waiting for read-back"),
        "verified": N_("Verified by read-back"),
        "failed": N_("Failed"),
        "undetermined": N_("Undetermined: position not known"),
        "cancelled": N_("Cancelled"),
        "expired": N_("Selection expired"),
    },
    "alarm": {
        "normal": N_("Normal"),
        "unacknowledged": N_("Active, unacknowledged"),
        "acknowledged": N_("Active, acknowledged"),
        "returned": N_("Returned, unacknowledged"),
    },
    "entry": {
        "raised": N_("Raised"),
        "cleared": N_("Cleared"),
        "acknowledged": N_("Acknowledged"),
    },
    "credit": {
        "normal": N_("In credit"),
        "remind1": N_("First reminder"),
        "remind2": N_("Last reminder"),
        "overdrawn": N_("Overdrawn"),
        "pending_stop": N_("Switch-off pending"),
        "stopped": N_("Switched off"),
        "reconnect": N_("Reconnection permitted"),
        "reconnect_permitted": N_("Reconnection permitted"),
        "protected": N_("Protected supply"),
        "frozen": N_("Held: data in doubt"),
    },
    "stops_held": {
        "none": N_("Not held"),
        "mass_guard": N_("Many tenants due at once"),
        "clock": N_("The clock jumped"),
        "protected": N_("Every supply is protected"),
        "paused": N_("Credit control is paused"),
    },
    "transport": {
        "modbus-tcp": N_("Modbus TCP"),
        "tcp": N_("Transparent gateway"),
        "serial": N_("Serial port"),
        "dial-in": N_("DTU that dials in"),
    },
    "energised": {
        "dead": N_("Dead"),
        "live": N_("Live"),
        "undetermined": N_("Not determined"),
    },
    "rate": {
        "sharp": N_("Sharp peak"),
        "peak": N_("Peak"),
        "flat": N_("Flat"),
        "valley": N_("Valley"),
        "deep_valley": N_("Deep valley"),
    },
    "held": {
        "none": N_("Not held"),
        "reverse": N_("Register ran backwards"),
        "jump": N_("Faster than the connection can carry"),
        "no_price": N_("No price in force"),
        "range": N_("Outside the register's range"),
        "limit": N_("Beyond what one charge may hold"),
        "meter": N_("Meter replaced"),
    },
    "rate_check": {
        "none": N_("Not used"),
        "used": N_("Used"),
        "tariff_table_mismatch": N_("Meter's table differs from the tariff's"),
        "sum_mismatch": N_("Do not add up to the total"),
        "incomplete": N_("Not read in full"),
    },
    "identity": {
        "none": N_("Number is right"),
        "wrong_number": N_("Shows another number"),
        "number_seen_twice": N_("Another meter shows its number"),
        "number_not_readable": N_("Number cannot be read"),
    },
    "boolean": {"0": N_("No"), "1": N_("Yes")},
    "online": {"0": N_("No answer"), "1": N_("Answers")},
    "connected": {"0": N_("Away"), "1": N_("Connected")},
    "role": {
        "viewer": N_("Viewer"),
        "operator": N_("Operator"),
        "engineer": N_("Engineer"),
        "finance": N_("Finance"),
        "admin": N_("Administrator"),
        "system": N_("System"),
    },
    "medium": {
        "electricity": N_("Electricity"),
        "water": N_("Water"),
        "gas": N_("Gas"),
        "steam": N_("Steam"),
        "heat": N_("Heat"),
        "cooling": N_("Cooling"),
    },
    "channel": {
        "cash": N_("Cash"),
        "transfer": N_("Bank transfer"),
        "card": N_("Bank card"),
        "wechat": N_("WeChat Pay"),
        "alipay": N_("Alipay"),
        "unionpay": N_("UnionPay"),
        "gateway": N_("Payment gateway"),
    },
    "kind": {
        "opening": N_("Opening balance"),
        "topup": N_("Top-up"),
        "top_up": N_("Top-up"),
        "charge": N_("Consumption"),
        "usage": N_("Consumption"),
        "refund": N_("Refund"),
        "reversal": N_("Reversal"),
        "adjustment": N_("Adjustment"),
        "correction": N_("Correction"),
        "debt": N_("Debt"),
        "recovery": N_("Debt recovery"),
        "emergency": N_("Emergency credit"),
        "grant": N_("Subsidy"),
        "expiry": N_("Subsidy expired"),
        "property": N_("Property fee"),
        "moveout": N_("Move-out"),
        "handover": N_("Change of owner"),
        "account": N_("Account opened"),
        "tenancy": N_("Tenancy"),
        "approval": N_("Approval"),
    },
    "priority": {"1": N_("Critical"), "2": N_("High"), "3": N_("Medium"), "4": N_("Low")},
    "quality": {
        "Good": N_("Good"),
        "GoodLocalOverride": N_("Good, entered by hand"),
        "UncertainLastUsableValue": N_("Last usable value"),
        "UncertainNoCommunicationLastUsableValue": N_("No communication, last value"),
        "UncertainSubstituteValue": N_("Substitute value"),
        "UncertainSensorNotAccurate": N_("Sensor not accurate"),
        "UncertainEngineeringUnitsExceeded": N_("Outside the plausible range"),
        "UncertainSubNormal": N_("Made from partly bad values"),
        "UncertainSimulatedValue": N_("Simulated value"),
        "Bad": N_("Bad"),
        "BadCommunicationError": N_("Communication error"),
        "BadTimeout": N_("Time-out"),
        "BadNoCommunication": N_("No communication"),
        "BadWaitingForInitialData": N_("Waiting for the first value"),
        "BadConfigurationError": N_("Configuration error"),
        "BadDeviceFailure": N_("Device failure"),
        "BadSensorFailure": N_("Sensor failure"),
        "BadOutOfService": N_("Out of service"),
    },
    "refused": {  # codes of scada.errors.Refused, and what this room says itself
        "session": N_("The session has ended. Log in again."),
        "role": N_("Your role does not permit this."),
        "command.state": N_("The command has gone on already."),
        "command.journal": N_("The journal cannot be written; nothing was switched."),
        "alarm.comment-long": N_("The comment is too long."),
        "command.unknown": N_("There is no such command."),
        "command.owner": N_("The selection belongs to somebody else."),
        "command.expired": N_("The selection has expired."),
        "alarm.unknown": N_("There is no such alarm."),
        "alarm.not-active": N_("There is nothing to acknowledge."),
        "alarm.already-acknowledged": N_("The alarm is acknowledged already."),
        "account.unknown": N_("There is no such account."),
        "alarm.journal": N_("The journal cannot be written; nothing was acknowledged."),
        "topup.amount-above": N_("The amount is above what may be booked at once."),
        "topup.amount-below": N_("The amount is not allowed."),
        "topup.amount-coins": N_("The amount is not allowed."),
        "topup.balance-above": N_("The balance would rise above what the books can hold."),
        "topup.key-length": N_("The payment was not accepted. Open the page again."),
        "topup.key-reused": N_("The payment was not accepted. Open the page again."),
        "ledger.held": N_("Another core holds the books."),
        "ledger.site": N_("The books belong to another site."),
        "amount": N_("The amount is not allowed."),
        "core.away": N_("The core does not answer now. Try again in a few seconds."),
        "database.away": N_("The data base cannot be reached now. Nothing was booked; try again later."),
        "password.short": N_("At least 8 characters."),
        "password.long": N_("At most 128 characters."),
        "password.common": N_("This password is one of the most common ones."),
        "password.login": N_("The password must not be the user name."),
        "password.differ": N_("The two passwords differ."),
        "password.same": N_("Choose a password that differs from the present one."),
        "login.wrong": N_("User name or password is wrong."),
        "login.wait": N_("Too many tries. Wait a moment."),
        "user.taken": N_("This user name is taken."),
        "user.form": N_("Lower-case letters, digits, dot, dash and underscore only."),
        "account.closed": N_("The account is closed and settled."),
        "account.reason": N_("Say why; it goes into the books."),
        "account.amount": N_("The amount is not allowed."),
        "account.channel": N_("This payment channel is not known."),
        "account.against": N_("This account cannot be the other side."),
        "account.exists": N_("This account exists already; choose another id."),
        "account.no-room": N_("No spare row is left; restart the core."),
        "topup.channel": N_("This payment channel is not known."),
        "ledger.key-reused": N_("This key belongs to another posting."),
        "receipt.unknown": N_("There is no such receipt."),
        "receipt.reversed": N_("This receipt is reversed already."),
        "refund.balance": N_("More than the tenant's own money."),
        "debt.none": N_("More than is owed."),
        "debt.balance": N_("The balance is too small; top it up first."),
        "debt.percent": N_("A share of 0 to 100 per cent."),
        "emergency.once": N_("The last emergency credit is not paid back."),
        "emergency.limit": N_("More than the class of the account grants."),
        "subsidy.term": N_("The end of the term lies in the past."),
        "approval.unknown": N_("There is no such request."),
        "approval.self": N_("Somebody else must agree."),
        "approval.person": N_("The second person must log in."),
        "approval.done": N_("This request is decided already."),
        "plan.past": N_("This tariff would change the past: add a version."),
        "plan.unsound": N_("This tariff is faulty."),
        "plan.unknown": N_("There is no such tariff."),
        "plan.unit": N_("The tariff is of another medium or unit."),
        "reason": N_("Say why; it goes into the books."),
        "hold.none": N_("This supply point is not held."),
        "hold.not-for-a-person": N_("The hold ends when its cause is mended."),
        "hold.no-reading": N_("There is no register to decide on yet."),
        "hold.reverse": N_("The register went back: reject it, or release it as a rollover."),
        "hold.too-much": N_("Too much for one charge: reject it and estimate."),
        "meter.first-missing": N_("The first register of the new meter is missing."),
        "meter.final-implausible": N_("The final register does not follow from the last billed one."),
        "meter.final-time": N_("The final register must be later than the last billed one."),
        "meter.not-configured": N_("Name the new meter in the configuration first."),
        "meter.gap": N_("This estimate is not allowed."),
        "meter.quantity": N_("This is no quantity."),
        "meter.range": N_("This register does not exist on the meter."),
        "meter.ratio": N_("This ratio is not allowed."),
        "meter.reason": N_("A reason is needed."),
        "meter.register": N_("This is no register of the meter."),
        "late.before": N_("The reading lies before the first charge."),
        "late.after": N_("The reading is not older than the last billed one."),
        "late.between": N_("The reading does not lie between its neighbours."),
        "late.range": N_("This register does not exist on the meter."),
        "late.nothing": N_("These readings change nothing."),
        "late.no-price": N_("A part of the time has no price."),
        "late.order": N_("Give readings of different seconds."),
        "approval.rejected": N_("This request was turned down."),
        "preset.unknown": N_("There is no such preset."),
        "point.unknown": N_("There is no such supply point."),
        "tenancy.occupied": N_("Somebody else pays for this supply point; move that tenant out first."),
        "tenancy.house": N_("No account for vacant rooms is configured."),
        "closing.changed": N_("Something changed since the preview; preview again."),
        "closing.token": N_("Preview the closing first."),
        "closing.stale": N_("A final register is not fresh; read it first."),
        "closing.held": N_("A final register is held; decide on it first."),
        "closing.owes": N_("The tenant owes money; take it or write it off."),
        "handover.points": N_("A transfer of ownership takes all supply points of the account."),
    },
}


POSITION: Final = "Position"  # the measure that is worded by the kind of its switch
SYMBOLS: Final = {"m3": "m³", "m3/h": "m³/h"}  # units whose configured name is not how a person writes them


def symbol(unit: str) -> str:
    """Return a unit as it is written on a screen."""
    return SYMBOLS.get(unit, unit)


def word(group: str, code: str, texts: Texts) -> str:
    """Return the word of a code in a language; the code itself when the table has no row for it."""
    found = WORDS[group].get(code)
    return texts(found) if found is not None else code


def words(group: str, codes: tuple[str, ...], texts: Texts) -> list[str]:
    """Return the words of an enumeration in its order."""
    return [word(group, code, texts) for code in codes]


def switch_word(kind: Kind, group: str, code: str, texts: Texts) -> str:
    """Return the word of a code about a switch of a kind; the code itself when its table has no row for it."""
    found = SWITCH_WORDS[kind][group].get(code)
    return texts(found) if found is not None else code


def refusal(code: str, detail: str, texts: Texts, kind: Kind = "breaker") -> str:
    """Return the sentence for a refusal: an interlock names the condition that does not hold. kind: of the switch."""
    if code in SWITCH_WORDS[kind]["condition"]:
        return texts("Not met: {condition}", condition=switch_word(kind, "condition", code, texts))
    found = SWITCH_WORDS[kind]["refused"].get(code) or WORDS["refused"].get(code)
    return texts(found) if found is not None else (detail or code)


def fact(code: str, detail: str, kind: Kind, texts: Texts) -> str:
    """Return what decided a condition, "" when there is nothing to say: a position in its words, else as the core says.

    What the core says is English and stands in brackets behind its sentence: an English page shows it, others do not.
    """
    said = _IN_BRACKETS.search(detail)
    if said is None:
        return ""
    if code == "interlock.position":
        return switch_word(kind, "position", said[1], texts)
    return said[1] if texts.language == "en" else ""


_IN_BRACKETS: Final = re.compile(r"\((.+)\)$")
_MEASURE_GROUPS: Final = {
    "CommandState": "command",
    "CreditState": "credit",
    "StopsHeld": "stops_held",
    "Energised": "energised",
    "RatePeriod": "rate",
    "Held": "held",
    "RateRegisters": "rate_check",
    "IdentityFault": "identity",
    "Online": "online",
    "DatabaseConnected": "connected",
}


def of_tag(name: str, states: tuple[str, ...], kind: Kind, texts: Texts) -> list[str]:
    """Return the words of a tag's values: its states, or no and yes of a boolean. kind: of its device's switch."""
    if name == POSITION:
        return [switch_word(kind, "position", state, texts) for state in states]
    return words(_MEASURE_GROUPS.get(name, "boolean"), states or ("0", "1"), texts)
