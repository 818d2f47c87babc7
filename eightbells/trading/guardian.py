"""The guardian: every holding with a stop has one at the exchange, or is being sold; who can have neither is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import Connection, Engine, Row, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange import rules
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.rules import RuleBroken, SymbolRules, wire
from eightbells.settings import Settings
from eightbells.settings.sections import ExitStep, TradingSettings
from eightbells.trading import holds, jumps, ledger, outbox
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.execution import Desk
from eightbells.trading.jumps import Close
from eightbells.trading.lease import Lease, LeaseLost
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized, exit_price, of_owned, sellable
from eightbells.trading.states import IN_FLIGHT, State
from eightbells.trading.unprotected import unprotected

_ROUNDS = 12  # of one look: a sale that was refused, or only filled in part, goes on at once
_WAITS_MS = ((30, 600_000), (10, 60_000))  # from so many refusals on, so long between two attempts
_LOOK_BACK = 7  # candles before the last price in which a pause may lie whose jump nobody has looked at
_MOVED = Decimal("0.001")  # a stop is replaced where it should lie so far elsewhere, as a share of its price


@dataclass(frozen=True)
class Origin:
    """The signal that an order of a position belongs to."""

    signal: int
    version: str
    open_ms: int
    price: Decimal


@dataclass(frozen=True)
class Holding:
    """A position, and all that its protection depends on.

    Args:
        sale: the live sale of it that yields to no other.
        entry: the signal that it was bought on.
        exit: the newest signal, where that is to be flat and a sale was tried; else None.
        wants_out: whether the newest signal is to be flat.
        steps: how many sales on that signal have reached the exchange.
        trigger: the price at which it is to be sold; None where it has no stop.
        basis: what that price is made of, in words.
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

    @property
    def is_passed(self) -> bool:
        """Whether the price has come to the stop's."""
        return self.trigger is not None and self.last is not None and self.last <= self.trigger


@dataclass(frozen=True)
class Move:
    """What is to be done: `sized` placed, in place of `old` where there is one; or, without it, `old` cancelled."""

    origin: Origin | None
    sized: Sized | None
    old: Order | None = None


@dataclass(frozen=True)
class Unable:
    """Why a holding cannot be protected."""

    reason: str


def next_move(holding: Holding, settings: TradingSettings, now_ms: int) -> Move | Unable | None:
    """What the holding needs now, or None where it needs nothing.

    A sale that can be filled is left alone, and so is one in doubt. A stop is replaced where it covers another
    quantity than can be sold, a waiting exit where the stop's price is reached or its time is over.
    """
    sale = holding.sale
    if holding.rules is None:
        return Unable("its rules cannot be read") if holding.trigger is not None else None
    if sale is not None and (sale.state in IN_FLIGHT or sale.leg in ("sellout", "manual")):
        return None
    if holding.blocked is not None:
        return Unable(holding.blocked) if holding.trigger is not None and sale is None else None
    if _waits(holding, now_ms, settings.guard_seconds):
        return (
            None if sale is not None else Unable("the exchange refuses its orders; the next attempt follows")
        )
    try:
        if sale is None:
            return _without_sale(holding, settings)
        if sale.stop_price is not None:
            return _with_stop(holding, sale, settings)
        return _with_exit(holding, sale, settings, now_ms)
    except RuleBroken as error:
        return Unable(str(error)) if holding.trigger is not None and sale is None else None


def _waits(holding: Holding, now_ms: int, guard_seconds: float) -> bool:
    times, at = holding.failures
    if times < 2:
        return False
    return now_ms - at < next((wait for many, wait in _WAITS_MS if times >= many), guard_seconds * 500)


def _without_sale(holding: Holding, settings: TradingSettings) -> Move | Unable | None:
    if holding.exit is not None:
        sized = _exit(holding, _step(holding, settings), settings)
        return _move(holding.exit, sized)
    if holding.trigger is None:
        return None
    sized = _market(holding, "stop") if holding.is_passed else _stop(holding, settings)
    if sized is None:  # dust
        return None
    return Move(holding.entry, sized) if holding.entry else Unable("no order of ours has bought it")


def _with_stop(holding: Holding, sale: Order, settings: TradingSettings) -> Move | None:
    """A stop that lies at the exchange."""
    assert sale.stop_price is not None
    if sale.price is not None and holding.last is not None and holding.last < sale.price:
        return _move(holding.entry, _market(holding, "stop"), sale)  # the price has jumped over its limit
    if sale.state is State.PARTIALLY_FILLED or holding.is_passed:
        return None  # the exchange is selling
    if holding.entry is None:
        return None
    sized = _stop(holding, settings)
    if sized is None:
        return Move(None, None, sale)
    assert sized.stop_price is not None
    moved = abs(sized.stop_price - sale.stop_price) > _MOVED * sale.stop_price
    return Move(holding.entry, sized, sale) if moved or sized.quantity != sale.quantity else None


def _with_exit(holding: Holding, sale: Order, settings: TradingSettings, now_ms: int) -> Move | None:
    """A sale that lies at the exchange, and is not filled, or not wholly."""
    if sale.price is None:
        return None
    if not holding.wants_out and not holding.is_passed:
        stop = _stop(holding, settings) if holding.trigger is not None and holding.entry else None
        return Move(holding.entry, stop, sale)
    origin = holding.exit or holding.entry
    if holding.is_passed:
        return _move(origin, _market(holding, "exit" if holding.exit else "stop"), sale)
    late = now_ms - grid.to_ms(sale.planned_at) >= settings.exit_step_seconds * 1000
    steps = max(holding.steps, 1)  # an order that is kept from an earlier candle was one
    if not late or holding.exit is None or steps >= len(settings.exit_steps):
        return None
    sized = _exit(holding, settings.exit_steps[steps], settings)
    return _move(origin, sized, sale)


def _move(origin: Origin | None, sized: Sized | None, old: Order | None = None) -> Move | None:
    """A move that ends in an order; None for dust, and for what no decision of ours has bought."""
    return None if sized is None or origin is None else Move(origin, sized, old)


def _step(holding: Holding, settings: TradingSettings) -> ExitStep:
    """How the rest of an exit goes on: where there is no order any more, waiting has no use."""
    if holding.is_passed:
        return "market"
    return settings.exit_steps[min(holding.steps, len(settings.exit_steps) - 1)]


def _stop(holding: Holding, settings: TradingSettings) -> Sized | None:
    """The stop that covers all that can be sold; None for dust."""
    assert holding.rules is not None
    assert holding.trigger is not None
    symbol_rules = holding.rules
    trigger = symbol_rules.price("SELL", holding.trigger)
    at_market = settings.stop_type == "market" and "STOP_LOSS" in symbol_rules.order_types
    limit = None if at_market else symbol_rules.price("SELL", trigger * (1 - settings.stop_limit_distance))
    quantity = sellable(holding.quantity, limit or trigger, symbol_rules, market=at_market)
    if not quantity:
        return None
    return Sized("stop", "SELL", quantity, limit, trigger, f"{wire(holding.quantity)} owned, {holding.basis}")


def _market(holding: Holding, leg: Literal["stop", "exit"]) -> Sized | None:
    """The sale of all that can be sold, at market; None for dust."""
    assert holding.rules is not None
    valued = holding.last or holding.trigger or (holding.exit or holding.entry or _NOTHING).price
    quantity = sellable(holding.quantity, valued, holding.rules, market=True)
    if not quantity:
        return None
    return Sized(leg, "SELL", quantity, None, basis=of_owned(holding.quantity, quantity))


def _exit(holding: Holding, step: ExitStep, settings: TradingSettings) -> Sized | None:
    """The sale of what is left at one of the steps; None for dust."""
    assert holding.rules is not None
    assert holding.exit is not None
    if step == "market":
        return _market(holding, "exit")
    price = exit_price(holding.exit.price, holding.last, step, holding.rules, settings)
    quantity = sellable(holding.quantity, price, holding.rules, market=False)
    if not quantity:
        return None
    return Sized("exit", "SELL", quantity, price, basis=of_owned(holding.quantity, quantity))


_NOTHING = Origin(0, "", 0, Decimal(0))

# An exit counts while its candle is the newest, or the one before it: who stood still for longer decides again.
_HOLDINGS = """
SELECT
    p.strategy, p.symbol, p.quantity, p.quote_flow,
    entry.id AS entry_order, entry.signal_id AS entry_signal, entry.strategy_version AS entry_version,
    entry.open_time AS entry_open, entry.price AS entry_price,
    stop.id AS stop_order, stop.stop_price, stop.planned_at AS stop_planned_at,
    newest.id AS exit_signal, newest.strategy_version AS exit_version, newest.open_time AS exit_open,
    newest.price AS exit_price, tried.rows AS exit_rows, tried.steps,
    failed.times AS failures, failed.at AS failed_at
FROM positions AS p
LEFT JOIN LATERAL (
    SELECT o.id, o.signal_id, e.strategy_version, o.open_time, s.price FROM orders AS o
    INNER JOIN signals AS s ON o.signal_id = s.id INNER JOIN evaluations AS e ON s.evaluation_id = e.id
    WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol AND o.leg = 'entry'
    AND o.executed_quantity > 0 ORDER BY o.id DESC LIMIT 1
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
    SELECT count(*) AS rows, count(*) FILTER (WHERE o.state NOT IN ('ABSENT', 'DENIED', 'REJECTED')) AS steps
    FROM orders AS o WHERE o.signal_id = newest.id AND o.leg = 'exit'
) AS tried ON TRUE
LEFT JOIN LATERAL (
    SELECT count(*) AS times, max(o.changed_at) AS at FROM orders AS o
    WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol AND o.side = 'SELL'
    AND o.state IN ('REJECTED', 'DENIED') AND o.id > coalesce((
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
) -> list[Holding]:
    """Every position with its live sale, its stop's price, and whether its strategy wants to be out of it.

    Args:
        prices: the exchange's last prices, by symbol.
        costs: what was found out before; is added to.
    """
    account, since = settings.account, grid.to_time(grid.last_closed(now_ms) - grid.STEP_MS)
    rows = connection.execute(text(_HOLDINGS), {"account": account}).all()
    known = rules.load_all(connection, {row.symbol for row in rows})
    sales = {
        (order.strategy, order.symbol): order
        for order in outbox.live(connection, account)
        if order.side == "SELL" and not order.yields
    }
    unbooked = {(order.strategy, order.symbol) for order in outbox.unbooked(connection, account)}
    held = holds.held_symbols(connection, account, buying=False)
    splits = _splits(connection, account)
    drifting = blocked_symbols(connection, account)
    off = outbox.switched_off(connection)
    stops = {strategy.name: strategy.stop_loss for strategy in settings.strategies}
    found = []
    for row in rows:
        place = row.strategy, row.symbol
        blocked = "fills of it are not booked yet" if place in unbooked else held.get(row.symbol)
        sale = sales.get(place)
        failed_at = grid.to_ms(row.failed_at) if row.failed_at else 0
        stopped = off is not None or row.symbol in drifting
        exit_of = None if stopped else _exit_of(row, sale, since)
        found.append(
            Holding(
                row.strategy, row.symbol, row.quantity, known.get(row.symbol), sale, _entry(row), exit_of,
                row.exit_signal is not None, row.steps or 0,
                *_trigger(connection, settings, row, sale, stops.get(row.strategy), costs, splits),
                prices.get(row.symbol), (row.failures, failed_at), blocked,
            )
        )  # fmt: skip
    return found


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
    if (sale is None or sale.leg != "exit") and not (row.exit_rows and row.exit_open >= since):
        return None
    return Origin(row.exit_signal, row.exit_version, grid.to_ms(row.exit_open), row.exit_price)


def _trigger(
    connection: Connection, settings: Settings, row: Row[tuple[object, ...]], sale: Order | None,
    stop: Decimal | None, costs: Costs, splits: Splits,
) -> tuple[Decimal | None, str]:  # fmt: skip
    """Where the stop lies: below what the holding has cost. One whose strategy is gone keeps the price it had.

    A stop from before a split is of no use any more: its price is in old coins.
    """
    if stop is None:
        price = row.stop_price
        for ratio, booked_at in splits.get(row.symbol, ()) if price is not None else ():
            price = price / ratio if booked_at > row.stop_planned_at else price
        return price, "its stop as it was: the strategy is not in the settings"
    if not stop:
        return (sale.stop_price if sale is not None else None), "its stop as it was"
    place, present = (row.strategy, row.symbol), (row.quantity, row.quote_flow)
    if place not in costs or costs[place][:2] != present:
        costs[place] = (*present, ledger.average_cost(connection, settings.account, *place))
    cost = costs[place][2]
    if cost is None:
        return None, ""
    return cost * (1 - stop), f"{wire(stop)} below its cost of {wire(cost.quantize(ledger.SMALLEST))}"


@dataclass
class Guardian:
    """Looks after one account's holdings. Whoever calls it holds the account's lease."""

    settings: Settings
    engine: Engine
    gateway: Gateway
    desk: Desk
    flow_run: str | None = None
    _costs: Costs = field(default_factory=dict)

    async def guard(self, lease: Lease) -> list[str]:
        """See that every holding is protected or being sold. Returns which are neither, in words.

        Raises:
            LeaseLost: another worker trades the account.
        """
        if not self._has_anything():
            return self._note({})
        for _ in range(_ROUNDS):
            prices = await self._prices()
            await self._settle(prices)
            await self._hold_jumps(prices)
            closed = await self._closed(prices)
            orders, cancels = self._plan(lease, prices, closed)
            if not orders and not cancels:
                break
            for order in cancels:
                await _quietly(self.desk.cancel, order)
            await self.desk.keep_where_closed(orders)
            sent = await asyncio.gather(
                *(self._send(order, lease) for order in orders), return_exceptions=True
            )
            for failure in sent:  # once all have come to their end
                if isinstance(failure, BaseException):
                    raise failure
        return self._note(prices)

    async def look(self) -> bool:
        """Whether there is something to do. Nothing is changed, and no lease is needed."""
        if not self._has_anything():
            return False
        prices, now = await self._prices(), self.gateway.clock.now_ms()
        account, settings = self.settings.account, self.settings.trading
        with self.engine.connect() as connection:
            found = holdings(connection, self.settings, prices, now, self._costs)
            sales = [order for order in outbox.live(connection, account) if order.side == "SELL"]
            unbooked = outbox.unbooked(connection, account)
            told = connection.execute(
                text("SELECT EXISTS (SELECT FROM unprotected WHERE account = :account)"), {"account": account}
            ).scalar_one()
        places = {(holding.strategy, holding.symbol) for holding in found}
        patience = settings.exit_step_seconds * 1000
        return (
            told
            or bool(unbooked)
            or any(next_move(holding, settings, now) is not None for holding in found)
            or any(
                sale.state in IN_FLIGHT | {State.PLANNED}
                or (sale.strategy, sale.symbol) not in places
                or _may_have_moved(sale, prices, now, patience)
                for sale in sales
            )
        )

    def _has_anything(self) -> bool:
        """Whether anything is held, or being sold, or was bought and is not booked yet."""
        with self.engine.connect() as connection:
            found: bool = connection.execute(
                text(
                    "SELECT EXISTS (SELECT FROM positions WHERE account = :account AND quantity > 0) "
                    "OR EXISTS (SELECT FROM live_orders WHERE account = :account AND side = 'SELL') "
                    "OR EXISTS (SELECT FROM orders WHERE account = :account AND executed_quantity > booked_quantity)"
                ),
                {"account": self.settings.account},
            ).scalar_one()
        return found

    async def _prices(self) -> dict[str, Decimal]:
        try:
            return await self.gateway.prices()
        except ExchangeError:  # a stop can be placed without one
            return {}

    async def _settle(self, prices: Mapping[str, Decimal]) -> None:
        """Ask for the sales of which the books may be behind; take back those that nobody has sent."""
        account, now = self.settings.account, self.gateway.clock.now_ms()
        with self.engine.connect() as connection:
            sales = [order for order in outbox.live(connection, account) if order.side == "SELL"]
            unbooked = outbox.unbooked(connection, account)
        for order in sales:
            if order.state is State.PLANNED:
                await _quietly(self.desk.cancel, order)
        patience = self.settings.trading.exit_step_seconds * 1000
        asked = [order for order in sales if _may_have_moved(order, prices, now, patience)]
        in_flight = [order for order in sales if order.state in IN_FLIGHT]
        await asyncio.gather(
            *(_quietly(self.desk.resolve, order) for order in in_flight),
            *(
                _quietly(self.desk.refresh, order)
                for order in {it.id: it for it in [*asked, *unbooked]}.values()
            ),
        )

    async def _closed(self, prices: Mapping[str, Decimal]) -> dict[str, str]:
        """The symbols that take no orders just now, with their status; asked about where an order was refused."""
        now = self.gateway.clock.now_ms()
        with self.engine.connect() as connection:
            found = holdings(connection, self.settings, prices, now, self._costs)
        refused = {it.symbol for it in found if it.failures[0] and it.sale is None}
        if not refused:
            return {}
        try:
            statuses = await self.desk.statuses(refused)
        except ExchangeError:  # then the order itself is the question
            return {}
        return {symbol: status for symbol in refused if (status := statuses.get(symbol, "gone")) != "TRADING"}

    async def _hold_jumps(self, prices: Mapping[str, Decimal]) -> None:
        """Hold the symbols whose price has not fallen to the stop but jumped there, across a pause."""
        if not self.settings.risk.max_jump_sigmas:
            return
        account, now = self.settings.account, self.gateway.clock.now_ms()
        with self.engine.connect() as connection:
            passed = {
                holding.symbol: holding.last
                for holding in holdings(connection, self.settings, prices, now, self._costs)
                if holding.is_passed and holding.blocked is None and holding.last is not None
            }
        for symbol, last in passed.items():
            closes = await self._newest_closes(symbol, last, now)
            with self.engine.connect() as connection:
                found = [
                    jump
                    for before, after in itertools.pairwise(closes)
                    if (jump := jumps.between(connection, self.settings, symbol, before, after))
                    and jump.scope == "all"
                ]
            if found:
                jumps.hold(self.engine, account, found, now)

    async def _newest_closes(self, symbol: str, last: Decimal, now_ms: int) -> list[Close]:
        """The newest closes that are stored, what the exchange has closed since, and the last price.

        Right after a pause no candle is stored yet. The exchange is asked whether there was a pause at all.
        """
        from eightbells.exchange.history import (
            closes_since,
        )  # with pandas: not for who only reads what is unprotected

        with self.engine.connect() as connection:
            closes = jumps.newest_closes(connection, symbol, _LOOK_BACK)
        if not closes:
            return []
        newest, running = closes[-1].open_ms, grid.floor(now_ms)
        if newest < grid.last_closed(now_ms):
            try:
                async with asyncio.timeout(self.settings.exchange.timeout_seconds):
                    since = await closes_since(self.gateway, symbol, newest + grid.STEP_MS, running - 1)
                closes += [Close(*close) for close in since]
            except (ExchangeError, TimeoutError, ValueError, ArithmeticError, LookupError):
                pass  # then a jump counts as one across a pause
        return [*closes, Close(running, last)]

    def _plan(
        self, lease: Lease, prices: Mapping[str, Decimal], closed: Mapping[str, str]
    ) -> tuple[list[int], list[Order]]:
        """Commit what the holdings need; returns the orders to send and those to cancel."""
        orders, cancels = list[int](), list[Order]()
        now = self.gateway.clock.now_ms()
        with self.engine.begin() as connection:
            lease.require(connection)
            found = holdings(connection, self.settings, prices, now, self._costs)
            places = {(holding.strategy, holding.symbol) for holding in found}
            for order in outbox.live(connection, self.settings.account):
                if (
                    order.leg in ("stop", "exit")
                    and (order.strategy, order.symbol) not in places
                    and not order.yields
                ):
                    cancels.append(order)  # nothing is held any more: it would sell the owner's coins
            for holding in found:
                if holding.symbol in closed and holding.sale is None:
                    continue
                move = next_move(holding, self.settings.trading, now)
                if not isinstance(move, Move):
                    continue
                if move.sized is None or (move.old is not None and move.old.state is not State.OPEN):
                    cancels += [move.old] if move.old else []  # the next round places what comes instead
                elif (order_id := self._commit(connection, holding, move, now)) is not None:
                    orders.append(order_id)
        return orders, [order for order in cancels if order.state not in IN_FLIGHT]

    def _commit(self, connection: Connection, holding: Holding, move: Move, now_ms: int) -> int | None:
        assert move.sized is not None
        assert move.origin is not None
        origin = move.origin
        attempt = outbox.next_attempt(connection, origin.signal, move.sized.leg)
        return outbox.plan(
            connection, self.settings.account, origin.signal,
            (holding.strategy, origin.version, holding.symbol, origin.open_ms), move.sized, now_ms, self.flow_run,
            attempt, move.old,
        )  # fmt: skip

    async def _send(self, order: int, lease: Lease) -> None:
        try:
            await self.desk.send(order, lease)
        except LeaseLost:
            raise
        except EightbellsError:  # its row says why, and the next round reads it
            return

    def _note(self, prices: Mapping[str, Decimal]) -> list[str]:
        """Keep which holdings are unprotected; returns them in words."""
        account, now = self.settings.account, self.gateway.clock.now_ms()
        with self.engine.begin() as connection:
            bare = dict(
                _unprotected(
                    holdings(connection, self.settings, prices, now, self._costs), self.settings.trading, now
                )
            )
            connection.execute(
                text(
                    "DELETE FROM unprotected WHERE account = :account AND NOT EXISTS (SELECT FROM "
                    "unnest(CAST(:strategies AS text[]), CAST(:symbols AS text[])) AS w (strategy, symbol) "
                    "WHERE w.strategy = unprotected.strategy AND w.symbol = unprotected.symbol)"
                ),
                {
                    "account": account, "strategies": [it.strategy for it in bare],
                    "symbols": [it.symbol for it in bare],
                },
            )  # fmt: skip
            for holding, reason in bare.items():
                why = _last_refusal(connection, account, holding) or reason
                connection.execute(
                    text(
                        "INSERT INTO unprotected (account, strategy, symbol, reason, since) "
                        "VALUES (:account, :strategy, :symbol, :reason, :now) "
                        "ON CONFLICT (account, strategy, symbol) DO UPDATE SET reason = excluded.reason"
                    ),
                    {
                        "account": account, "strategy": holding.strategy, "symbol": holding.symbol,
                        "reason": why, "now": grid.to_time(now),
                    },
                )  # fmt: skip
            return [it.words for it in unprotected(connection, account)]


def _unprotected(
    found: Iterable[Holding], settings: TradingSettings, now_ms: int
) -> Iterable[tuple[Holding, str]]:
    """Holdings with a stop that have neither a live order nor a sale that can be filled, each with the reason."""
    for holding in found:
        if holding.trigger is None or (holding.sale is not None and holding.sale.state is not State.PLANNED):
            continue
        move = next_move(replace(holding, sale=None, failures=(0, 0)), settings, now_ms)
        if move is not None:  # else it is dust
            yield holding, move.reason if isinstance(move, Unable) else "its order did not reach the exchange"


_REFUSED = """
SELECT e.detail ->> 'reason' FROM orders AS o INNER JOIN order_events AS e ON e.order_id = o.id
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.side = 'SELL'
AND e.to_state IN ('REJECTED', 'DENIED') ORDER BY e.id DESC LIMIT 1
"""


def _last_refusal(connection: Connection, account: str, holding: Holding) -> str | None:
    """Why the newest attempt was refused, where the newest was."""
    if not holding.failures[0] or holding.blocked is not None:
        return None
    values = {"account": account, "strategy": holding.strategy, "symbol": holding.symbol}
    reason: str | None = connection.execute(text(_REFUSED), values).scalar_one_or_none()
    return reason


def _may_have_moved(order: Order, prices: Mapping[str, Decimal], now_ms: int, patience_ms: float) -> bool:
    """Whether the exchange may have done something with a sale that the books do not know of."""
    if order.state not in (State.OPEN, State.PARTIALLY_FILLED):
        return False
    last = prices.get(order.symbol)
    if order.yields:
        return True
    if order.stop_price is not None:
        return last is not None and last <= order.stop_price
    return now_ms - grid.to_ms(order.planned_at) >= patience_ms or (
        last is not None and last >= (order.price or 0)
    )


async def _quietly(step: Callable[[Order], Awaitable[object]], order: Order) -> None:
    """Try a step; what fails is seen again in the next round, or in the next look."""
    try:
        await step(order)
    except EightbellsError:
        return
