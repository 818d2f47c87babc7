"""The books: fills keyed by trade id, what each strategy owns and may spend, and what it all is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.models import Balance, Readable
from eightbells.exchange.rules import SymbolRules, wire
from eightbells.settings import Settings
from eightbells.trading.outbox import Order
from eightbells.trading.risk import Exposure
from eightbells.trading.sizing import BuyingPower, sellable

SMALLEST = Decimal("1E-8")  # amounts of the exchange have eight places


@dataclass(frozen=True)
class Fill:
    """One trade of one of our orders, as the exchange reports it."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    traded_at: datetime


@dataclass(frozen=True)
class Position:
    """What a strategy holds of a symbol, net of fees, and the quote it has taken in less what it has paid."""

    strategy: str
    symbol: str
    quantity: Decimal
    quote_flow: Decimal


# A fee in a third asset is worth what the newest stored close says, else the price that was looked up.
_BOOK = """
INSERT INTO fills (
    account, symbol, trade_id, order_id, side, price, quantity, quote_quantity, commission, commission_asset,
    traded_at, flow_run, commission_quote
)
SELECT
    :account, :symbol, :trade_id, :order_id, :side, :price, :quantity, :quote_quantity, :commission,
    :commission_asset, :traded_at, :flow_run,
    CASE
        WHEN :commission = 0 THEN 0
        WHEN :commission_asset = quote_asset THEN :commission
        WHEN :commission_asset = base_asset THEN round(:commission * :price, 8)
        ELSE coalesce(
            value_in_quote(:commission_asset, quote_asset, :commission, :traded_at),
            round(:commission * CAST(:fee_price AS numeric), 8)
        )
    END
FROM symbols WHERE symbol = :symbol
ON CONFLICT DO NOTHING
"""


def book(
    connection: Connection,
    order: Order,
    fills: Iterable[Fill],
    flow_run: str | None = None,
    prices: Mapping[str, Decimal] = MappingProxyType({}),
) -> int:
    """Book fills; one that is in the books already is not booked again. Returns how many were new.

    Args:
        prices: in the quote asset, of assets that fees were taken in and of which no close is stored.
    """
    return sum(
        connection.execute(
            text(_BOOK),
            {
                **vars(fill),
                "fee_price": prices.get(fill.commission_asset),
                "account": order.account,
                "symbol": order.symbol,
                "order_id": order.id,
                "side": order.side,
                "flow_run": flow_run,
            },
        ).rowcount
        for fill in fills
    )


def fills_booked_by(connection: Connection, account: str, flow_run: str | None) -> int:
    """How many fills a run has booked."""
    count: int = connection.execute(
        text("SELECT count(*) FROM fills WHERE account = :account AND flow_run = :run"),
        {"account": account, "run": flow_run},
    ).scalar_one()
    return count


def positions(connection: Connection, account: str) -> list[Position]:
    rows = connection.execute(
        text(
            "SELECT strategy, symbol, quantity, quote_flow FROM positions WHERE account = :account "
            "ORDER BY strategy, symbol"
        ),
        {"account": account},
    )
    return [Position(*row) for row in rows]


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


def scaled(quantity: Decimal, ratio: Decimal) -> Decimal:
    """What becomes of a quantity where each coin is exchanged for `ratio` new ones; the totals in sql/ do the same."""
    return (quantity * ratio).quantize(SMALLEST, ROUND_DOWN)


@dataclass(frozen=True)
class Holding:
    """What came of a sequence of fills: quantity owned, its cost, and what was realised, in the quote asset."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    realised: Decimal = Decimal(0)

    def after(
        self, side: str, quantity: Decimal, quote: Decimal, base_fee: Decimal, quote_fee: Decimal
    ) -> Holding:
        """The holding after one more fill, at average cost.

        A fee in the base asset makes the rest dearer; what is sold beyond what is owned, which only a drift can
        bring about, has no cost.
        """
        if side == "SPLIT":  # so many new coins for an old one; money does not change
            return replace(self, quantity=scaled(self.quantity, quantity))
        if side == "BUY":
            return Holding(self.quantity + quantity - base_fee, self.cost + quote + quote_fee, self.realised)
        gone = quantity + base_fee
        released = self.cost
        if gone < self.quantity:
            # cut off as the exchange does, so that no digit is lost between cost and profit
            released = (self.cost * gone / self.quantity).quantize(SMALLEST, ROUND_DOWN)
        return Holding(
            self.quantity - gone, self.cost - released, self.realised + quote - quote_fee - released
        )


_HOLDING = """
SELECT
    f.side, f.quantity, f.quote_quantity,
    CASE WHEN f.commission_asset = s.base_asset THEN f.commission ELSE 0 END AS base_fee,
    CASE WHEN f.commission_asset = s.quote_asset THEN f.commission ELSE 0 END AS quote_fee,
    f.traded_at AS at, f.trade_id AS number
FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id INNER JOIN symbols AS s ON o.symbol = s.symbol
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol
UNION ALL
SELECT 'SELL', 0, 0, quantity, 0, charged_at, id FROM fee_charges
WHERE account = :account AND strategy = :strategy AND symbol = :symbol
UNION ALL
SELECT 'SELL', quantity, proceeds, 0, 0, written_off_at, drift_id FROM write_offs
WHERE account = :account AND strategy = :strategy AND symbol = :symbol
UNION ALL
SELECT 'BUY', quantity, quote_quantity, 0, 0, adopted_at, command FROM adoptions
WHERE account = :account AND strategy = :strategy AND symbol = :symbol
UNION ALL
SELECT 'SPLIT', ratio, 0, 0, 0, booked_at, id FROM splits WHERE account = :account AND symbol = :symbol
ORDER BY at, number
"""


def holding(connection: Connection, account: str, strategy: str, symbol: str) -> Holding:
    """What a strategy holds of a symbol, at average cost, and what it has realised on it."""
    found = Holding()
    for row in connection.execute(
        text(_HOLDING), {"account": account, "strategy": strategy, "symbol": symbol}
    ):
        found = found.after(row.side, row.quantity, row.quote_quantity, row.base_fee, row.quote_fee)
    return found


def average_cost(connection: Connection, account: str, strategy: str, symbol: str) -> Decimal | None:
    """Cost of one unit held, fees included; None where nothing is held."""
    held = holding(connection, account, strategy, symbol)
    return held.cost / held.quantity if held.quantity > 0 else None


_RESERVED = """
SELECT o.strategy, sum((o.quantity - o.executed_quantity) * coalesce(o.price, s.price)) AS cost
FROM live_orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
WHERE o.account = :account AND o.side = 'BUY'
GROUP BY o.strategy
"""


def reservations(connection: Connection, account: str) -> dict[str, Decimal]:
    """What the open buys of each strategy that has any may still cost, in the quote asset."""
    rows = connection.execute(text(_RESERVED), {"account": account})
    return {row.strategy: row.cost for row in rows}


def buying_power(
    held: list[Position], symbol: str, capital: Decimal, shares: int, reserved: Decimal
) -> BuyingPower:
    """What a strategy owns of the symbol, and what it may spend on it.

    It may spend an equal share of its capital, and never more than is left of the capital after all its trades
    and the orders that are still out.

    Args:
        held: the strategy's positions.
        reserved: what its open buys may still cost.
    """
    left = capital + sum((position.quote_flow for position in held), Decimal(0)) - reserved
    owned = sum((position.quantity for position in held if position.symbol == symbol), Decimal(0))
    return BuyingPower(owned, min(capital / shares, left))


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
    profit = present - capital(connection, settings.account)
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
    found = []
    query = text(f"SELECT * FROM ({_HELD}) AS positions ORDER BY strategy, symbol")
    for row in connection.execute(query, _at(settings, open_ms)).all():
        held = holding(connection, settings.account, row.strategy, row.symbol)
        symbol_rules = rules.load(connection, row.symbol)
        taken = sellable(row.quantity, row.close, symbol_rules, market=False) if symbol_rules else Decimal(0)
        found.append(
            PositionReport(
                row.strategy,
                row.symbol,
                row.quantity,
                row.quantity - taken,
                held.cost,
                held.realised,
                row.value - held.cost,
                row.fees,
            )
        )
    return found


def equity(connection: Connection, settings: Settings, open_ms: int) -> Decimal:
    """Capital, plus what was taken in, less what was paid, plus what is held, in the quote asset; net of all fees.

    Args:
        open_ms: the candle at whose close it is valued.
    """
    gained: Decimal = connection.execute(
        text(f"SELECT coalesce(sum(quote_flow + value - fees), 0) FROM ({_HELD}) AS positions"),
        _at(settings, open_ms),
    ).scalar_one()
    return capital(connection, settings.account) + gained


def gains(connection: Connection, account: str, open_ms: int) -> dict[str, Decimal]:
    """What each strategy took in, less what it paid, plus what it holds at a candle's close; net of all fees."""
    rows = connection.execute(
        text(
            f"SELECT strategy, sum(quote_flow + value - fees) AS gain FROM ({_HELD}) AS positions GROUP BY strategy"
        ),
        {"account": account, "opened": grid.to_time(open_ms)},
    )
    return {row.strategy: row.gain for row in rows}


# A position begins with the first purchase after a sale that was not of a part only.
_PARTS = """
SELECT count(*) FILTER (WHERE o.leg = 'entry'),
    count(*) FILTER (WHERE o.leg = 'trim' AND s.target = 'flat' AND o.id > (
        SELECT coalesce(max(e.id), 0) FROM orders AS e
        WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol AND e.leg = 'entry'
        AND e.executed_quantity > 0
    ))
FROM orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.executed_quantity > 0
AND o.id > (
    SELECT coalesce(max(q.id), 0) FROM orders AS q
    WHERE q.account = :account AND q.strategy = :strategy AND q.symbol = :symbol AND q.side = 'SELL'
    AND q.leg <> 'trim' AND q.executed_quantity > 0
)
"""


def parts(connection: Connection, account: str, strategy: str, symbol: str) -> tuple[int, int]:
    """How many purchases a position is made of, and how many sales of a part came after the last of them."""
    bought, sold = connection.execute(
        text(_PARTS), {"account": account, "strategy": strategy, "symbol": symbol}
    ).one()
    return bought, sold


def capital(connection: Connection, account: str) -> Decimal:
    """What of the equity was put in, less what was taken out, as the books have it."""
    amount: Decimal = connection.execute(
        text("SELECT coalesce(sum(amount), 0) FROM capital_changes WHERE account = :account"),
        {"account": account},
    ).scalar_one()
    return amount


def unvalued_fees(connection: Connection, account: str) -> dict[tuple[str, str], str]:
    """Fees that nothing says the worth of, in words, by strategy and symbol: they are in no profit."""
    rows = connection.execute(
        text(
            "SELECT strategy, symbol, asset, amount FROM unvalued_fees WHERE account = :account "
            "ORDER BY strategy, symbol, asset"
        ),
        {"account": account},
    )
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        before = found.get((row.strategy, row.symbol))
        words = f"{wire(row.amount)} {row.asset}"
        found[row.strategy, row.symbol] = f"{before}, {words}" if before else words
    return found


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


def save_balances(
    connection: Connection, account: str, balances: Readable[Balance], seen_at: datetime
) -> None:
    """Keep the account's balances as the exchange states them; an asset it no longer lists is zero.

    A balance that could not be read stays as it was.
    """
    connection.execute(
        text(
            "UPDATE balances SET free = 0, locked = 0, seen_at = :seen "
            "WHERE account = :account AND asset <> ALL(CAST(:odd AS text[]))"
        ),
        {"account": account, "seen": seen_at, "odd": [it.name for it in balances.odd]},
    )
    for balance in balances:
        connection.execute(
            text("""
            INSERT INTO balances (account, asset, free, locked, seen_at)
            VALUES (:account, :asset, :free, :locked, :seen)
            ON CONFLICT (account, asset) DO UPDATE SET
                free = excluded.free, locked = excluded.locked, seen_at = excluded.seen_at
            """),
            {
                "account": account,
                "asset": balance.asset,
                "seen": seen_at,
                "free": balance.free,
                "locked": balance.locked,
            },
        )
