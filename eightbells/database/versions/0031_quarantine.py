"""Applies sql/0031_quarantine.sql."""

from eightbells.database.migrations import apply

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    apply("0031_quarantine.sql")
