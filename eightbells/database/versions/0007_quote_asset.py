"""Applies sql/0007_quote_asset.sql."""

from eightbells.database.migrations import apply

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    apply("0007_quote_asset.sql")
