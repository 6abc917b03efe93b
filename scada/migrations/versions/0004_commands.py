"""0004_commands: placeholder until its owner writes it."""

revision = "0004_commands"
down_revision = "0003_alarms"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
