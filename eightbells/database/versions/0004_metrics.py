"""Applies sql/0004_metrics.sql."""

from eightbells.database.migrations import apply

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    apply("0004_metrics.sql")
