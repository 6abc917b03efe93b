"""The rules of an account's money: what may be done, what is posted, who else must agree. Tables, then small builders.

    cash 100 -> debt first (its recovery share) -> emergency credit -> wallet          domain: top-up after a stop
    reversal = the same entries with the other sign, once        refund <= wallet less what a running subsidy left

Rule: pure. A builder takes a `Purse` (the balances inside the locked transaction) and returns a `Draft` or raises
Refused; nothing here knows a data base. Positive credits an account; `debt:` and `emergency:` stand below zero by what
the tenant owes; a property fee has its own purse and no way leads from the wallet to it or from it to a switch-off.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from billing_core import ledger
from billing_core.plan import MEDIA
from billing_core.posting import Draft
from scada.errors import Refused

OPEN: Final = "open"
CLOSED: Final = "closed"
PERCENT: Final = 100
SUBSIDIES: Final = "subsidies"
WRITEOFF: Final = "writeoff"
FEES: Final = "revenue:fees"


@dataclass(frozen=True, slots=True)
class AccountClass:
    """What accounts of one class may do. Amounts in nano; table [[account_class]] of the configuration."""

    id: str = "standard"
    name_zh: str = "标准"
    name_en: str = "Standard"
    least_nano: int = ledger.NANO_PER_UNIT
    most_nano: int = 5_000 * ledger.NANO_PER_UNIT  # common limit of Chinese counters
    hoarding_nano: int = 1_000_000 * ledger.NANO_PER_UNIT  # 囤积限额
    recovery_percent: int = PERCENT  # share of a top-up that goes to a debt
    emergency_nano: int = 0  # emergency credit that may be granted; 0: none
    refund_limit_nano: int = 500 * ledger.NANO_PER_UNIT  # above it a second person agrees
    correction_limit_nano: int = 100 * ledger.NANO_PER_UNIT


STANDARD: Final = AccountClass()


@dataclass(frozen=True, slots=True)
class Purse:
    """One account as the books hold it inside the transaction that judges. Amounts in nano."""

    account: str
    state: str
    wallet_nano: int
    owed_nano: int  # debt:<a>, as a positive number
    emergency_nano: int  # emergency credit not paid back, as a positive number
    property_nano: int  # property fees: below zero is owed
    unused_subsidy_nano: int  # part of the wallet that a running subsidy still covers
    limits: AccountClass
    recovery_percent: int
    coin_nano: int

    @property
    def own_nano(self) -> int:
        """What of the wallet is the tenant's own money and free of any claim."""
        return self.wallet_nano - self.unused_subsidy_nano - self.owed_nano - self.emergency_nano


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done to an account. Amounts in nano; what a verb does not use stays at its default."""

    verb: str
    amount_nano: int
    channel: str = ""
    reason: str = ""
    against: str = ""  # ledger account on the other side, where the verb leaves a choice
    approved_by: str = ""  # the second person


class ApprovalNeeded(Refused):
    """Right, but a second person must agree: the request is kept, and `account.approve` carries it out."""


class Rule(NamedTuple):
    """One condition of a verb: its code when it does not hold, and the sentence that says what to do."""

    code: str
    holds: Callable[[Purse, Wish], bool]
    mend: Callable[[Purse, Wish], str]


# --- the table of conditions -----------------------------------------------------------------------------------------

IS_OPEN: Final = Rule(
    "account.closed",
    lambda purse, wish: purse.state == OPEN,
    lambda purse, wish: f"{purse.account} is {purse.state}; money goes to the account of whoever lives there now",
)
HAS_REASON: Final = Rule(
    "account.reason",
    lambda purse, wish: bool(wish.reason.strip()),
    lambda purse, wish: "say why with --reason; it goes into the books",
)
POSITIVE: Final = Rule(
    "account.amount",
    lambda purse, wish: wish.amount_nano > 0 and wish.amount_nano % purse.coin_nano == 0,
    lambda purse, wish: f"an amount above zero in whole coins of {shown(purse.coin_nano)}",
)
NOT_ZERO: Final = Rule(
    "account.amount",
    lambda purse, wish: wish.amount_nano != 0 and wish.amount_nano % purse.coin_nano == 0,
    lambda purse, wish: f"an amount other than zero in whole coins of {shown(purse.coin_nano)}",
)
KNOWN_CHANNEL: Final = Rule(
    "account.channel",
    lambda purse, wish: wish.channel in ledger.CHANNELS,
    lambda purse, wish: f"channel {wish.channel!r}; allowed: {', '.join(ledger.CHANNELS)}",
)
CORRECTION_SIDES: Final = ("revenue:", "writeoff", "rounding")
REVENUES: Final = tuple(ledger.revenue(medium) for medium in (*MEDIA, "fees"))
DEBT_SIDES: Final = ("wallet", "opening", "revenue:", "writeoff")


def _one_of(sides: Sequence[str]) -> Rule:
    """Let one of some ledger accounts stand on the other side; "revenue:" is that of any medium, and of fees."""
    named = [name for side in sides for name in (REVENUES if side == "revenue:" else (side,))]
    return Rule(
        "account.against",
        lambda purse, wish: wish.against in named,
        lambda purse, wish: f"--against {wish.against!r}; allowed: {', '.join(named)}",
    )


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "topup": (
        IS_OPEN,
        Rule(
            "topup.channel",
            KNOWN_CHANNEL.holds,
            KNOWN_CHANNEL.mend,
        ),
        Rule(
            "topup.amount-below",
            lambda purse, wish: wish.amount_nano >= purse.limits.least_nano,
            lambda purse, wish: f"at least {shown(purse.limits.least_nano)} at once",
        ),
        Rule(
            "topup.amount-above",
            lambda purse, wish: wish.amount_nano <= purse.limits.most_nano,
            lambda purse, wish: f"at most {shown(purse.limits.most_nano)} at once; split the payment",
        ),
        Rule(
            "topup.amount-coins",
            lambda purse, wish: wish.amount_nano % purse.coin_nano == 0,
            lambda purse, wish: f"whole coins of {shown(purse.coin_nano)}",
        ),
        Rule(
            "topup.balance-above",
            lambda purse, wish: (
                purse.wallet_nano + split(purse, wish.amount_nano).wallet_nano <= purse.limits.hoarding_nano
            ),
            lambda purse, wish: (
                f"the balance may not pass the hoarding limit of {shown(purse.limits.hoarding_nano)}; "
                f"it is {shown(purse.wallet_nano)} now"
            ),
        ),
    ),
    "reversal": (
        Rule(
            "account.closed",
            lambda purse, wish: purse.state != CLOSED,
            lambda purse, wish: f"{purse.account} is closed and settled; what is left is between the people",
        ),
        HAS_REASON,
    ),
    "refund": (
        IS_OPEN,
        HAS_REASON,
        POSITIVE,
        KNOWN_CHANNEL,
        Rule(
            "refund.balance",
            lambda purse, wish: wish.amount_nano <= purse.own_nano,
            lambda purse, wish: (
                f"at most {shown(max(purse.own_nano, 0))}: the wallet of "
                f"{shown(purse.wallet_nano)} less debts, emergency credit and unused subsidy"
            ),
        ),
    ),
    "correction": (IS_OPEN, HAS_REASON, NOT_ZERO, _one_of(CORRECTION_SIDES)),
    "debt": (IS_OPEN, HAS_REASON, POSITIVE, _one_of(DEBT_SIDES)),
    "instalment": (
        IS_OPEN,
        POSITIVE,
        Rule(
            "debt.none",
            lambda purse, wish: wish.amount_nano <= purse.owed_nano,
            lambda purse, wish: f"the debt is {shown(purse.owed_nano)}; pay at most that",
        ),
        Rule(
            "debt.balance",
            lambda purse, wish: wish.amount_nano <= purse.wallet_nano - purse.unused_subsidy_nano,
            lambda purse, wish: f"the wallet holds {shown(purse.wallet_nano)}; top it up first",
        ),
    ),
    "emergency": (
        IS_OPEN,
        POSITIVE,
        Rule(
            "emergency.once",
            lambda purse, wish: purse.emergency_nano == 0,
            lambda purse, wish: f"{shown(purse.emergency_nano)} of the last one is not paid back; a top-up pays it",
        ),
        Rule(
            "emergency.limit",
            lambda purse, wish: wish.amount_nano <= purse.limits.emergency_nano,
            lambda purse, wish: f"class {purse.limits.id!r} grants at most {shown(purse.limits.emergency_nano)}",
        ),
    ),
    "subsidy": (IS_OPEN, HAS_REASON, POSITIVE),
    "property-fee": (IS_OPEN, HAS_REASON, POSITIVE),
    "property-payment": (IS_OPEN, POSITIVE, KNOWN_CHANNEL),
}

# Who must agree: verb -> (code, whether a second person is needed, sentence).
SECOND_PERSON: Final[Mapping[str, Rule]] = {
    "refund": Rule(
        "approval.refund",
        lambda purse, wish: wish.amount_nano > purse.limits.refund_limit_nano,
        lambda purse, wish: f"a refund above {shown(purse.limits.refund_limit_nano)} is approved by a second person",
    ),
    "correction": Rule(
        "approval.correction",
        lambda purse, wish: abs(wish.amount_nano) > purse.limits.correction_limit_nano,
        lambda purse, wish: (
            f"a correction above {shown(purse.limits.correction_limit_nano)} is approved by a second person"
        ),
    ),
    "reversal": Rule(
        "approval.reversal",
        lambda purse, wish: purse.wallet_nano < wish.amount_nano,  # amount: what comes out of the wallet
        lambda purse, wish: (
            f"the wallet holds {shown(purse.wallet_nano)}, the reversal takes "
            f"{shown(wish.amount_nano)}: a second person approves it"
        ),
    ),
}


def judge(purse: Purse, wish: Wish, rules: Iterable[Rule] | None = None) -> None:
    """Raise Refused with the first condition that does not hold, ApprovalNeeded when a second person must agree."""
    for rule in RULES[wish.verb] if rules is None else rules:
        if not rule.holds(purse, wish):
            raise Refused(rule.code, rule.mend(purse, wish))
    second = SECOND_PERSON.get(wish.verb)
    if second is not None and not wish.approved_by and second.holds(purse, wish):
        raise ApprovalNeeded(second.code, second.mend(purse, wish))


# --- top-up ----------------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """Where a payment goes, in the order in which it is distributed; the parts add up to it. Nano."""

    debt_nano: int
    emergency_nano: int
    wallet_nano: int


def split(purse: Purse, amount_nano: int) -> Split:
    """Distribute a payment: the recovery share to the debt, then emergency credit, then the wallet.

    The share is rounded down to a coin, and never more than is owed.
    """
    share_nano = amount_nano * purse.recovery_percent // PERCENT
    debt_nano = min(purse.owed_nano, share_nano - share_nano % purse.coin_nano)
    emergency_nano = min(purse.emergency_nano, amount_nano - debt_nano)
    return Split(debt_nano, emergency_nano, amount_nano - debt_nano - emergency_nano)


def top_up(purse: Purse, wish: Wish) -> Draft:
    """Money paid in through a channel."""
    judge(purse, wish)
    parts = split(purse, wish.amount_nano)
    entries = movement(
        (ledger.source_of(wish.channel), -wish.amount_nano),
        (debt(purse.account), parts.debt_nano),
        (emergency(purse.account), parts.emergency_nano),
        (ledger.wallet(purse.account), parts.wallet_nano),
    )
    return Draft(entries, wish.channel, {"account": purse.account, "split": parts._asdict()})


# --- what takes money back -------------------------------------------------------------------------------------------


def reversal(purse: Purse, wish: Wish, posted: Sequence[ledger.Entry], receipt: str) -> Draft:
    """The opposite of a top-up, entry by entry. wish.amount_nano: what the top-up had put into the wallet."""
    judge(purse, wish)
    entries = tuple((account, -nano) for account, nano in posted)
    return Draft(entries, wish.reason, _document(purse, wish, receipt=receipt))


def refund(purse: Purse, wish: Wish) -> Draft:
    """Money of the wallet paid back through a channel."""
    judge(purse, wish)
    entries = movement(
        (ledger.wallet(purse.account), -wish.amount_nano), (ledger.source_of(wish.channel), wish.amount_nano)
    )
    return Draft(entries, wish.reason, _document(purse, wish))


def correction(purse: Purse, wish: Wish) -> Draft:
    """A signed amount for the wallet (positive: in favour of the tenant) against revenue or losses."""
    judge(purse, wish)
    entries = movement((ledger.wallet(purse.account), wish.amount_nano), (wish.against, -wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish))


# --- debts, emergency credit, subsidies, property fees ---------------------------------------------------------------


def debt_added(purse: Purse, wish: Wish) -> Draft:
    """A debt to be recovered from top-ups. From the wallet: what is overdrawn becomes a debt, and supply may return."""
    judge(purse, wish)
    other = ledger.wallet(purse.account) if wish.against == "wallet" else wish.against
    entries = movement((debt(purse.account), -wish.amount_nano), (other, wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish))


def instalment(purse: Purse, wish: Wish) -> Draft:
    """A part of the debt paid from the wallet."""
    judge(purse, wish)
    entries = movement((ledger.wallet(purse.account), -wish.amount_nano), (debt(purse.account), wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish))


def emergency_granted(purse: Purse, wish: Wish) -> Draft:
    """Credit lent once; the next top-ups pay it back before anything reaches the wallet."""
    judge(purse, wish)
    entries = movement((emergency(purse.account), -wish.amount_nano), (ledger.wallet(purse.account), wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish))


def subsidy_granted(purse: Purse, wish: Wish, until_s: int) -> Draft:
    """A grant with a term: it lies in the wallet and is used before own money; the rest goes back at the end."""
    judge(purse, wish)
    entries = movement((SUBSIDIES, -wish.amount_nano), (ledger.wallet(purse.account), wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish, until_s=until_s))


def subsidy_cleared(purse: Purse, grant: str, unused_nano: int) -> Draft:
    """What a subsidy left at the end of its term goes back; nothing moves when it was used up."""
    entries = movement((ledger.wallet(purse.account), -unused_nano), (SUBSIDIES, unused_nano))
    return Draft(entries, grant, {"account": purse.account, "grant": grant, "unused_nano": unused_nano})


def property_fee(purse: Purse, wish: Wish) -> Draft:
    """A property fee claimed: owed by the property purse, never by the wallet."""
    judge(purse, wish)
    entries = movement((property_purse(purse.account), -wish.amount_nano), (FEES, wish.amount_nano))
    return Draft(entries, wish.reason, _document(purse, wish))


def property_payment(purse: Purse, wish: Wish) -> Draft:
    """A property fee paid, in money and not from the wallet."""
    judge(purse, wish)
    entries = movement(
        (ledger.source_of(wish.channel), -wish.amount_nano), (property_purse(purse.account), wish.amount_nano)
    )
    return Draft(entries, wish.reason or wish.channel, _document(purse, wish))


BUILDERS: Final[Mapping[str, Callable[[Purse, Wish], Draft]]] = {
    "topup": top_up,
    "refund": refund,
    "correction": correction,
    "debt": debt_added,
    "instalment": instalment,
    "emergency": emergency_granted,
    "property-fee": property_fee,
    "property-payment": property_payment,
}


# --- subsidies over time ---------------------------------------------------------------------------------------------


class Grant(NamedTuple):
    """One subsidy: its key, amount, end of its term, and the number of its transfer: charges booked later use it."""

    key: str
    nano: int
    until_s: int
    seq: int


class Use(NamedTuple):
    """What was taken from the wallet: when it began, its transfer, nano; below zero where it was given back."""

    at_s: int
    seq: int
    nano: int


def unused(grants: Sequence[Grant], uses: Iterable[Use]) -> dict[str, int]:
    """Return grant key -> what is left of it after the uses: max(0, grant - charges since, within its term).

    Grants that run at the same time are used up in the order in which they end.
    """
    left = {grant.key: grant.nano for grant in grants}
    order = sorted(grants, key=lambda grant: (grant.until_s, grant.seq))
    for use in sorted(uses, key=lambda use: (use.seq, use.at_s)):
        rest = use.nano
        for grant in order if rest > 0 else reversed(order):
            if grant.seq < use.seq and use.at_s < grant.until_s:
                taken = min(rest, left[grant.key]) if rest > 0 else max(rest, left[grant.key] - grant.nano)
                left[grant.key] -= taken
                rest -= taken
    return left


# --- names and numbers -----------------------------------------------------------------------------------------------


def debt(account: str) -> str:
    """Return the ledger account of what a tenant owes from before."""
    return f"debt:{account}"


def emergency(account: str) -> str:
    """Return the ledger account of emergency credit that is not paid back."""
    return f"emergency:{account}"


def property_purse(account: str) -> str:
    """Return the ledger account of property fees."""
    return f"property:{account}"


def movement(*entries: ledger.Entry) -> tuple[ledger.Entry, ...]:
    """Return the entries that move money; sides of nothing are left out."""
    return tuple((account, nano) for account, nano in entries if nano)


def shown(nano: int) -> str:
    """Return an amount as people write it, exact: at least two decimals, no trailing zeros beyond them."""
    sign, rest = ("-" if nano < 0 else ""), abs(nano)
    whole, fraction = divmod(rest, ledger.NANO_PER_UNIT)
    decimals = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def _document(purse: Purse, wish: Wish, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"account": purse.account, "verb": wish.verb, "amount_nano": wish.amount_nano}
    given = (("channel", wish.channel), ("against", wish.against), ("approved_by", wish.approved_by))
    return document | {name: value for name, value in given if value} | more
