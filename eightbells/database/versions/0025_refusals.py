"""Applies sql/0025_refusals.sql."""

from eightbells.database.migrations import apply

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    apply("0025_refusals.sql")
