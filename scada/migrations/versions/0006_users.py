"""0006_users: placeholder until its owner writes it."""

revision = "0006_users"
down_revision = "0005_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
