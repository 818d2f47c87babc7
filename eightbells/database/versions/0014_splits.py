"""Applies sql/0014_splits.sql."""

from eightbells.database.migrations import apply

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    apply("0014_splits.sql")
