"""Applies sql/0015_commands.sql."""

from eightbells.database.migrations import apply

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    apply("0015_commands.sql")
