"""0005_history: placeholder until its owner writes it."""

revision = "0005_history"
down_revision = "0004_commands"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
