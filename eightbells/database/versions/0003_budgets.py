"""Applies sql/0003_budgets.sql."""

from eightbells.database.migrations import apply

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    apply("0003_budgets.sql")
