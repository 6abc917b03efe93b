"""0006_users: who may use the HMI, and the open sessions. Written by the hmi room and `run.py user`."""

from alembic import op

revision = "0006_users"
down_revision = "0005_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE wattkeeper.app_user (
            login          text PRIMARY KEY CHECK (login ~ '^[a-z0-9][a-z0-9._-]{0,31}$'),
            password_hash  text NOT NULL,  -- argon2id, with its parameters and salt
            role           text NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer', 'finance', 'admin')),
            disabled       boolean NOT NULL DEFAULT false,
            must_change    boolean NOT NULL DEFAULT true,  -- the password was chosen by somebody else
            created        timestamptz NOT NULL DEFAULT now(),
            changed        timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE wattkeeper.app_session (
            token_hash  bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),  -- SHA-256; the token is never stored
            login       text NOT NULL REFERENCES wattkeeper.app_user ON DELETE CASCADE,
            created     timestamptz NOT NULL,
            last_seen   timestamptz NOT NULL,
            expires     timestamptz NOT NULL,  -- absolute end, whatever happens
            address     text NOT NULL
        );
        CREATE INDEX app_session_login ON wattkeeper.app_session (login);
        """
    )


def downgrade() -> None:
    raise NotImplementedError("the books are never migrated backwards; restore a backup instead")
