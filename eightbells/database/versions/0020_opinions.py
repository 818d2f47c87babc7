"""Applies sql/0020_opinions.sql."""

from eightbells.database.migrations import apply

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    apply("0020_opinions.sql")
