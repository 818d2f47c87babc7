"""Applies sql/0009_totals.sql."""

from eightbells.database.migrations import apply

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    apply("0009_totals.sql")
