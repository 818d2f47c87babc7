"""Applies sql/0035_bounded_reads.sql."""

from eightbells.database.migrations import apply

revision = "0035"
down_revision = "0030"


def upgrade() -> None:
    apply("0035_bounded_reads.sql")
