"""0003_alarms: placeholder until its owner writes it."""

revision = "0003_alarms"
down_revision = "0002_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
