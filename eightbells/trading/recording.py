"""Answers of the exchange about an order, recorded in the books: its state, its fills, or a drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from eightbells import events
from eightbells.candles import grid
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.models import OrderReport
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.rules import wire
from eightbells.trading import drift, fees, ledger, outbox
from eightbells.trading.ledger import Fill
from eightbells.trading.outbox import Order
from eightbells.trading.states import TRANSITIONS, State, of_exchange


class Recorder:
    """Writes reports of one account's orders into the books."""

    def __init__(self, engine: Engine, gateway: Gateway, flow_run: str | None) -> None:
        self._engine, self._gateway, self._flow_run = engine, gateway, flow_run

    async def follow(self, order: Order, report: OrderReport) -> State:
        """Record an answer about an order, after asking for the trades that it only counts."""
        if report.executed_quantity:
            trades = await self._gateway.trades(order.symbol, report.order_id)
            report = replace(report, fills=tuple(trades))
        return self.note(order, report, await self._fee_prices(order, report))

    async def _fee_prices(self, order: Order, report: OrderReport) -> dict[str, Decimal]:
        """Prices of the assets that fees were taken in and of which no close is stored; those that can be found."""
        with self._engine.connect() as connection:
            asked = fees.unpriced(connection, order.account, order.symbol, _charged(report))
        if not asked:
            return {}
        try:
            prices = await self._gateway.prices()
        except ExchangeError:  # the fee stays unvalued; the fill is booked
            return {}
        return {asset: prices[symbol] for asset, symbol in asked.items() if symbol in prices}

    def note(
        self, order: Order, report: OrderReport, fee_prices: Mapping[str, Decimal] | None = None
    ) -> State:
        """State, fills and what the exchange says it executed, in one transaction.

        Fills with a fee that has no price, where none was looked up, are left to whoever settles the order. Under a
        status that is not known the order stays live, or becomes UNKNOWN, and a drift blocks its symbol. So does one of
        which the books can make nothing: the order stays as it is.
        """
        try:
            return self._record(order, report, fee_prices)
        except (IntegrityError, DataError) as error:  # more than was ordered, or an amount of nothing
            at = grid.to_time(self._gateway.clock.now_ms())
            why = str(error.orig).splitlines()[0]
            odd = drift.unbookable(order.symbol, order.client_order_id, why, report.order_id)
            with self._engine.begin() as connection:
                drift.begin(connection, order.account, odd, at)
            with self._engine.connect() as connection:
                return outbox.load(connection, order.id).state

    def _record(self, order: Order, report: OrderReport, fee_prices: Mapping[str, Decimal] | None) -> State:
        state, at = of_exchange(report.status), grid.to_time(self._gateway.clock.now_ms())
        with self._engine.begin() as connection:
            present = outbox.load(connection, order.id, lock=True)
            fills = _fills(report)
            if (
                fills
                and fee_prices is None
                and fees.unpriced(connection, order.account, order.symbol, _charged(report))
            ):
                fills = []
            booked = ledger.book(connection, present, fills, self._flow_run, fee_prices or {})
            outbox.note_exchange(connection, present, report.order_id, report.executed_quantity)
            if state is None:
                state = self._doubt(connection, present, report, at)
            elif state in TRANSITIONS.get(present.state, ()):  # an older answer may come after a newer one
                detail = {"status": report.status, "executed": wire(report.executed_quantity)}
                outbox.move(connection, present, state, at, detail, self._flow_run)
            filled = self._filled(connection, present) if booked or state is State.FILLED else None
        if filled is not None:
            events.publish(filled)
        return state

    def _filled(self, connection: Connection, before: Order) -> events.Event | None:
        """That an order has new fills, or none is left to come; None where neither is so."""
        order = outbox.load(connection, before.id)
        new = order.booked_quantity - before.booked_quantity
        is_over = order.state is State.FILLED and order.booked_quantity == order.executed_quantity
        if not new and (not is_over or before.state is State.FILLED):
            return None
        price = ledger.average_price(connection, order.id)
        labels = {
            "symbol": order.symbol,
            "side": order.side,
            "strategy": order.strategy,
            "account": order.account,
            "leg": order.leg,
            "state": order.state.value,
        }
        facts = {
            "order": order.id,
            "client_order_id": order.client_order_id,
            "quantity": wire(order.booked_quantity),
            "price": wire(price),
            "new_quantity": wire(new),
            "ordered_quantity": wire(order.quantity),
        }
        title = f"{order.side} {order.symbol}"
        return events.Event(
            events.ORDER_FILLED, f"order.{order.id}", title, labels, labels | facts, self._flow_run
        )

    def _doubt(self, connection: Connection, order: Order, report: OrderReport, at: datetime) -> State:
        """Keep that an order's status is not known; returns the state that it has in the books."""
        doubt = drift.unknown_status(order.symbol, order.client_order_id, report.status, report.order_id)
        drift.begin(connection, order.account, doubt, at)
        if order.state is not State.SENDING:
            return order.state
        outbox.move(connection, order, State.UNKNOWN, at, {"reason": doubt.detail}, self._flow_run)
        return State.UNKNOWN

    def move(self, order: Order, to: State, detail: dict[str, str]) -> State:
        """Move an order from the state it was read in; where another worker has moved it, its word stands."""
        with self._engine.begin() as connection:
            present = outbox.load(connection, order.id, lock=True)
            if present.state is not order.state:
                return present.state
            at = grid.to_time(self._gateway.clock.now_ms())
            outbox.move(connection, order, to, at, detail, self._flow_run)
        return to


def _charged(report: OrderReport) -> list[tuple[int, str, datetime]]:
    """Trade, asset and time of each fee."""
    return [(it.trade_id, it.commission_asset, it.traded_at) for it in _fills(report) if it.commission]


def _fills(report: OrderReport) -> list[Fill]:
    """The fills of an order's report; none where their amounts are not exact.

    The answer to an order does not state amounts in the quote asset. Where price times quantity has more places than
    the exchange keeps, only the list of trades, which is asked when the order is settled, tells how it was cut off.
    """
    if any(trade.quote_quantity != trade.quote_quantity.quantize(ledger.SMALLEST) for trade in report.fills):
        return []
    return [
        Fill(
            trade.trade_id,
            trade.price,
            trade.quantity,
            trade.quote_quantity,
            trade.commission,
            trade.commission_asset,
            grid.to_time(trade.time_ms),
        )
        for trade in report.fills
    ]
