"""Applies sql/0002_trading.sql."""

from eightbells.database.migrations import apply

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    apply("0002_trading.sql")
