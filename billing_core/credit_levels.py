"""How an account stands: the states of credit, the table that decides between them, and what each step tells.

Source: practice of prepaid utilities; hysteresis: a threshold is armed again above 1.1 times its amount.
Rule: pure tables and thresholds. The numbers of states are in image, OPC UA and HMI: they never change.
"""

from typing import Final, NamedTuple

from billing_core.points import AccountSpec

STATES: Final = (
    "normal", "remind1", "remind2", "overdrawn", "pending_stop", "stopped", "protected", "frozen",
    "reconnect_permitted",
)  # fmt: skip
NORMAL: Final = 0
REMIND1: Final = 1  # below the first reminder, in money or in days
REMIND2: Final = 2  # below the last warning
OVERDRAWN: Final = 3  # at or below zero, within the overdraft
PENDING_STOP: Final = 4  # overdraft used up; the stop is due when notices, hours, grace and guards allow
STOPPED: Final = 5  # supply was switched off for want of credit
PROTECTED: Final = 6  # overdraft used up and never switched off (保电)
FROZEN: Final = 7  # overdraft used up and data not fit to decide on
RECONNECT_PERMITTED: Final = 8  # switched off, and the balance or a protection allows supply again

STOPS_HELD: Final = ("none", "mass_guard", "clock", "protected", "paused")  # why no supply is switched off at all
LEVELS: Final = (NORMAL, REMIND1, REMIND2, OVERDRAWN)
EXHAUSTED: Final = (PENDING_STOP, PROTECTED, FROZEN)


class Standing(NamedTuple):
    """What decides an account's state in one scan."""

    level: int  # of LEVELS; OVERDRAWN as well when the overdraft is used up
    exhausted: bool  # overdraft used up
    cut: bool  # a switch-off by credit is in force
    returns: bool  # balance or protection allows supply
    protected: bool  # nobody may switch it off for want of credit
    fit: bool  # registers and positions are good enough to decide on


# The first row that fits decides. None: any value; a level: its own number.
#                        exhausted cut    returns protected fit    -> state
DECISIONS: Final[tuple[tuple[tuple[bool | None, ...], int | None], ...]] = (
    ((None,  True,  True,  None,  None),  RECONNECT_PERMITTED),
    ((None,  True,  False, None,  None),  STOPPED),
    ((False, False, None,  None,  None),  None),  # the level itself
    ((True,  False, None,  True,  None),  PROTECTED),
    ((True,  False, None,  False, False), FROZEN),
    ((True,  False, None,  False, True),  PENDING_STOP),
)  # fmt: skip

# Notice on the way from a state (row) to another (column), in the order of STATES: 1 first reminder, 2 last warning,
# o overdrawn, F final notice with the time of the stop, d debt grows under protection, s switched off, p supply may
# return, r supply has returned, . nothing is told. Upwards nothing is told: the top-up's receipt says it.
#                        nor r1 r2 ov pe st pr fr re
NOTICES_TABLE: Final = """
    normal               .  1  2  o  F  s  d  .  p
    remind1              .  .  2  o  F  s  d  .  p
    remind2              .  .  .  o  F  s  d  .  p
    overdrawn            .  .  .  .  F  s  d  .  p
    pending_stop         .  .  .  .  .  s  d  .  p
    stopped              r  r  r  r  F  .  d  .  p
    protected            .  .  .  .  F  s  .  .  p
    frozen               .  .  .  .  F  s  d  .  p
    reconnect_permitted  r  r  r  r  F  s  d  .  .
"""
LETTERS: Final = {
    ".": "", "1": "remind1", "2": "remind2", "o": "overdrawn", "F": "final", "d": "debt", "s": "stopped",
    "p": "permitted", "r": "restored",
}  # fmt: skip


def _notices() -> dict[tuple[int, int], str]:
    rows = (line.split() for line in NOTICES_TABLE.strip().splitlines())
    return {(STATES.index(name), to): LETTERS[letter] for name, *letters in rows for to, letter in enumerate(letters)}


NOTICES: Final[dict[tuple[int, int], str]] = _notices()  # (from, to) -> kind of notice, "" for none

# Why a supply that is due is not switched now, or what was asked for. Every refusal has one of these words.
REASONS: Final = {
    "credit.exhausted": "overdraft used up",
    "credit.topped-up": "balance allows supply again",
    "credit.restored-protected": "the supply is protected",
    "credit.reassigned": "the breaker carries another tenant's supply",
    "credit.manual": "automatic switching is off in the configuration",
    "credit.protected": "the tenant or the breaker is protected",
    "credit.paused": "credit control is paused",
    "credit.disputed": "the bill is disputed",
    "credit.data-bad": "a register of the tenant is not good or is held",
    "credit.clock": "the clock jumped; stops wait until it is steady",
    "credit.grace": "grace after the last warning",
    "credit.notice": "the final notice was not delivered long enough ago",
    "credit.notice-again": "the reminder before the stop was not delivered long enough ago",
    "credit.friendly-hours": "friendly hours",
    "credit.mass-guard": "too many tenants fell due at once; a person decides",
    "credit.rate": "enough switch-offs in this interval",
    "credit.load": "enough load switched off in this interval",
    "credit.position": "position of the breaker is not known",
    "credit.retry": "waiting to try again",
    "credit.by-hand": "this supply is closed on the spot only",
    "credit.spacing": "supplies return one after the other",
}


def next_state(standing: Standing) -> int:
    """Return the state that DECISIONS gives an account that stands so."""
    facts = standing[1:]
    for pattern, state in DECISIONS:
        if all(wanted is None or wanted == fact for wanted, fact in zip(pattern, facts, strict=True)):
            return standing.level if state is None else state
    raise AssertionError(f"no row of DECISIONS fits {standing}")


def thresholds(account: AccountSpec, daily_nano: int, days1: int, days2: int) -> tuple[int, int]:
    """Return the balances below which the first and the second reminder are due: an amount, or days of usual use.

    daily_nano: what a day usually costs, 0 when that is not known yet
    """
    return max(account.alarm1_nano, days1 * daily_nano), max(account.alarm2_nano, days2 * daily_nano)


def level(account: AccountSpec, committed_nano: int, before: int, limits: tuple[int, int]) -> int:
    """Return the level of LEVELS a committed balance stands at.

    before: the state so far; a reminder once given stays until the balance is a tenth above its threshold.
    limits: as `thresholds` returns them
    """
    if committed_nano <= 0:
        return OVERDRAWN
    for reminder, threshold_nano in ((REMIND2, limits[1]), (REMIND1, limits[0])):
        armed = before != NORMAL and before >= reminder
        if committed_nano < (threshold_nano + threshold_nano // 10 if armed else threshold_nano):
            return reminder
    return NORMAL


def is_exhausted(account: AccountSpec, committed_nano: int) -> bool:
    """Tell whether a committed balance has used up the overdraft."""
    return committed_nano <= -account.overdraft_nano


def may_return(account: AccountSpec, committed_nano: int) -> bool:
    """Tell whether a committed balance allows supply to return."""
    return committed_nano >= account.reconnect_nano and not is_exhausted(account, committed_nano)
