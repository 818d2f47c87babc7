"""Applies sql/0008_drifts.sql."""

from eightbells.database.migrations import apply

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    apply("0008_drifts.sql")
