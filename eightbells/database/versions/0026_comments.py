"""Applies sql/0026_comments.sql."""

from eightbells.database.migrations import apply

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    apply("0026_comments.sql")
