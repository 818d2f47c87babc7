"""Reconciliation: compare the exchange with the books, update our orders, list foreign ones, record drifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from eightbells import metrics
from eightbells.candles import grid
from eightbells.exchange.codes import NOT_SHOWN, ErrorCode
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.json_fields import Odd, Readable
from eightbells.exchange.models import Balance, ListedOrder
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.trading import delistings, drift, fees, ledger, looks, multiplied, outbox
from eightbells.trading.drift import Drift, Reason
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.fees import Shortage
from eightbells.trading.ledger import Position
from eightbells.trading.states import LIVE, State, of_exchange

OURS = "eb-"
# How far orders are asked for before the last look at them: one lives for a candle, and with a look every ten minutes
# all is within the day that the exchange lets one question span.
_OVERLAP_MS = 5 * grid.STEP_MS
# An order that moved so shortly before it was looked at may not have been shown as it is.
_SHOWN_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Reconciliation:
    """What a reconciliation found. `accepted` are disagreements that a person lets stand."""

    orders: int
    foreign: int
    drifts: list[Drift] = field(default_factory=list)
    accepted: int = 0


async def reconcile(
    settings: Settings, engine: Engine, gateway: Gateway, executor: OrderExecutor, symbols: Iterable[str] = ()
) -> Reconciliation:
    """Compare open orders, recent orders and balances with the books, and keep what disagrees; twice changes nothing.

    To be called once the account's own open orders have been followed. A fill that came after its order was closed
    in the books is booked; what then still differs is a drift.

    Recent orders are asked for where one of ours has changed since they were last looked at, and for `symbols`, of
    which the books may have lost theirs: all since that last look, which after a restore is as old as the backup. Open
    orders and balances are compared for all, and what disagreed before until it agrees.
    """
    await delistings.refresh(settings, engine, gateway)
    open_orders = await gateway.open_orders()
    now = gateway.clock.now_ms()
    with engine.connect() as connection:
        asked = {*looks.symbols_moved(connection, settings.account, _SHOWN_WITHIN), *symbols}
        disputed = {
            (disagreement.symbol, disagreement.exchange_order_id)
            for disagreement in drift.open_drifts(connection, settings.account)
            if disagreement.exchange_order_id is not None
        }
        looked_at = looks.last_looks(connection, settings.account)
    recent, odd_orders = list[ListedOrder](), list(open_orders.odd)
    for symbol in sorted(asked):
        looked = grid.to_ms(looked_at[symbol]) if symbol in looked_at else now
        orders = await _recent_orders(gateway, symbol, looked - _OVERLAP_MS)
        recent += orders
        odd_orders += [replace(it, name=symbol) for it in orders.odd]
    for symbol, number in disputed - {_place(order) for order in [*recent, *open_orders]}:
        recent += await _order(gateway, symbol, number)
    await _book_late_fills(engine, settings.account, executor, recent)
    with engine.connect() as connection:
        before = ledger.positions(connection, settings.account)
    balances = await gateway.balances()
    at = gateway.clock.now_ms()
    if not balances.odd:
        await _charge_fees(engine, gateway, settings.account, before, balances)
    suspicion = await _suspicion(engine, gateway, settings.account, balances)
    seen = {_place(order): order for order in [*open_orders, *recent]}  # what was asked for last counts
    with engine.begin() as connection:
        odd_assets = {it.name: it.why for it in balances.odd}
        ledger.save_balances(connection, settings.account, balances, grid.to_time(at))
        _keep_looks(connection, settings.account, before, balances, suspicion, grid.to_time(at))
        books = _books(connection, settings.account, seen.values())
        found = [
            *_order_drifts(seen.values(), books),
            *_balance_drifts(fees.shortages(connection, settings.account, balances), odd_assets),
            *_odd_drifts(connection, odd_orders),
        ]
        foreign = [order for order in seen.values() if not order.client_order_id.startswith(OURS)]
        _keep_foreign(connection, settings.account, foreign, at)
        accepted = drift.accepted(connection, settings.account)
        standing = [disagreement for disagreement in found if disagreement not in accepted]
        kept = drift.keep(connection, settings.account, standing, seen.keys(), grid.to_time(at))
        looks.note_look(connection, settings.account, asked, grid.to_time(now))
    metrics.LAST_RECONCILIATION.set_to_current_time()
    return Reconciliation(len(seen), len(foreign), kept, len(found) - len(standing))


def _place(order: ListedOrder) -> tuple[str, int]:
    """What names an order at the exchange once and for all."""
    return order.symbol, order.order_id


async def _recent_orders(gateway: Gateway, symbol: str, since_ms: int) -> Readable[ListedOrder]:
    try:
        return await gateway.recent_orders(symbol, since_ms)
    except ExchangeError as error:
        if error.failure.code != ErrorCode.BAD_SYMBOL:  # not listed any more
            raise
        return Readable()


async def _order(gateway: Gateway, symbol: str, number: int) -> list[ListedOrder]:
    try:
        return [await gateway.order_by_number(symbol, number)]
    except ExchangeError as error:
        if error.failure.code not in NOT_SHOWN:  # it can no longer be looked at
            raise
        return []


async def _book_late_fills(
    engine: Engine, account: str, executor: OrderExecutor, orders: list[ListedOrder]
) -> None:
    with engine.connect() as connection:
        books = _books(connection, account, orders)
    for order in orders:
        book = books.get(order.client_order_id)
        if book is not None and book.state not in LIVE and order.executed_quantity > book.booked_quantity:
            await executor.refresh(book)


def _books(connection: Connection, account: str, orders: Iterable[ListedOrder]) -> dict[str, outbox.Order]:
    """Our orders in the books that carry the names of orders at the exchange."""
    names = [order.client_order_id for order in orders]
    return {order.client_order_id: order for order in outbox.named(connection, account, names)}


def _order_drifts(orders: Iterable[ListedOrder], books: Mapping[str, outbox.Order]) -> Iterator[Drift]:
    ours = [order for order in orders if order.client_order_id.startswith(OURS)]
    times = Counter(order.client_order_id for order in ours)
    for order in ours:
        name, (symbol, number) = order.client_order_id, _place(order)
        if name in books and of_exchange(order.status) is None:
            yield drift.unknown_status(symbol, name, order.status, number)
        differences = [*_disagreements(order, books.get(name))]
        if times[name] > 1:
            differences.append((Reason.DUPLICATE_ORDER, {"times": str(times[name])}))
        for reason, facts in differences:
            yield Drift(symbol, reason, {"client_order_id": name, **facts}, number)


def _disagreements(order: ListedOrder, book: outbox.Order | None) -> Iterator[tuple[Reason, dict[str, str]]]:
    """How an order at the exchange differs from the one in the books; one in flight is resolved first."""
    if book is None:
        yield Reason.UNKNOWN_ORDER, {}
    elif book.state not in LIVE - {State.PLANNED}:
        status, executed = of_exchange(order.status), order.executed_quantity
        if status is not None and book.state is not status:
            yield Reason.ORDER_STATE, {"exchange": status, "books": book.state}
        if executed != book.booked_quantity:
            yield Reason.EXECUTED_QUANTITY, {"exchange": wire(executed), "books": wire(book.booked_quantity)}


def _balance_drifts(found: Iterable[Shortage], odd: Mapping[str, str]) -> Iterator[Drift]:
    """Less of an asset than the positions say is a drift of all its symbols; so is a balance that cannot be read."""
    for short in found:
        for symbol in short.symbols:
            if short.asset in odd:
                yield drift.unreadable(symbol, f"the balance of {short.asset}", odd[short.asset])
            else:
                yield Drift(symbol, Reason.BALANCE, short.facts)


def _odd_drifts(connection: Connection, odd: Iterable[Odd]) -> Iterator[Drift]:
    """An order that cannot be read is a drift of the symbol that it names, where that is one of ours."""
    ours = set(connection.execute(text("SELECT symbol FROM symbols")).scalars())
    for it in odd:
        if it.name in ours:
            yield drift.unreadable(it.name, "an order of it", it.why)


async def _charge_fees(
    engine: Engine, gateway: Gateway, account: str, before: list[Position], balances: list[Balance]
) -> None:
    """Charge positions with what fees have taken out of them, unless a fill on its way may be the cause as well.

    Args:
        before: the positions as they were before the balances were asked for.
    """
    with engine.connect() as connection:
        if not fees.explained(connection, account, fees.shortages(connection, account, balances)):
            return
    open_orders = await gateway.open_orders()
    with engine.begin() as connection:
        if not at_rest(connection, account, before, open_orders):
            return
        found = fees.shortages(connection, account, balances)
        for short in fees.explained(connection, account, found):
            fees.charge(connection, account, short, grid.to_time(gateway.clock.now_ms()))


async def _suspicion(
    engine: Engine, gateway: Gateway, account: str, balances: list[Balance]
) -> list[ListedOrder] | None:
    """The open orders, asked for after the balances, where a balance seems to have multiplied; None where none has."""
    with engine.connect() as connection:
        found = multiplied.looks(connection, account, balances)
    return await gateway.open_orders() if any(look.is_multiplied for look in found) else None


def _keep_looks(
    connection: Connection,
    account: str,
    before: list[Position],
    balances: list[Balance],
    open_orders: list[ListedOrder] | None,
    at: datetime,
) -> None:
    """Hold the symbols whose balance has multiplied, unless a fill on its way may be the cause: the next look tells."""
    found = multiplied.looks(connection, account, balances)
    if any(look.is_multiplied for look in found) and (
        open_orders is None or not at_rest(connection, account, before, open_orders)
    ):
        found = [look for look in found if not look.is_multiplied]
    multiplied.keep(connection, account, found, at)


def at_rest(
    connection: Connection, account: str, before: list[Position], open_orders: Iterable[ListedOrder]
) -> bool:
    """Whether what balances lack of positions is for good: all that was executed is booked, and nothing has moved.

    Until the transaction ends nobody else takes anything out of a position that is not a fill.

    Args:
        before: the positions as they were before the balances were asked for.
        open_orders: the exchange's, asked for after the balances.
    """
    connection.execute(text("LOCK TABLE fee_charges IN SHARE ROW EXCLUSIVE MODE"))
    executed = {order.client_order_id: order.executed_quantity for order in open_orders}
    # what is executed of these is known from their last report, and no list need ever show them again
    doubtful = {(it.symbol, it.exchange_order_id) for it in drift.doubtful(connection, account)}
    moving = outbox.unbooked(connection, account) or any(
        executed.get(order.client_order_id) != order.booked_quantity
        for order in outbox.live(connection, account, LIVE - {State.PLANNED})
        if (order.symbol, order.exchange_order_id) not in doubtful
    )
    return not moving and ledger.positions(connection, account) == before


def _keep_foreign(connection: Connection, account: str, orders: Iterable[ListedOrder], at: int) -> None:
    for order in orders:
        connection.execute(
            text("""
            INSERT INTO foreign_orders (
                account, symbol, exchange_order_id, client_order_id, side, type, status, quantity, seen_at
            ) VALUES (:account, :symbol, :number, :client, :side, :type, :status, :quantity, :at)
            ON CONFLICT (account, symbol, exchange_order_id) DO UPDATE
            SET status = excluded.status, seen_at = excluded.seen_at
            """),
            {
                "account": account,
                "symbol": order.symbol,
                "number": order.order_id,
                "client": order.client_order_id,
                "side": order.side,
                "type": order.type,
                "status": order.status,
                "quantity": order.quantity,
                "at": grid.to_time(at),
            },
        )
