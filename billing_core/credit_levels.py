"""How a balance reads: the states of credit, which may follow which, and the level a balance stands at.

Source: practice of prepaid utilities; hysteresis: a threshold is armed again above 1.1 times its amount.
"""

from typing import Final

from billing_core.points import AccountSpec

STATES: Final = ("normal", "remind1", "remind2", "overdrawn", "pending_stop", "stopped", "protected", "frozen")
NORMAL: Final = 0
REMIND1: Final = 1  # below the first reminder
REMIND2: Final = 2  # below the last warning
OVERDRAWN: Final = 3  # at or below zero, within the overdraft
PENDING_STOP: Final = 4  # overdraft used up; the stop is due when grace and guards allow
STOPPED: Final = 5  # supply was switched off for want of credit
PROTECTED: Final = 6  # overdraft used up and never switched off (保电)
FROZEN: Final = 7  # overdraft used up and data not fit to decide on

LEVELS: Final = (NORMAL, REMIND1, REMIND2, OVERDRAWN)
EXHAUSTED: Final = (PENDING_STOP, PROTECTED, FROZEN)

# From a state to those that may follow it at once. Supply returns only by a balance that allows it.
TRANSITIONS: Final[dict[int, frozenset[int]]] = {
    **{level: frozenset({*LEVELS, *EXHAUSTED, STOPPED}) - {level} for level in LEVELS},
    PENDING_STOP: frozenset({*LEVELS, PROTECTED, FROZEN, STOPPED}),
    STOPPED: frozenset({*LEVELS, *EXHAUSTED}),
    PROTECTED: frozenset({*LEVELS, PENDING_STOP, FROZEN, STOPPED}),
    FROZEN: frozenset({*LEVELS, PENDING_STOP, PROTECTED, STOPPED}),
}

# Why a supply that is due is not switched now, or what was asked for. Every refusal has one of these words.
REASONS: Final = {
    "credit.exhausted": "overdraft used up",
    "credit.topped-up": "balance allows supply again",
    "credit.reassigned": "the breaker carries another tenant's supply",
    "credit.manual": "automatic switch-off is off in the configuration",
    "credit.protected": "the tenant or the breaker is protected",
    "credit.data-bad": "a register of the tenant is not good or is held",
    "credit.grace": "grace after the last warning",
    "credit.friendly-hours": "friendly hours",
    "credit.mass-guard": "too many tenants fell due at once; a person decides",
    "credit.rate": "enough switch-offs in this interval",
    "credit.load": "enough load switched off in this interval",
    "credit.position": "position of the breaker is not known",
    "credit.retry": "waiting to try again",
    "credit.by-hand": "this supply is closed on the spot only",
    "credit.spacing": "supplies return one after the other",
}


def level(account: AccountSpec, committed_nano: int, before: int) -> int | None:
    """Return the level a committed balance stands at, None when the overdraft is used up.

    before: the state so far; a reminder once given stays until the balance is a tenth above its threshold.
    """
    if committed_nano <= -account.overdraft_nano:
        return None
    if committed_nano <= 0:
        return OVERDRAWN
    for reminder, threshold_nano in ((REMIND2, account.alarm2_nano), (REMIND1, account.alarm1_nano)):
        armed = before != NORMAL and before >= reminder
        if committed_nano < (threshold_nano + threshold_nano // 10 if armed else threshold_nano):
            return reminder
    return NORMAL
