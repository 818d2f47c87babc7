"""Applies sql/0017_capital.sql."""

from eightbells.database.migrations import apply

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    apply("0017_capital.sql")
