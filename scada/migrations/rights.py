"""Who may do what in the data base: roles without login that the rooms' connections take on, and the tables' guards.

    ledger      the core's books and what belongs to them: adds to append-only tables, keeps projections
    history     values over time and the journals
    users       accounts of people and their sessions
    read        reads

A migration that makes a table calls `append_only` or `projection` for it, once, and is done: trigger, grants and the
reading roles follow. Where the login of the site's own server may not make roles, the triggers stand alone and the
program says so.
"""

from typing import Final

from alembic import op
from loguru import logger
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

LEDGER: Final = "wattkeeper_ledger"
HISTORY: Final = "wattkeeper_history"
USERS: Final = "wattkeeper_users"
READ: Final = "wattkeeper_read"
ROLES: Final = (LEDGER, HISTORY, USERS, READ)
SCHEMA: Final = "wattkeeper"


def make_roles() -> bool:
    """Make the roles, let this login take them on, open the schema to them. False where that is not allowed."""
    bind = op.get_bind()
    try:
        with bind.begin_nested():
            for role in ROLES:
                # Roles belong to the server, not to one data base: another one may have made them already.
                if not bind.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar():
                    bind.execute(text(f"CREATE ROLE {role} NOLOGIN"))
                member = text("SELECT pg_has_role(current_user, :role, 'MEMBER')")
                if not bind.execute(member, {"role": role}).scalar():
                    bind.execute(text(f"GRANT {role} TO CURRENT_USER"))
                bind.execute(text(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}"))
    except ProgrammingError as error:
        logger.warning(
            "this login may not make roles ({}): the books are guarded by triggers alone. Let an administrator run"
            " 'CREATE ROLE name NOLOGIN; GRANT name TO login' for {} before the first start to have both",
            str(error.orig).strip(), ", ".join(ROLES),
        )  # fmt: skip
        return False
    return True


def roles_made() -> bool:
    """Tell whether every role is there and this login may take it on."""
    found = op.get_bind().execute(
        text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:roles) AND pg_has_role(current_user, oid, 'MEMBER')"),
        {"roles": list(ROLES)},
    )
    return found.scalar() == len(ROLES)


def give(role: str, *relations: str) -> None:
    """Make a role the owner of tables whose partitions it makes and drops; everybody reads them."""
    if not roles_made():
        return
    op.execute(f"GRANT CREATE ON SCHEMA {SCHEMA} TO {role}")
    for relation in relations:
        op.execute(f"ALTER TABLE {relation} OWNER TO {role}")
        op.execute(f"GRANT SELECT ON {relation} TO {', '.join(ROLES)}")


def append_only(*tables: str, writer: str = LEDGER) -> None:
    """Guard tables whose rows stand for ever: the writer adds and reads, everybody else reads; a trigger besides."""
    for table in tables:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        grant(table, "SELECT, INSERT", writer)


def projection(*tables: str, writer: str = LEDGER) -> None:
    """Let the writer keep tables that follow from append-only ones, or are settings; everybody else reads."""
    for table in tables:
        grant(table, "SELECT, INSERT, UPDATE, DELETE", writer)


def readable(*views: str) -> None:
    """Let every role read views."""
    for view in views:
        grant(view, "SELECT", READ)


def grant(table: str, rights: str, writer: str) -> None:
    """Give a table's writer its rights and every role the right to read it, and nothing else to anybody."""
    if not roles_made():
        return
    op.execute(f"REVOKE ALL ON {table} FROM PUBLIC, {', '.join(ROLES)}")
    op.execute(f"GRANT SELECT ON {table} TO {', '.join(ROLES)}")
    op.execute(f"GRANT {rights} ON {table} TO {writer}")
