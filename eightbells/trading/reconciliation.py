"""The exchange held against the books: what is ours is followed, what is foreign listed, what disagrees marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.trading import ledger, outbox
from eightbells.trading.execution import Desk
from eightbells.trading.states import LIVE, State, of_exchange

OURS = "eb-"


@dataclass(frozen=True)
class Drift:
    """One disagreement; while it lasts its symbol is not traded."""

    symbol: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Reconciliation:
    """What a reconciliation found."""

    orders: int
    foreign: int
    drifts: list[Drift] = field(default_factory=list)


async def reconcile(settings: Settings, engine: Engine, gateway: Gateway, desk: Desk) -> Reconciliation:
    """Compare open orders, recent orders and balances with the books, and keep what disagrees; twice changes nothing.

    To be called once the account's own open orders have been followed. A fill that came after its order was closed
    in the books is booked; what then still differs is a drift.

    Recent orders are asked for where we had some since a candle ago; open orders and balances are compared for all.
    """
    open_orders = await gateway.open_orders()
    since = gateway.clock.now_ms() - grid.STEP_MS
    with engine.connect() as connection:
        symbols = outbox.symbols_since(connection, settings.account, grid.to_time(since))
    recent = [order for symbol in symbols for order in await gateway.recent_orders(symbol, since)]
    await _book_late_fills(engine, settings.account, desk, recent)
    account = await gateway.account()
    at = gateway.clock.now_ms()
    seen = {(order["symbol"], int(order["orderId"])): order for order in [*recent, *open_orders]}
    with engine.begin() as connection:
        ledger.save_balances(connection, settings.account, account["balances"], grid.to_time(at))
        books = _books(connection, settings.account)
        found = [
            *_order_drifts(seen.values(), books),
            *_balance_drifts(connection, settings, account["balances"]),
        ]
        foreign = [order for order in seen.values() if not order["clientOrderId"].startswith(OURS)]
        _keep_foreign(connection, settings.account, foreign, at)
        _keep_drifts(connection, settings.account, found, at)
    return Reconciliation(len(seen), len(foreign), found)


async def _book_late_fills(engine: Engine, account: str, desk: Desk, orders: list[dict[str, Any]]) -> None:
    with engine.connect() as connection:
        books = _books(connection, account)
    for order in orders:
        book = books.get(order["clientOrderId"])
        if book is not None and book.state not in LIVE and Decimal(order["executedQty"]) > book.booked:
            with engine.connect() as connection:
                late = outbox.load(connection, book.id)
            await desk.refresh(late)


def _books(connection: Connection, account: str) -> dict[str, Any]:
    rows = connection.execute(
        text(
            "SELECT id, client_order_id, symbol, state, request_time, executed_quantity, coalesce(("
            "SELECT sum(f.quantity) FROM fills AS f WHERE f.order_id = o.id), 0) AS booked FROM orders AS o "
            "WHERE account = :account"
        ),
        {"account": account},
    )
    return {row.client_order_id: row for row in rows}


def _order_drifts(orders: Iterable[Mapping[str, Any]], books: dict[str, Any]) -> Iterable[Drift]:
    times: dict[str, int] = {}
    for order in orders:
        name = order["clientOrderId"]
        if not name.startswith(OURS):
            continue
        times[name] = times.get(name, 0) + 1
        book = books.get(name)
        if book is None:
            yield Drift(order["symbol"], "order", f"order {name} is at the exchange and not in the books")
            continue
        status, executed = of_exchange(order["status"]), Decimal(order["executedQty"])
        if book.state not in LIVE and State(book.state) is not status:
            yield Drift(
                order["symbol"],
                "order",
                f"order {name} is {status} at the exchange, {book.state} in the books",
            )
        if book.state not in LIVE and executed != book.booked:
            detail = f"order {name}: {wire(executed)} executed at the exchange, {wire(book.booked)} booked"
            yield Drift(order["symbol"], "fill", detail)
    for name, count in times.items():
        if count > 1:
            yield Drift(
                books[name].symbol if name in books else "", "order", f"order {name} is there {count} times"
            )


def _balance_drifts(
    connection: Connection, settings: Settings, balances: Iterable[Mapping[str, str]]
) -> Iterable[Drift]:
    """Less of an asset than the positions say is a drift; more may be the user's own."""
    held = {entry["asset"]: Decimal(entry["free"]) + Decimal(entry["locked"]) for entry in balances}
    rows = connection.execute(
        text(
            "SELECT min(p.symbol), s.base_asset, sum(p.quantity) FROM positions AS p "
            "INNER JOIN symbols AS s ON p.symbol = s.symbol WHERE p.account = :account GROUP BY s.base_asset"
        ),
        {"account": settings.account},
    )
    for symbol, asset, quantity in rows:
        there = held.get(asset, Decimal(0))
        if there < quantity:
            yield Drift(
                symbol, "balance", f"{wire(quantity)} {asset} in the books, {wire(there)} at the exchange"
            )


def _keep_foreign(connection: Connection, account: str, orders: Iterable[Mapping[str, Any]], at: int) -> None:
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
                "account": account, "symbol": order["symbol"], "number": int(order["orderId"]),
                "client": order["clientOrderId"], "side": order["side"], "type": order["type"],
                "status": order["status"], "quantity": Decimal(order["origQty"]), "at": grid.to_time(at),
            },
        )  # fmt: skip


def _keep_drifts(connection: Connection, account: str, found: list[Drift], at: int) -> None:
    """Open what is new, clear what is gone."""
    for drift in found:
        connection.execute(
            text(
                "INSERT INTO drifts (account, symbol, kind, detail, found_at) "
                "VALUES (:account, :symbol, :kind, :detail, :at) ON CONFLICT DO NOTHING"
            ),
            {**vars(drift), "account": account, "at": grid.to_time(at)},
        )
    connection.execute(
        text(
            "UPDATE drifts SET cleared_at = :at WHERE account = :account AND cleared_at IS NULL "
            "AND NOT (symbol || '|' || kind || '|' || detail) = ANY(:found)"
        ),
        {
            "account": account, "at": grid.to_time(at),
            "found": [f"{drift.symbol}|{drift.kind}|{drift.detail}" for drift in found],
        },
    )  # fmt: skip
