"""Applies sql/0036_universes.sql."""

from eightbells.database.migrations import apply

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    apply("0036_universes.sql")
