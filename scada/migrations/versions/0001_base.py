"""0001_base: what the data base knows about itself."""

from alembic import op

revision = "0001_base"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE meta (
            key        text PRIMARY KEY,
            value      text NOT NULL,
            changed_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("COMMENT ON TABLE meta IS 'facts about this data base: site id, anchors, marks of background work'")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
