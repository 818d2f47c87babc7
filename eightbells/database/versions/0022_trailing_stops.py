"""Applies sql/0022_trailing_stops.sql."""

from eightbells.database.migrations import apply

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    apply("0022_trailing_stops.sql")
