"""Applies sql/0038_universes.sql."""

from eightbells.database.migrations import apply

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    apply("0038_universes.sql")
