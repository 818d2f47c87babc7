"""Applies sql/0024_delistings.sql."""

from eightbells.database.migrations import apply

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    apply("0024_delistings.sql")
