"""0001_base: placeholder until its owner writes it."""

revision = "0001_base"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
