"""Who may do what: one table, asked by the HMI before it shows a control and by the core before it acts."""

from typing import Final, Literal

from scada.errors import Refused

Role = Literal["viewer", "operator", "engineer", "finance", "admin", "system"]
Permission = Literal["view", "alarm.acknowledge", "breaker.switch", "account.view", "account.topup", "user.manage"]

PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    "viewer": frozenset({"view"}),
    "operator": frozenset({"view", "alarm.acknowledge", "breaker.switch", "account.view"}),
    "engineer": frozenset({"view", "alarm.acknowledge", "account.view"}),
    "finance": frozenset({"view", "account.view", "account.topup"}),  # finance never switches a supply
    "admin": frozenset({"view", "alarm.acknowledge", "breaker.switch", "account.view", "account.topup", "user.manage"}),
    "system": frozenset({"alarm.acknowledge", "breaker.switch", "account.topup"}),  # credit control, timed plans
}


def allowed(role: str, permission: Permission) -> bool:
    """Tell whether a role has a permission; an unknown role has none."""
    return permission in PERMISSIONS.get(role, frozenset())  # type: ignore[call-overload]


def require(role: str, permission: Permission) -> None:
    """Raise Refused("role", ...) when a role lacks a permission."""
    if not allowed(role, permission):
        raise Refused("role", f"role {role!r} has no permission {permission!r}")
