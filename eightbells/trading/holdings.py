"""Holdings: each position with its live sale, its stop's price, and whether its strategy wants to be out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, Row, text

from eightbells.candles import grid
from eightbells.exchange import rules
from eightbells.exchange.rules import SymbolRules, wire
from eightbells.settings import Settings
from eightbells.trading import delistings, holds, ledger, outbox, switch
from eightbells.trading.costs import average_cost
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.outbox import Order
from eightbells.trading.states import TAKEN_BACK
from eightbells.universe.members import symbols_left

# Why what is held of a symbol is sold that is no member any more (universe.sell_left).
LEFT = "sold because the symbol has left the universe"


@dataclass(frozen=True)
class Origin:
    """The signal that an order of a position belongs to."""

    signal: int
    version: str
    open_ms: int
    price: Decimal


@dataclass(frozen=True)
class HeldPosition:
    """A position, and all that its protection depends on.

    Args:
        sale: the live sale of it that yields to no other.
        entry: the signal that it was bought on.
        exit: the newest signal, where that is to be flat and a sale was tried or refused; else None.
        wants_out: whether the newest signal is to be flat.
        steps: how many sales on that signal have reached the exchange.
        trigger: the price at which it is to be sold; None where it has no stop.
        basis: what that price is made of, in words.
        target: the price at which it is to be sold at a profit; None where it has none.
        companion: the live limit order that lies in one list with the stop `sale`.
        floor: what of `trigger` does not follow the price.
        trailing: how far below the highest price the stop follows it, in hundredths of a percent, or None.
        leaving: why it is to be sold at market whatever its strategy wants, in words, or empty.
        last: the exchange's last price, where it is known.
        failures: how many attempts to sell it, or to protect it, were refused one after the other, and the last when.
        blocked: why nothing may be sent for it, or None.
    """

    strategy: str
    symbol: str
    quantity: Decimal
    rules: SymbolRules | None
    sale: Order | None
    entry: Origin | None
    exit: Origin | None
    wants_out: bool = False
    steps: int = 0
    trigger: Decimal | None = None
    basis: str = ""
    last: Decimal | None = None
    failures: tuple[int, int] = (0, 0)
    blocked: str | None = None
    target: Decimal | None = None
    companion: Order | None = None
    floor: Decimal | None = None
    trailing: int | None = None
    leaving: str = ""

    @property
    def has_reached_target(self) -> bool:
        """Whether the price has come to the target."""
        return self.target is not None and self.last is not None and self.last >= self.target

    @property
    def is_passed(self) -> bool:
        """Whether the price has come to the stop's."""
        return self.trigger is not None and self.last is not None and self.last <= self.trigger


# An exit counts while its candle is the newest, or the one before it: who stood still for longer decides again.
_HOLDINGS = """
SELECT
    p.strategy, p.symbol, p.quantity, p.quote_flow,
    entry.id AS entry_order, entry.signal_id AS entry_signal, entry.strategy_version AS entry_version,
    entry.open_time AS entry_open, entry.price AS entry_price,
    stop.id AS stop_order, stop.stop_price, stop.planned_at AS stop_planned_at,
    newest.id AS exit_signal, newest.strategy_version AS exit_version, newest.open_time AS exit_open,
    newest.price AS exit_price, tried.steps, wanted.stop AS wanted_stop, wanted.take_profit, wanted.evaluated_at,
    tried.rows > 0 OR EXISTS (
        SELECT FROM refusals AS r
        WHERE r.account = p.account AND r.strategy = p.strategy AND r.symbol = p.symbol
        AND r.open_time = newest.open_time AND r.stage IN ('sizing', 'risk', 'drift', 'hold')
    ) AS exit_tried,
    failed.times AS failures, failed.at AS failed_at
FROM positions AS p
LEFT JOIN LATERAL (
    SELECT bought.id, s.id AS signal_id, e.strategy_version, e.open_time, s.price FROM (
        (
            SELECT o.id, o.signal_id FROM orders AS o
            WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol AND o.leg = 'entry'
            AND o.executed_quantity > 0 ORDER BY o.id DESC LIMIT 1
        )
        UNION ALL
        (
            SELECT 0, a.signal_id FROM adoptions AS a
            WHERE a.account = p.account AND a.strategy = p.strategy AND a.symbol = p.symbol
            ORDER BY a.command DESC LIMIT 1
        )
    ) AS bought
    INNER JOIN signals AS s ON bought.signal_id = s.id INNER JOIN evaluations AS e ON s.evaluation_id = e.id
    ORDER BY bought.id DESC LIMIT 1
) AS entry ON TRUE
LEFT JOIN LATERAL (
    SELECT o.id, o.stop_price, o.planned_at FROM orders AS o
    WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol AND o.stop_price IS NOT NULL
    AND o.id > entry.id ORDER BY o.id DESC LIMIT 1
) AS stop ON TRUE
LEFT JOIN LATERAL (
    SELECT s.id, s.target, s.price, e.strategy_version, e.open_time FROM evaluations AS e
    INNER JOIN signals AS s ON s.evaluation_id = e.id
    WHERE e.account = p.account AND e.strategy = p.strategy AND e.symbol = p.symbol
    ORDER BY e.open_time DESC, s.id DESC LIMIT 1
) AS newest ON newest.target = 'flat'
LEFT JOIN LATERAL (
    SELECT s.stop, s.take_profit, e.evaluated_at FROM evaluations AS e
    INNER JOIN signals AS s ON s.evaluation_id = e.id
    WHERE e.account = p.account AND e.strategy = p.strategy AND e.symbol = p.symbol AND s.target = 'long'
    ORDER BY e.open_time DESC, s.id DESC LIMIT 1
) AS wanted ON TRUE
LEFT JOIN LATERAL (
    SELECT count(*) AS rows, count(*) FILTER (WHERE o.state NOT IN ('ABSENT', 'DENIED', 'REJECTED')) AS steps
    FROM orders AS o WHERE o.signal_id = newest.id AND o.leg = 'exit'
) AS tried ON TRUE
LEFT JOIN LATERAL (
    SELECT count(*) AS times, max(o.changed_at) AS at FROM orders AS o
    WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol AND o.side = 'SELL'
    AND o.listed_with IS NULL AND o.state IN ('REJECTED', 'DENIED') AND NOT EXISTS (
        SELECT FROM order_events AS e WHERE e.order_id = o.id AND e.detail ->> 'action' = :taken_back
    ) AND o.id > coalesce((
        SELECT max(q.id) FROM orders AS q
        WHERE q.account = p.account AND q.strategy = p.strategy AND q.symbol = p.symbol AND q.side = 'SELL'
        AND q.state NOT IN ('REJECTED', 'DENIED') AND NOT q.yields
    ), 0)
) AS failed ON TRUE
WHERE p.account = :account AND p.quantity > 0
ORDER BY p.strategy, p.symbol
"""


# Of strategy and symbol: quantity, money paid, and what one unit has cost.
Costs = dict[tuple[str, str], tuple[Decimal, Decimal, Decimal | None]]
# Of each symbol that was split: new coins for an old one, and when that was booked.
Splits = dict[str, list[tuple[Decimal, datetime]]]


def holdings(
    connection: Connection, settings: Settings, prices: Mapping[str, Decimal], now_ms: int, costs: Costs
) -> list[HeldPosition]:
    """Every position with its live sale, its stop's price, and whether its strategy wants to be out of it.

    Args:
        prices: the exchange's last prices, by symbol.
        costs: what was found out before; is added to.
    """
    account, since = settings.account, grid.to_time(grid.last_closed(now_ms) - grid.STEP_MS)
    rows = connection.execute(text(_HOLDINGS), {"account": account, "taken_back": TAKEN_BACK}).all()
    known = rules.load_all(connection, {row.symbol for row in rows})
    selling = [order for order in outbox.live(connection, account) if order.side == "SELL"]
    sales = {
        (order.strategy, order.symbol): order for order in selling if not order.yields and not order.paired
    }
    companions = {order.listed_with: order for order in selling if order.paired}
    unbooked = {(order.strategy, order.symbol) for order in outbox.unbooked(connection, account)}
    held = holds.held_symbols(connection, account, buying=False)
    splits = _splits(connection, account)
    drifting = blocked_symbols(connection, account)
    off = switch.switched_off(connection)
    stops = {strategy.name: strategy.stop_loss for strategy in settings.strategies}
    hours = settings.risk.delist_exit_hours
    leaving = {
        symbol: f"sold before the exchange stops trading it at {at:%Y-%m-%d %H:%M} UTC"
        for symbol, at in delistings.scheduled(connection).items()
        if hours and at - grid.to_time(now_ms) <= timedelta(hours=hours)
    }
    left = symbols_left(connection, settings) if settings.universe.sell_left else frozenset()
    by_rule = {entry.name for entry in settings.strategies if entry.members is not None}
    trails = {
        strategy.name: strategy.trailing_stop for strategy in settings.strategies if strategy.trailing_stop
    }
    found = []
    for row in rows:
        place = row.strategy, row.symbol
        blocked = "fills of it are not booked yet" if place in unbooked else held.get(row.symbol)
        sale = sales.get(place)
        failed_at = grid.to_ms(row.failed_at) if row.failed_at else 0
        stopped = off is not None or row.symbol in drifting
        exit_of = None if stopped else _exit_of(row, sale, since)
        floor, basis = _trigger(connection, settings, row, sale, stops.get(row.strategy), costs, splits)
        trigger = floor
        if trail := trails.get(row.strategy):
            level = _highest(connection, account, row, prices.get(row.symbol, Decimal(0))) * (1 - trail)
            if level and (floor is None or level > floor):
                trigger, basis = level, f"{wire(trail)} below its highest price"
        found.append(
            HeldPosition(
                row.strategy,
                row.symbol,
                row.quantity,
                known.get(row.symbol),
                sale,
                _entry(row),
                exit_of,
                row.exit_signal is not None,
                row.steps or 0,
                trigger,
                basis,
                prices.get(row.symbol),
                (row.failures, failed_at),
                blocked,
                _in_new_coins(row.take_profit, row.evaluated_at, splits.get(row.symbol, ())),
                companions.get(sale.id) if sale is not None else None,
                floor,
                int(trail * 10_000) if trail else None,
                leaving.get(row.symbol) or (LEFT if row.strategy in by_rule and row.symbol in left else ""),
            )
        )
    return found


# Since the position was opened, in the coins of today. The candle of its first fill also has prices from before it.
_HIGHEST = """
WITH opened AS (
    SELECT min(f.traded_at) AS at FROM orders AS o INNER JOIN fills AS f ON f.order_id = o.id
    WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.leg = 'entry' AND o.id > (
        SELECT coalesce(max(q.id), 0) FROM orders AS q
        WHERE q.account = :account AND q.strategy = :strategy AND q.symbol = :symbol AND q.side = 'SELL'
        AND q.leg <> 'trim' AND q.executed_quantity > 0
    )
)
SELECT max(c.high) FROM opened INNER JOIN candles AS c ON c.open_time >= opened.at
WHERE c.symbol = :symbol AND c."interval" = :interval AND c.open_time >= (
    SELECT coalesce(max(candle), '-infinity') FROM splits WHERE account = :account AND symbol = :symbol
)
"""


def _highest(connection: Connection, account: str, row: Row[tuple[object, ...]], last: Decimal) -> Decimal:
    """The highest price that a position is known to have seen."""
    values = {
        "account": account,
        "strategy": row.strategy,
        "symbol": row.symbol,
        "interval": grid.INTERVAL,
    }
    high: Decimal | None = connection.execute(text(_HIGHEST), values).scalar_one()
    return last if high is None else max(high, last)


def _splits(connection: Connection, account: str) -> Splits:
    found: Splits = {}
    for symbol, ratio, booked_at in connection.execute(
        text("SELECT symbol, ratio, booked_at FROM splits WHERE account = :account"), {"account": account}
    ):
        found.setdefault(symbol, []).append((ratio, booked_at))
    return found


def _entry(row: Row[tuple[object, ...]]) -> Origin | None:
    if row.entry_signal is None:
        return None
    return Origin(row.entry_signal, row.entry_version, grid.to_ms(row.entry_open), row.entry_price)


def _exit_of(row: Row[tuple[object, ...]], sale: Order | None, since: datetime) -> Origin | None:
    if row.exit_signal is None:
        return None
    if (sale is None or sale.leg != "exit") and not (row.exit_tried and row.exit_open >= since):
        return None
    return Origin(row.exit_signal, row.exit_version, grid.to_ms(row.exit_open), row.exit_price)


def _trigger(
    connection: Connection,
    settings: Settings,
    row: Row[tuple[object, ...]],
    sale: Order | None,
    stop: Decimal | None,
    costs: Costs,
    splits: Splits,
) -> tuple[Decimal | None, str]:
    """Where the stop lies: below what the holding has cost. One whose strategy is gone keeps the price it had.

    A stop from before a split is of no use any more: its price is in old coins.
    """
    booked = splits.get(row.symbol, ())
    if stop is None:
        price = _in_new_coins(row.stop_price, row.stop_planned_at, booked)
        return price, "its stop as it was: the strategy is not in the settings"
    if row.wanted_stop is not None:
        return _in_new_coins(row.wanted_stop, row.evaluated_at, booked), "the stop that the strategy set"
    if not stop:
        return (sale.stop_price if sale is not None else None), "its stop as it was"
    place, present = (row.strategy, row.symbol), (row.quantity, row.quote_flow)
    if place not in costs or costs[place][:2] != present:
        costs[place] = (*present, average_cost(connection, settings.account, *place))
    cost = costs[place][2]
    if cost is None:
        return None, ""
    return cost * (1 - stop), f"{wire(stop)} below its cost of {wire(cost.quantize(ledger.SMALLEST))}"


def _in_new_coins(
    price: Decimal | None, since: datetime | None, splits: Iterable[tuple[Decimal, datetime]]
) -> Decimal | None:
    """A price of a time, in the coins of today."""
    for ratio, booked_at in splits if price is not None and since is not None else ():
        assert price is not None
        assert since is not None
        price = price / ratio if booked_at > since else price
    return price
