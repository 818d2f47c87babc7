"""Applies sql/0037_universe.sql."""

from eightbells.database.migrations import apply

revision = "0037"
down_revision = "0035"


def upgrade() -> None:
    apply("0037_universe.sql")
