"""The guardian: every holding with a stop has one at the exchange, or is being sold; who can have neither is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.settings import Settings
from eightbells.settings.sections import TradingSettings
from eightbells.trading import attempts, jumps, outbox
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.holdings import Costs, HeldPosition, holdings
from eightbells.trading.jumps import Close
from eightbells.trading.lease import Lease, LeaseLost
from eightbells.trading.moves import Move, Unable, next_move
from eightbells.trading.outbox import Intent, Order
from eightbells.trading.states import IN_FLIGHT, TAKEN_BACK, State
from eightbells.trading.unprotected import unprotected

_ROUNDS = 12  # of one look: a sale that was refused, or only filled in part, goes on at once
_LOOK_BACK = 7  # candles before the last price in which a pause may lie whose jump nobody has looked at


@dataclass
class Guardian:
    """Looks after one account's holdings. Whoever calls it holds the account's lease."""

    settings: Settings
    engine: Engine
    gateway: Gateway
    executor: OrderExecutor
    flow_run: str | None = None
    costs: Costs = field(default_factory=dict)

    async def guard(self, lease: Lease) -> list[str]:
        """See that every holding is protected or being sold. Returns which are neither, in words.

        Raises:
            LeaseLost: another worker trades the account.
        """
        if not await self.look():
            return []
        for _ in range(_ROUNDS):
            prices = await self._prices()
            await self._settle(prices)
            await self._hold_jumps(prices)
            closed = await self._closed(prices)
            orders, cancels = self._plan(lease, prices, closed)
            if not orders and not cancels:
                break
            for order in cancels:
                await _quietly(self.executor.cancel, order)
            await self.executor.keep_where_closed(orders)
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
            found = holdings(connection, self.settings, prices, now, self.costs)
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
            or any(
                (holding.is_passed and holding.sale) or next_move(holding, settings, now) is not None
                for holding in found
            )
            or any(True for _ in _unprotected(found, settings, now))  # who is to be told of it may have died
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
            passed = [
                holding.sale.id
                for holding in holdings(connection, self.settings, prices, now, self.costs)
                if holding.is_passed and holding.sale is not None
            ]
        for order in sales:
            if order.state is State.PLANNED:
                await _quietly(self.executor.cancel, order)
        patience = self.settings.trading.exit_step_seconds * 1000
        asked = [
            order
            for order in sales
            if _may_have_moved(order, prices, now, patience)
            or (order.id in passed and order.state is State.OPEN)
        ]
        in_flight = [order for order in sales if order.state in IN_FLIGHT]
        await asyncio.gather(
            *(_quietly(self.executor.resolve, order) for order in in_flight),
            *(
                _quietly(self.executor.refresh, order)
                for order in {it.id: it for it in [*asked, *unbooked]}.values()
            ),
        )

    async def _closed(self, prices: Mapping[str, Decimal]) -> dict[str, str]:
        """The symbols that take no orders just now, with their status; asked about where an order was refused."""
        now = self.gateway.clock.now_ms()
        with self.engine.connect() as connection:
            found = holdings(connection, self.settings, prices, now, self.costs)
        refused = {it.symbol for it in found if it.failures[0] and it.sale is None}
        if not refused:
            return {}
        try:
            statuses = await self.executor.statuses(refused)
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
                for holding in holdings(connection, self.settings, prices, now, self.costs)
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
            found = holdings(connection, self.settings, prices, now, self.costs)
            places = {(holding.strategy, holding.symbol) for holding in found}
            for order in outbox.live(connection, self.settings.account):
                if (
                    order.leg in ("stop", "exit", "target")
                    and not order.paired
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

    def _commit(self, connection: Connection, holding: HeldPosition, move: Move, now_ms: int) -> int | None:
        assert move.sized is not None
        assert move.origin is not None
        origin = move.origin
        attempt = attempts.next_attempt(connection, origin.signal, move.sized.leg)
        account, run = self.settings.account, self.flow_run
        identity = holding.strategy, origin.version, holding.symbol, origin.open_ms
        intent = Intent(account, origin.signal, identity, move.sized, now_ms, run, attempt)
        planned = outbox.plan(connection, intent, move.old)
        above = move.sized.above
        if planned is not None and above is not None:
            of = holding.exit if above.leg == "exit" and holding.exit is not None else origin
            identity = holding.strategy, of.version, holding.symbol, of.open_ms
            attempt = attempts.next_attempt(connection, of.signal, above.leg)
            beside = Intent(account, of.signal, identity, above, now_ms, run, attempt, listed_with=planned)
            outbox.plan(connection, beside)
        return planned

    async def _send(self, order: int, lease: Lease) -> None:
        try:
            await self.executor.send(order, lease)
        except LeaseLost:
            raise
        except EightbellsError as error:  # its row says why, and the next round reads it
            self.executor.deny(order, str(error))

    def _note(self, prices: Mapping[str, Decimal]) -> list[str]:
        """Keep which holdings are unprotected; returns them in words."""
        account, now = self.settings.account, self.gateway.clock.now_ms()
        with self.engine.begin() as connection:
            bare = dict(
                _unprotected(
                    holdings(connection, self.settings, prices, now, self.costs), self.settings.trading, now
                )
            )
            connection.execute(
                text(
                    "DELETE FROM unprotected WHERE account = :account AND NOT EXISTS (SELECT FROM "
                    "unnest(CAST(:strategies AS text[]), CAST(:symbols AS text[])) AS w (strategy, symbol) "
                    "WHERE w.strategy = unprotected.strategy AND w.symbol = unprotected.symbol)"
                ),
                {
                    "account": account,
                    "strategies": [it.strategy for it in bare],
                    "symbols": [it.symbol for it in bare],
                },
            )
            for holding, reason in bare.items():
                why = _last_refusal(connection, account, holding) or reason
                connection.execute(
                    text(
                        "INSERT INTO unprotected (account, strategy, symbol, reason, since) "
                        "VALUES (:account, :strategy, :symbol, :reason, :now) "
                        "ON CONFLICT (account, strategy, symbol) DO UPDATE SET reason = excluded.reason"
                    ),
                    {
                        "account": account,
                        "strategy": holding.strategy,
                        "symbol": holding.symbol,
                        "reason": why,
                        "now": grid.to_time(now),
                    },
                )
            return [it.words for it in unprotected(connection, account)]


def _unprotected(
    found: Iterable[HeldPosition], settings: TradingSettings, now_ms: int
) -> Iterable[tuple[HeldPosition, str]]:
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
AND e.to_state IN ('REJECTED', 'DENIED') AND e.detail ->> 'action' IS DISTINCT FROM :taken_back
ORDER BY e.id DESC LIMIT 1
"""


def _last_refusal(connection: Connection, account: str, holding: HeldPosition) -> str | None:
    """Why the newest attempt was refused, where the newest was."""
    if not holding.failures[0] or holding.blocked is not None:
        return None
    place = {"account": account, "strategy": holding.strategy, "symbol": holding.symbol}
    values = place | {"taken_back": TAKEN_BACK}
    reason: str | None = connection.execute(text(_REFUSED), values).scalar_one_or_none()
    return reason


def _may_have_moved(order: Order, prices: Mapping[str, Decimal], now_ms: int, patience_ms: float) -> bool:
    """Whether the exchange may have done something with a sale that the books do not know of."""
    if order.state not in (State.OPEN, State.PARTIALLY_FILLED):
        return False
    last = prices.get(order.symbol)
    if order.yields:
        return True
    if order.leg == "target":
        return order.price is not None and last is not None and last >= order.price
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
