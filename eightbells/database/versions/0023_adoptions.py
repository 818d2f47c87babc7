"""Applies sql/0023_adoptions.sql."""

from eightbells.database.migrations import apply

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    apply("0023_adoptions.sql")
