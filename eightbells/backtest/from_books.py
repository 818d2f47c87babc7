"""What live or paper trading has brought, read from the books in the form of a backtest's result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from sqlalchemy import Connection, Row, text

from eightbells.backtest.history import History, read_stored
from eightbells.backtest.result import Filled, Result, Trade
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.trading import outbox

_ZERO = Decimal(0)
_OVER = Decimal("0.005")  # a trade is over when no more than this share of what was bought is left: dust

_CYCLES = """
SELECT open_time, equity, capital, (
    SELECT coalesce(sum((p ->> 'cost')::numeric + (p ->> 'unrealised')::numeric), 0)
    FROM jsonb_array_elements(positions) AS p
) AS held
FROM cycles WHERE account = :account AND equity IS NOT NULL AND open_time < :last ORDER BY open_time
"""
_FILLS = """
SELECT
    f.order_id, f.traded_at, f.side, f.price, f.quantity, f.quote_quantity, f.commission, f.commission_asset,
    coalesce(f.commission_quote, 0) AS fee, s.base_asset, s.quote_asset, g.reason
FROM fills AS f
INNER JOIN orders AS o ON f.order_id = o.id
INNER JOIN symbols AS s ON f.symbol = s.symbol
LEFT JOIN signals AS g ON o.signal_id = g.id
WHERE f.account = :account AND f.traded_at >= :first AND f.traded_at < :last ORDER BY f.traded_at, f.trade_id
"""
_REFUSED = """
SELECT strategy, symbol, stage, reason, count(*) FROM refusals
WHERE account = :account AND open_time >= :first AND open_time < :last GROUP BY strategy, symbol, stage, reason
"""


def read_books(
    connection: Connection, settings: Settings, span: tuple[int, int]
) -> tuple[Result, list[History]]:
    """The account's trading in a span, and the candles of the symbols it traded.

    Changes of capital are left out of the equity. Each fill counts at its price and with the fee that the books have.

    Args:
        span: open times (ms) of the first and the last candle.

    Raises:
        EightbellsError: no cycle of the span knows its equity, or nothing is stored of a symbol.
    """
    first, last = span
    times = {
        "account": settings.account,
        "first": grid.to_time(max(first, 0)),
        "last": grid.to_time(last + grid.STEP_MS),
    }
    cycles = connection.execute(text(_CYCLES), times).all()
    shown = [row for row in cycles if grid.to_ms(row.open_time) >= first]
    if not shown:
        raise EightbellsError("no cycle of these days has noted an equity: there is nothing to report")
    result = Result(settings.quote_asset, _begun_with(cycles, shown))
    for row in shown:
        result.times.append(grid.to_ms(row.open_time))
        result.equity.append(row.equity - (row.capital - shown[0].capital))
        result.held.append(row.held)
    if len({row.capital for row in shown}) > 1:
        result.notes.append(
            f"the capital changed from {shown[0].capital.normalize():f} to {shown[-1].capital.normalize():f} "
            f"{settings.quote_asset}: the equity here leaves that out"
        )
    _add_fills(connection, result, times)
    result.refused = Counter(
        {(row[0], row[1], row[2], row[3]): row[4] for row in connection.execute(text(_REFUSED), times)}
    )
    symbols = list(dict.fromkeys([*settings.symbols, *(symbol for _, symbol in result.profits)]))
    histories = read_stored(connection, settings.account, symbols, result.times[-1])
    _value_open_trades(result, histories)
    result.benchmark = _buy_and_hold(result, histories)
    return result, histories


def _begun_with(
    cycles: Sequence[Row[tuple[object, ...]]], shown: Sequence[Row[tuple[object, ...]]]
) -> Decimal:
    """What the first day's return is measured by: the equity before it, or what was put in."""
    before = cycles[: len(cycles) - len(shown)]
    capital: Decimal = shown[0].capital
    if before:
        capital += before[-1].equity - before[-1].capital
    return capital


@dataclass
class _Open:
    """A trade that is not over: what was bought, paid, sold and taken for it so far."""

    opened_ms: int
    reason: str
    bought: Decimal = _ZERO
    paid: Decimal = _ZERO
    spent: Decimal = _ZERO
    held: Decimal = _ZERO
    sold: Decimal = _ZERO
    received: Decimal = _ZERO
    proceeds: Decimal = _ZERO
    fees: Decimal = _ZERO

    def trade(self, strategy: str, symbol: str, closed_ms: int, leg: str, reason: str) -> Trade:
        return Trade(
            strategy,
            symbol,
            self.opened_ms,
            closed_ms,
            self.bought,
            self.paid / self.bought,
            self.received / self.sold if self.sold else _ZERO,
            self.spent,
            self.proceeds,
            self.fees,
            leg,
            self.reason,
            reason,
        )


def _add_fills(connection: Connection, result: Result, times: dict[str, object]) -> None:
    """Book the fills of the span as trades. What was bought before it has no purchase here, and is passed over."""
    rows = connection.execute(text(_FILLS), times).all()
    orders = {it.id: it for it in outbox.load_all(connection, {row.order_id for row in rows})}
    result.orders = {it.client_order_id: it for it in orders.values()}
    under_way: dict[tuple[str, str], _Open] = {}
    for row in rows:
        order, at = orders[row.order_id], grid.to_ms(row.traded_at)
        place = order.strategy, order.symbol
        base_fee = row.commission if row.commission_asset == row.base_asset else _ZERO
        fee = _ZERO if base_fee else row.fee
        rests = "maker" if order.type in ("LIMIT", "LIMIT_MAKER") else "taker"
        result.fills.append(
            Filled(order, at, row.price, row.quantity, row.quote_quantity, row.fee, base_fee, rests)  # type: ignore[arg-type]
        )
        if row.side == "BUY":
            trade = under_way.setdefault(place, _Open(at, row.reason or ""))
            trade.bought += row.quantity
            trade.held += row.quantity - base_fee
            trade.paid += row.quote_quantity
            trade.spent += row.quote_quantity + fee
            trade.fees += row.fee
        elif place in under_way:
            trade = under_way[place]
            trade.held -= row.quantity
            trade.sold += row.quantity
            trade.received += row.quote_quantity
            trade.proceeds += row.quote_quantity - fee
            trade.fees += row.fee
            if trade.held <= trade.bought * _OVER:
                result.trades.append(trade.trade(*place, at, order.leg, row.reason or ""))
                del under_way[place]
    for place, trade in under_way.items():
        result.trades.append(trade.trade(*place, result.times[-1], "open", ""))
        result.profits[place] = trade.held  # valued once the candles are read
    for trade_ in result.trades:
        result.profits.setdefault((trade_.strategy, trade_.symbol), _ZERO)


def _value_open_trades(result: Result, histories: Sequence[History]) -> None:
    """Value what is still held at the last close, and sum the profits by place."""
    last = {it.symbol: it.column("close")[-1] for it in histories}
    held = dict(result.profits)
    for number, trade in enumerate(result.trades):
        if trade.leg == "open":
            close = last[trade.symbol]
            worth = trade.proceeds + held[trade.strategy, trade.symbol] * close
            result.trades[number] = replace(trade, proceeds=worth, exit_price=close)
    result.profits = dict.fromkeys(held, _ZERO)
    for trade in result.trades:
        result.profits[trade.strategy, trade.symbol] += trade.profit
    result.trades.sort(key=lambda it: (it.opened_ms, it.strategy, it.symbol))


def _buy_and_hold(result: Result, histories: Sequence[History]) -> list[float]:
    """The capital in equal parts in all symbols, from the first candle's close on."""
    times, part = np.array(result.times), float(result.capital) / len(histories)
    total = np.zeros(len(times))
    for history in histories:
        close = history.shown["close"].to_numpy()
        at = np.searchsorted(history.opens, times, side="right") - 1
        known = at[at >= 0]
        begun = close[known[0]] if len(known) else 1.0
        total += np.where(at >= 0, part * close[np.maximum(at, 0)] / begun, part)
    found: list[float] = total.tolist()
    return found
