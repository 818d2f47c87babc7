"""Applies sql/0039_pairs_in_flight.sql."""

from eightbells.database.migrations import apply

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    apply("0039_pairs_in_flight.sql")
