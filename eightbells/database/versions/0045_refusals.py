"""Applies sql/0045_refusals.sql."""

from eightbells.database.migrations import apply

revision = "0045"
down_revision = "0019"


def upgrade() -> None:
    apply("0045_refusals.sql")
