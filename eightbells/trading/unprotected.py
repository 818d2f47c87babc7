"""Holdings that the guardian's last look found without a stop and without a sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Unprotected:
    """A holding that should have a stop or be on sale, and is neither. `since` is the exchange's time."""

    strategy: str
    symbol: str
    reason: str
    since: datetime

    @property
    def words(self) -> str:
        return f"{self.symbol} of {self.strategy} has neither a stop nor a sale: {self.reason}"


def unprotected(connection: Connection, account: str) -> list[Unprotected]:
    """The holdings that the last look found unprotected."""
    rows = connection.execute(
        text(
            "SELECT strategy, symbol, reason, since FROM unprotected WHERE account = :account "
            "ORDER BY since, strategy, symbol"
        ),
        {"account": account},
    )
    return [Unprotected(*row) for row in rows]
