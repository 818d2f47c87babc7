"""Valuation: what positions, strategies and the account are worth at a candle's close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import SymbolRules
from eightbells.settings import Settings
from eightbells.trading import ledger
from eightbells.trading.costs import holdings
from eightbells.trading.ledger import Holding
from eightbells.trading.risk import Exposure
from eightbells.trading.sizing import sellable


def positions_held(connection: Connection, account: str) -> list[tuple[str, str]]:
    """Strategy and symbol of each position that is more than dust, valued at the newest close."""
    query = text(f"SELECT * FROM ({_HELD}) AS positions WHERE quantity > 0 ORDER BY symbol, strategy")
    rows = connection.execute(query, {"account": account, "opened": "infinity"}).all()
    known = rules.load_all(connection, {row.symbol for row in rows})
    return [
        (row.strategy, row.symbol)
        for row in rows
        if _is_worth(row.quantity, row.close, known.get(row.symbol))
    ]


def symbols_held(connection: Connection, account: str) -> list[str]:
    """The symbols of which any strategy holds more than dust."""
    return list(dict.fromkeys(symbol for _, symbol in positions_held(connection, account)))


def _is_worth(quantity: Decimal, price: Decimal, symbol_rules: SymbolRules | None) -> bool:
    """Whether a quantity is more than dust; it is where that is not known."""
    if symbol_rules is None or not price:
        return True
    return sellable(quantity, price, symbol_rules, market=False) > 0


# What is held, at the newest close up to the candle's: a candle that is missing makes nothing worthless.
_HELD = """
SELECT
    p.strategy, p.symbol, p.quantity, p.quote_flow, p.fees, coalesce(v.price, 0) AS close,
    p.quantity * coalesce(v.price, 0) AS value
FROM positions AS p
CROSS JOIN LATERAL (
    SELECT value_price(p.account, p.symbol, CAST(:opened AS timestamptz)) AS price
) AS v
WHERE p.account = :account
"""


_EXPOSURE = f"""
SELECT symbol, sum(value) FROM (
    SELECT symbol, value FROM ({_HELD}) AS positions
    UNION ALL
    SELECT o.symbol, (o.quantity - o.executed_quantity) * coalesce(o.price, s.price)
    FROM live_orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
    WHERE o.account = :account AND o.side = 'BUY'
) AS held GROUP BY symbol
"""


_FIRST_OF_DAY = """
SELECT equity - capital FROM cycles WHERE account = :account AND open_time >= date_trunc('day', :opened, 'UTC')
AND open_time <= :opened ORDER BY open_time LIMIT 1
"""


def exposure(connection: Connection, settings: Settings, open_ms: int) -> Exposure:
    """What is held and ordered, valued at the candle's closes, and what the day has lost so far."""
    values = _at(settings, open_ms)
    by_symbol: dict[str, Decimal] = dict(connection.execute(text(_EXPOSURE), values).all())  # type: ignore[arg-type]
    first: Decimal | None = connection.execute(text(_FIRST_OF_DAY), values).scalar_one_or_none()
    present = equity(connection, settings, open_ms)
    profit = present - ledger.capital(connection, settings.account)
    lost = Decimal(0) if first is None else max(Decimal(0), first - profit)
    ordered: int = connection.execute(
        text("SELECT count(*) FROM orders WHERE account = :account AND open_time = :opened AND side = 'BUY'"),
        values,
    ).scalar_one()
    return Exposure(by_symbol, lost, present, ordered)


@dataclass(frozen=True)
class PositionReport:
    """How a strategy stands with a symbol; money in the quote asset.

    Args:
        dust: what the exchange would not take.
        fees: those in a third asset, such as BNB, less what was credited for fees of others. All other fees are in cost
            and profit: `realised + unrealised - fees` is what equity has gained.
    """

    strategy: str
    symbol: str
    quantity: Decimal
    dust: Decimal
    cost: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal

    @property
    def value(self) -> Decimal:
        return self.cost + self.unrealised

    @property
    def average_cost(self) -> Decimal | None:
        """Cost of one unit held; None where nothing is held."""
        return self.cost / self.quantity if self.quantity > 0 else None


def position_reports(
    connection: Connection, settings: Settings, open_ms: int | None = None
) -> list[PositionReport]:
    """What every strategy holds, what it has realised, and what the rest would bring at the candle's close.

    Args:
        open_ms: the candle at whose close it is valued; None for the newest that is stored.
    """
    rows = connection.execute(
        text(f"SELECT * FROM ({_HELD}) AS positions ORDER BY strategy, symbol"), _at(settings, open_ms)
    ).all()
    held = holdings(connection, settings.account)
    known = rules.load_all(connection, {row.symbol for row in rows})
    return [_report(row, held[row.strategy, row.symbol], known.get(row.symbol)) for row in rows]


def _report(row: Row[Any], held: Holding, symbol_rules: SymbolRules | None) -> PositionReport:
    taken = sellable(row.quantity, row.close, symbol_rules, market=False) if symbol_rules else Decimal(0)
    return PositionReport(
        row.strategy,
        row.symbol,
        row.quantity,
        row.quantity - taken,
        held.cost,
        held.realised,
        row.value - held.cost,
        row.fees,
    )


def equity(connection: Connection, settings: Settings, open_ms: int) -> Decimal:
    """Capital, plus what was taken in, less what was paid, plus what is held, in the quote asset; net of all fees.

    Args:
        open_ms: the candle at whose close it is valued.
    """
    gained: Decimal = connection.execute(
        text(f"SELECT coalesce(sum(quote_flow + value - fees), 0) FROM ({_HELD}) AS positions"),
        _at(settings, open_ms),
    ).scalar_one()
    return ledger.capital(connection, settings.account) + gained


def gains(connection: Connection, account: str, open_ms: int) -> dict[str, Decimal]:
    """What each strategy took in, less what it paid, plus what it holds at a candle's close; net of all fees."""
    rows = connection.execute(
        text(
            f"SELECT strategy, sum(quote_flow + value - fees) AS gain FROM ({_HELD}) AS positions GROUP BY strategy"
        ),
        {"account": account, "opened": grid.to_time(open_ms)},
    )
    return {row.strategy: row.gain for row in rows}


class Worth(NamedTuple):
    """The equity after a cycle, None where that could not be told, and what of it was put in."""

    at: datetime
    equity: Decimal | None
    capital: Decimal = Decimal(0)


def equity_history(connection: Connection, account: str, opened: datetime, most: int) -> list[Worth]:
    """The equity at the newest cycles up to a candle, the oldest first; None where a cycle could not tell it."""
    rows = connection.execute(
        text(
            "SELECT open_time, equity, capital FROM cycles WHERE account = :account AND open_time <= :opened "
            "ORDER BY open_time DESC LIMIT :most"
        ),
        {"account": account, "opened": opened, "most": most},
    )
    return [Worth(*row) for row in rows.all()[::-1]]


def _at(settings: Settings, open_ms: int | None) -> dict[str, Any]:
    opened = datetime.max.replace(tzinfo=UTC) if open_ms is None else grid.to_time(open_ms)
    return {"account": settings.account, "opened": opened}
