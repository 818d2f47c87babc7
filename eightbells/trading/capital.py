"""The capital of each strategy in the books. A change of it is a flow: it is neither profit nor loss."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.database import locks
from eightbells.settings import Settings
from eightbells.trading import valuation

_NONE = Decimal(0)


def record_capital(connection: Connection, settings: Settings, at: datetime) -> dict[str, Decimal]:
    """Note how the settings' capital differs from the books'. Returns by how much, by strategy.

    A strategy that is not in the settings any more keeps its capital until it holds nothing that can be sold.

    Args:
        at: the exchange's time.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:key, hashtext(:account))"),
        {"key": locks.CAPITAL, "account": settings.account},
    )
    recorded = capital_of(connection, settings.account)
    wanted = {strategy.name: strategy.capital for strategy in settings.strategies}
    gone = {name for name, amount in recorded.items() if amount and name not in wanted}
    if gone:
        held = {
            it.strategy for it in valuation.position_reports(connection, settings) if it.quantity > it.dust
        }
        wanted |= {name: recorded[name] if name in held else _NONE for name in gone}
    changes = {name: amount - recorded.get(name, _NONE) for name, amount in wanted.items()}
    changes = {name: amount for name, amount in changes.items() if amount}
    for name, amount in changes.items():
        connection.execute(
            text(
                "INSERT INTO capital_changes (account, strategy, amount, at) "
                "VALUES (:account, :strategy, :amount, :at)"
            ),
            {"account": settings.account, "strategy": name, "amount": amount, "at": at},
        )
    if not recorded and changes:  # the cycles of a version that did not note it
        connection.execute(
            text("UPDATE cycles SET capital = :total WHERE account = :account"),
            {"total": sum(changes.values(), _NONE), "account": settings.account},
        )
    return changes


def capital_of(connection: Connection, account: str) -> dict[str, Decimal]:
    """The capital of each strategy that ever had any."""
    rows = connection.execute(
        text(
            "SELECT strategy, sum(amount) AS amount FROM capital_changes WHERE account = :account GROUP BY strategy"
        ),
        {"account": account},
    )
    return {row.strategy: row.amount for row in rows}
