"""Applies sql/0013_protection.sql."""

from eightbells.database.migrations import apply

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    apply("0013_protection.sql")
