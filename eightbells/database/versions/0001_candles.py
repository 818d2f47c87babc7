"""Applies sql/0001_candles.sql."""

from eightbells.database.migrations import apply

revision = "0001"
down_revision = None


def upgrade() -> None:
    apply("0001_candles.sql")
