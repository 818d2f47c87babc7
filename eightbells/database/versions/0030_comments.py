"""Applies sql/0030_comments.sql."""

from eightbells.database.migrations import apply

revision = "0030"
down_revision = "0021"


def upgrade() -> None:
    apply("0030_comments.sql")
