"""Applies sql/0027_quarantine.sql."""

from eightbells.database.migrations import apply

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    apply("0027_quarantine.sql")
