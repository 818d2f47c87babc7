"""Applies sql/0005_mode.sql."""

from eightbells.database.migrations import apply

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    apply("0005_mode.sql")
