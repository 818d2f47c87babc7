"""Applies sql/0012_unknown_status.sql."""

from eightbells.database.migrations import apply

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    apply("0012_unknown_status.sql")
