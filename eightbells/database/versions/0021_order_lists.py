"""Applies sql/0021_order_lists.sql."""

from eightbells.database.migrations import apply

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    apply("0021_order_lists.sql")
