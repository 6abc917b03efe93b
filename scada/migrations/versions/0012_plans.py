"""0012_plans: which body of a plan is in force, so that the next one can be held against it."""

from alembic import op

from scada.migrations import rights

revision = "0012_plans"
down_revision = "0011_credit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE plan_in_force (plan text PRIMARY KEY, body bytea NOT NULL REFERENCES tariff_version)")
    op.execute(
        "INSERT INTO plan_in_force SELECT DISTINCT ON (tariff) tariff, hash FROM tariff_version"
        " ORDER BY tariff, first_used DESC, hash"
    )
    op.execute(
        "COMMENT ON TABLE plan_in_force IS 'projection: the body that a plan was last started or published with'"
    )
    rights.projection("plan_in_force")


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
