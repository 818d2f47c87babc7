"""Applies sql/0018_fees.sql."""

from eightbells.database.migrations import apply

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    apply("0018_fees.sql")
