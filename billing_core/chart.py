"""The chart of accounts and the kinds of transfer: what may be posted where, and what people call it.

Rule: pure tables. A new kind of transfer or account is a line here; the data base checks the spelling only, so that a
new line needs no migration. Sign: positive credits an account.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from scada.errors import Refused


class AccountKind(NamedTuple):
    """One kind of ledger account. `wallet:t1` is of the kind "wallet"; `cash` is one account of its own kind."""

    name_zh: str
    name_en: str
    of_tenant: bool = False  # what follows the colon is a tenant's account, whose wallet must be open


ACCOUNTS: Final[Mapping[str, AccountKind]] = {
    "wallet": AccountKind("钱包", "Wallet", True),  # what the tenant still has
    "revenue": AccountKind("收入", "Revenue"),  # by medium, and revenue:fees
    "tax": AccountKind("税金", "Tax"),  # tax:vat
    "cash": AccountKind("现金", "Cash"),  # below zero by what was received
    "clearing": AccountKind("待清算", "Clearing"),  # by channel, as cash until the bank's statement matches
    "subsidies": AccountKind("补助", "Subsidies"),
    "rounding": AccountKind("尾差", "Rounding"),
    "opening": AccountKind("期初", "Opening balances"),
    "debt": AccountKind("欠费", "Debt", True),  # below zero by what the tenant owes
    "emergency": AccountKind("应急额度", "Emergency credit", True),  # below zero by what was lent
    "property": AccountKind("物业费", "Property fees", True),  # never counts towards a stop
    "deposit": AccountKind("押金", "Deposit", True),
    "shares": AccountKind("公摊", "Shared costs"),
    "writeoff": AccountKind("核销", "Written off"),
}

TRANSFERS: Final[Mapping[str, tuple[str, str]]] = {
    "charge": ("用量扣费", "Charge"),
    "topup": ("充值", "Top-up"),
    "opening": ("期初余额", "Opening balance"),
    "reversal": ("冲正", "Reversal"),
    "refund": ("退费", "Refund"),
    "correction": ("调账", "Correction"),
    "restatement": ("重算", "Restatement"),
    "change": ("变更", "Change"),
    "account": ("开户", "Account"),
    "tenancy": ("租约", "Tenancy"),
    "handover": ("过户", "Change of owner"),
    "moveout": ("退租结算", "Move-out"),
    "transfer": ("转账", "Transfer"),
    "fee": ("费用", "Fee"),
    "fixed": ("固定费用", "Fixed charge"),
    "demand": ("需量电费", "Demand charge"),
    "capacity": ("容量电费", "Capacity charge"),
    "powerfactor": ("力调电费", "Power factor adjustment"),
    "minimum": ("保底费", "Minimum charge"),
    "allowance": ("基础用量返还", "Base quantity"),
    "share": ("公摊", "Share of common use"),
    "property": ("物业费", "Property fee"),
    "grant": ("补助", "Subsidy"),
    "expiry": ("补助到期", "Subsidy expired"),
    "debt": ("欠费", "Debt"),
    "recovery": ("欠费扣回", "Debt recovery"),
    "emergency": ("应急额度", "Emergency credit"),
    "writeoff": ("核销", "Written off"),
    "tax": ("税金", "Tax"),
    "rounding": ("尾差", "Rounding"),
    "settlement": ("结算", "Settlement"),
    "statement": ("账单", "Statement"),
    "reconciliation": ("对账", "Bank reconciliation"),
    "approval": ("审批", "Approval"),
    "credit": ("信用", "Credit state"),
    "quarantine": ("隔离", "Quarantine"),
    "anchor": ("账簿锚定", "Anchor of the books"),
}


def kind_of(account: str) -> str:
    """Return the kind of a ledger account; Refused "ledger.account" when the chart has no such account."""
    kind, colon, rest = account.partition(":")
    if kind not in ACCOUNTS or (colon and not rest) or (ACCOUNTS[kind].of_tenant and not rest):
        known = ", ".join(name + ":..." * of_tenant for name, (_, _, of_tenant) in ACCOUNTS.items())
        raise Refused("ledger.account", f"{account!r} is no account of the chart; there are {known}")
    return kind


def tenant_of(account: str) -> str:
    """Return the tenant's account that a ledger account belongs to, "" for the site's own."""
    kind, _, rest = account.partition(":")
    return rest if kind in ACCOUNTS and ACCOUNTS[kind].of_tenant else ""


def names_of(account: str) -> tuple[str, str]:
    """Return the Chinese and the English name of an account that nobody named otherwise."""
    known = ACCOUNTS[kind_of(account)]
    rest = account.partition(":")[2]
    return f"{known.name_zh} {rest}".rstrip(), f"{known.name_en} {rest}".rstrip()
