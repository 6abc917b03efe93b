"""0009_meters: meter events: releases, swaps, ratios, late readings."""

revision = "0009_meters"
down_revision = "0008_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
