"""0010_settlement: assessments, demand, settlements, statements."""

revision = "0010_settlement"
down_revision = "0009_meters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
