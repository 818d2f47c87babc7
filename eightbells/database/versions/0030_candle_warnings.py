"""Applies sql/0030_candle_warnings.sql."""

from eightbells.database.migrations import apply

revision = "0030"
down_revision = "0027"


def upgrade() -> None:
    apply("0030_candle_warnings.sql")
