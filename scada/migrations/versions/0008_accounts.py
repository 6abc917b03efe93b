"""0008_accounts: tenants, accounts and tenancies that were opened while running; debts, grants, approvals."""

revision = "0008_accounts"
down_revision = "0007_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
