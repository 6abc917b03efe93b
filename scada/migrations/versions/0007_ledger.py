"""0007_ledger: the chain carries documents; charges know tier, position and method; who may write what."""

revision = "0007_ledger"
down_revision = "0006_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
