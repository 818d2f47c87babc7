"""Applies sql/0016_pauses.sql."""

from eightbells.database.migrations import apply

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    apply("0016_pauses.sql")
