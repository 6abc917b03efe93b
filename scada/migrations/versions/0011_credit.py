"""0011_credit: notices, protections, pauses, disputes."""

revision = "0011_credit"
down_revision = "0010_settlement"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
