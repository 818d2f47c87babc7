"""Applies sql/0011_denied_and_rejected.sql."""

from eightbells.database.migrations import apply

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    apply("0011_denied_and_rejected.sql")
