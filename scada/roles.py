"""Who may do what: one table, asked by the HMI before it shows a control and by the core before it acts."""

from typing import Final, Literal, get_args

from scada.errors import Refused

Role = Literal["viewer", "operator", "engineer", "finance", "admin", "system"]
Permission = Literal[
    "view",
    "alarm.acknowledge",
    "breaker.switch",
    "account.view",
    "account.topup",  # money in at the counter
    "account.manage",  # open, refund, reverse, correct, transfer, move out, settle
    "account.approve",  # be the second person of a refund or correction above the limit
    "credit.manage",  # protect, pause, dispute
    "field.ask",  # read any register of the field, and the frames on its lines
    "meter.manage",  # release or reject readings, swap, ratio, late readings
    "tariff.publish",
    "user.manage",
]

PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    "viewer": frozenset({"view"}),
    "operator": frozenset({"view", "alarm.acknowledge", "breaker.switch", "account.view", "credit.manage"}),
    "engineer": frozenset({"view", "alarm.acknowledge", "account.view", "field.ask", "meter.manage"}),
    # finance never switches a supply, operators never touch money or prices
    "finance": frozenset({"view", "account.view", "account.topup", "account.manage", "account.approve"}),
    "admin": frozenset(get_args(Permission)),
    # credit control, timed plans, settlement
    "system": frozenset({"alarm.acknowledge", "breaker.switch", "account.topup", "account.manage"}),
}


def allowed(role: str, permission: Permission) -> bool:
    """Tell whether a role has a permission; an unknown role has none."""
    return permission in PERMISSIONS.get(role, frozenset())  # type: ignore[call-overload]


def require(role: str, permission: Permission) -> None:
    """Raise Refused("role", ...) when a role lacks a permission."""
    if not allowed(role, permission):
        raise Refused("role", f"role {role!r} has no permission {permission!r}")
