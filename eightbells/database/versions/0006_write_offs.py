"""Applies sql/0006_write_offs.sql."""

from eightbells.database.migrations import apply

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    apply("0006_write_offs.sql")
