"""Decisions and orders in the books, made the way the product makes them or, where it never would, by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.trading import outbox
from eightbells.trading.outbox import Intent, Order
from eightbells.trading.sizing import Sized
from eightbells.trading.states import State
from tests.klines import FIRST, admitted, after, kline, klines

ACCOUNT = "paper"
OPENED = grid.to_time(FIRST)


def list_symbol(connection: Connection, symbol: str = "BTCUSDT") -> None:
    connection.execute(
        text(
            "INSERT INTO symbols (symbol, status, base_asset, quote_asset, rules, seen_at) "
            "VALUES (:symbol, 'TRADING', :base, 'USDT', '{}', now())"
        ),
        {"symbol": symbol, "base": symbol.removesuffix("USDT")},
    )


def evaluation(connection: Connection, validation: int, **changed: Any) -> int:
    """Insert an evaluation that refers to a validation; returns its id."""
    values = {
        "account": ACCOUNT,
        "strategy": "trend",
        "strategy_version": "1",
        "parameters": "{}",
        "parameters_hash": "p",
        "code_version": "0",
        "symbol": "BTCUSDT",
        "interval": "4h",
        "open_time": OPENED,
        "window_start": OPENED,
        "window_candles": 1,
        "as_of_batch": 1,
        "inputs_hash": "i",
        "validation_id": validation,
        "evaluated_at": OPENED,
        **changed,
    }
    return insert(connection, "evaluations", values)


def signal(connection: Connection, of: int, **changed: Any) -> int:
    values = {"evaluation_id": of, "target": "long", "price": Decimal(100), "reason": "by hand", **changed}
    return insert(connection, "signals", values)


def insert(connection: Connection, table: str, values: dict[str, Any]) -> int:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id"
    return int(connection.execute(text(statement), values).scalar_one())


def proven_signal(engine: Engine) -> int:
    """A decision on a stored candle whose validation passed, and which was restated since."""
    verdict = admitted(engine, klines(1), after(1)).verdicts["BTCUSDT"]
    with engine.begin() as connection:
        list_symbol(connection)
        made = signal(connection, evaluation(connection, verdict.validation))
    admitted(engine, [kline(0, volume="13")], after(2))
    return made


def plan_order(
    connection: Connection, of: int, attempt: int = 1, leg: str = "entry", open_ms: int = FIRST
) -> Order:
    """Plan the order of a signal as the product does."""
    sized = Sized(leg, "BUY", Decimal("0.5"), Decimal(100))  # type: ignore[arg-type]
    identity = ("trend", "1", "BTCUSDT", open_ms)
    assert outbox.plan(connection, Intent(ACCOUNT, of, identity, sized, after(1), None, attempt))
    return outbox.live(connection, ACCOUNT, {State.PLANNED})[-1]


def planned_order(engine: Engine, of: int) -> Order:
    with engine.begin() as connection:
        return plan_order(connection, of)


def bring(connection: Connection, order: Order, *states: State) -> Order:
    """Move an order along legal transitions."""
    for number, state in enumerate(states):
        if state is State.SENDING:
            connection.execute(
                text("UPDATE orders SET request_time = :time, recv_window_ms = 5000 WHERE id = :id"),
                {"id": order.id, "time": OPENED},
            )
        outbox.move(connection, order, state, OPENED + timedelta(seconds=number), {}, None)
        order = outbox.load(connection, order.id)
    return order
