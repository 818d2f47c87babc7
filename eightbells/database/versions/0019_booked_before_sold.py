"""Applies sql/0019_booked_before_sold.sql."""

from eightbells.database.migrations import apply

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    apply("0019_booked_before_sold.sql")
