"""Applies sql/0010_reasons.sql."""

from eightbells.database.migrations import apply

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    apply("0010_reasons.sql")
