"""Closing an account: every line of the final reckoning, its postings, and what changed since it was shown. 退租结算

    wallet - unused subsidies - debts - emergency credit = net; refund = net in whole coins; the rest to rounding

Rule: pure. A preview is plain JSON data with a token; carrying it out means computing it again from what stands now and
refusing when the token differs. Property fees never come out of the wallet: they are listed, and stay as they are.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from billing_core import account_rules as rules
from billing_core import ledger
from billing_core.account_rules import Purse
from billing_core.posting import Draft
from billing_core.state import Register
from scada.errors import Refused

UNPAID: Final = ("refuse", "pay", "writeoff")  # what becomes of a net below zero
REFUND: Final = "refund"
CARRY: Final = "carry"  # a transfer of ownership may hand the net over to the new account

# code -> (Chinese, English), in the order in which they are shown
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "balance": ("余额(含未出账用量)", "Balance, consumption to the final reading included"),
    "statement": ("未出账费用", "Charges of the last statement"),
    "subsidy": ("未用补助收回", "Unused subsidy taken back"),
    "debt": ("欠费", "Debt"),
    "emergency": ("应急额度", "Emergency credit"),
    "net": ("净额", "Net"),
    "rounding": ("尾差", "Rounding"),
    "refund": ("应退", "Refund"),
    "due": ("应补缴", "To be paid"),
    "property": ("物业费(单独结算)", "Property fees, settled apart"),
}


class Line(NamedTuple):
    """One line of the reckoning; nano from the tenant's side: what is taken is below zero."""

    code: str
    nano: int


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What closing an account comes to. Nano."""

    wallet_nano: int
    statement_nano: int  # charges of the last statement, below zero; posted by settlement before the closing
    unused_nano: int
    owed_nano: int
    emergency_nano: int
    property_nano: int
    coin_nano: int

    @property
    def net_nano(self) -> int:
        return self.wallet_nano + self.statement_nano - self.unused_nano - self.owed_nano - self.emergency_nano

    @property
    def paid_nano(self) -> int:
        """The net in whole coins, half a coin away from zero: what is paid out, or paid in when below zero."""
        coins = (2 * abs(self.net_nano) + self.coin_nano) // (2 * self.coin_nano)
        return coins * self.coin_nano * (1 if self.net_nano >= 0 else -1)

    def lines(self) -> list[Line]:
        found = [
            Line("balance", self.wallet_nano),
            Line("statement", self.statement_nano),
            Line("subsidy", -self.unused_nano),
            Line("debt", -self.owed_nano),
            Line("emergency", -self.emergency_nano),
            Line("net", self.net_nano),
            Line("rounding", self.paid_nano - self.net_nano),
            Line("refund" if self.paid_nano >= 0 else "due", abs(self.paid_nano)),
            Line("property", self.property_nano),
        ]
        return [line for line in found if line.nano or line.code in ("balance", "net", "refund", "due")]


def reckoning(purse: Purse, uncommitted_nano: int = 0, statement_nano: int = 0) -> Reckoning:
    """Return what closing an account comes to. uncommitted_nano: live charges the books do not know yet, >= 0."""
    return Reckoning(
        purse.wallet_nano - uncommitted_nano,
        statement_nano,
        max(0, purse.unused_subsidy_nano - uncommitted_nano),
        purse.owed_nano,
        purse.emergency_nano,
        purse.property_nano,
        purse.coin_nano,
    )


def preview(account: str, registers: Sequence[Register], found: Reckoning, breakers: Sequence[str]) -> dict[str, Any]:
    """Return the reckoning as data, with the token that stands for it."""
    lines = [{"code": code, "zh": WORDS[code][0], "en": WORDS[code][1], "nano": nano} for code, nano in found.lines()]
    document = {
        "account": account,
        "registers": [asdict(register) for register in registers],
        "lines": lines,
        "paid_nano": found.paid_nano,
        "breakers": list(breakers),
    }
    return {**document, "token": token_of(document)}


def token_of(document: Mapping[str, Any]) -> str:
    """Return the token of a preview: registers and amounts decide, the times of still registers do not."""
    registers = [[register[name] for name in ("point", "meter", "raw")] for register in document["registers"]]
    lines = [[line["code"], line["nano"]] for line in document["lines"]]
    facts = [document["account"], registers, lines]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()[:16]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two previews, as sentences."""
    found = []
    registers = {register["point"]: register for register in before["registers"]}
    for register in now["registers"]:
        old = registers.pop(register["point"], None)
        if old is None:
            found.append(f"{register['point']}: new")
        elif (old["meter"], old["raw"]) != (register["meter"], register["raw"]):
            found.append(f"{register['point']}: register {old['raw']} -> {register['raw']}")
    found += [f"{point}: gone" for point in registers]
    amounts = {line["code"]: line["nano"] for line in before["lines"]}
    news = {line["code"]: line["nano"] for line in now["lines"]}
    for code in WORDS:
        old_nano, nano = amounts.get(code, 0), news.get(code, 0)
        if old_nano != nano:
            found.append(f"{WORDS[code][1]}: {rules.shown(old_nano)} -> {rules.shown(nano)}")
    return found


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], within_nano: int) -> None:
    """Raise Refused "closing.changed" unless a preview still holds; what is paid may differ by within_nano at most.

    The tolerance is for the consumption that goes on between looking and doing; everything else must be the same.
    """
    differing = changes(before, now)
    if not differing:
        return
    within = abs(now["paid_nano"] - before["paid_nano"]) <= within_nano
    if not (within and _meters(before) == _meters(now)):
        mend = "preview again, and switch the load off first or allow --within"
        raise Refused("closing.changed", "; ".join(differing) + f"; {mend}")


def _meters(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(register["point"], register["meter"]) for register in document["registers"]}


def require_fresh(registers: Sequence[Register], now_s: int, fresh_s: int) -> None:
    """Raise Refused unless every final register is good and fresh: "closing.held", "closing.stale"."""
    for register in registers:
        if register.held != "none":
            wrong = f"{register.point} is held ({register.held}); decide on its register first"
            raise Refused("closing.held", wrong)
        if now_s - register.at_s > fresh_s:
            age_s = now_s - register.at_s
            wrong = f"{register.point} was last read {age_s} s ago; read it, or accept it with --accept-stale"
            raise Refused("closing.stale", wrong)


def closing(purse: Purse, channel: str, reason: str, unpaid: str, to: str = "", approved_by: str = "") -> Draft:
    """Return the postings that bring an account to exactly zero. to: account that takes the net over (CARRY).

    Refused "closing.owes" when money is missing and `unpaid` does not say what to do; ApprovalNeeded above the limits.
    """
    conditions = (rules.IS_OPEN, rules.HAS_REASON, rules.KNOWN_CHANNEL)
    rules.judge(purse, rules.Wish("closing", 0, channel, reason), conditions)
    found = reckoning(purse)
    paid_nano = found.net_nano if to else found.paid_nano
    _require_settled(found, unpaid, to)
    _require_second(purse, paid_nano, unpaid, to, approved_by)
    counter = ledger.wallet(to) if to else ledger.source_of(channel)
    if not to and paid_nano < 0 and unpaid == "writeoff":
        counter, paid_nano = rules.WRITEOFF, found.net_nano
    entries = rules.movement(
        (ledger.wallet(purse.account), -purse.wallet_nano),
        (rules.SUBSIDIES, found.unused_nano),
        (rules.debt(purse.account), found.owed_nano),
        (rules.emergency(purse.account), found.emergency_nano),
        (counter, paid_nano),
        (ledger.ROUNDING, found.net_nano - paid_nano),
    )
    lines = [[code, nano] for code, nano in found.lines()]
    document = {"account": purse.account, "lines": lines, "paid_nano": paid_nano, "to": to}
    return Draft(entries, reason, document | ({"approved_by": approved_by} if approved_by else {}))


def _require_settled(found: Reckoning, unpaid: str, to: str) -> None:
    if unpaid not in UNPAID:
        raise Refused("closing.unpaid", f"{unpaid!r}; allowed: {', '.join(UNPAID)}")
    if found.net_nano < 0 and to:
        owes = rules.shown(-found.net_nano)
        raise Refused("closing.owes", f"the tenant owes {owes}; settle it with the old owner, it is not handed over")
    if found.paid_nano < 0 and unpaid == "refuse":
        owes = rules.shown(-found.paid_nano)
        raise Refused("closing.owes", f"the tenant owes {owes}; take the money with --unpaid pay, or --unpaid writeoff")


def _require_second(purse: Purse, paid_nano: int, unpaid: str, to: str, approved_by: str) -> None:
    """Raise ApprovalNeeded for a refund above the limit, or any loss above the limit of corrections."""
    limits = purse.limits
    if approved_by or to:
        return
    if paid_nano > limits.refund_limit_nano:
        limit = rules.shown(limits.refund_limit_nano)
        raise rules.ApprovalNeeded("approval.refund", f"a refund above {limit} is approved by a second person")
    if unpaid == "writeoff" and -paid_nano > limits.correction_limit_nano:
        limit = rules.shown(limits.correction_limit_nano)
        raise rules.ApprovalNeeded("approval.writeoff", f"a loss above {limit} is approved by a second person")
