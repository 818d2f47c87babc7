"""The order outbox: an order is a committed row before it is a request, and every change of it an event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from eightbells.candles import grid
from eightbells.trading.sizing import Sized
from eightbells.trading.states import LIVE, State


@dataclass(frozen=True)
class Order:
    """A row of the outbox."""

    id: int
    signal_id: int
    leg: str
    attempt: int
    account: str
    strategy: str
    symbol: str
    open_time: datetime
    side: str
    type: str
    time_in_force: str | None
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    client_order_id: str
    state: State
    exchange_order_id: int | None
    request_time: datetime | None
    recv_window_ms: int | None
    executed_quantity: Decimal
    booked_quantity: Decimal
    planned_at: datetime
    replaces: int | None
    yields: bool
    command: int | None
    listed_with: int | None
    paired: bool
    trailing_delta: int | None


_COLUMNS = ", ".join(Order.__annotations__)


def client_order_id(
    account: str, strategy: str, version: str, symbol: str, open_ms: int, leg: str, attempt: int
) -> str:
    """The id of an order at the exchange: it comes from the decision, so that whoever decides again finds it.

    At most 36 characters of Binance's alphabet; the attempt stands readable at its end.
    """
    decision = "|".join((account, strategy, version, symbol, grid.INTERVAL, str(open_ms), leg))
    return f"eb-{hashlib.sha256(decision.encode()).hexdigest()[:28]}-{attempt}"


_INSERT = """
INSERT INTO orders (
    signal_id, leg, attempt, account, strategy, symbol, open_time, side, type, time_in_force, quantity,
    price, stop_price, sizing, client_order_id, planned_at, flow_run, replaces, command, listed_with, paired,
    trailing_delta
) VALUES (
    :signal, :leg, :attempt, :account, :strategy, :symbol, :opened, :side, :type, :tif, :quantity,
    :price, :stop, :sizing, :client, :now, :run, :replaces, :command, :listed, :paired,
    :trailing
) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Intent:
    """An order that is to be planned: of which decision, and what it buys or sells.

    Args:
        signal: id of the decision.
        identity: strategy, its version, symbol and the candle's open time (ms).
        command: what a sale by hand belongs to.
        listed_with: the planned stop together with which it is to be placed.
    """

    account: str
    signal: int
    identity: tuple[str, str, str, int]
    sized: Sized
    now_ms: int
    flow_run: str | None
    attempt: int = 1
    command: int | None = None
    listed_with: int | None = None

    def row(self, replaced: int | None = None) -> dict[str, Any]:
        """Its values in the outbox."""
        (strategy, version, symbol, open_ms), sized = self.identity, self.sized
        leg, attempt = sized.leg, self.attempt
        return {
            "signal": self.signal,
            "leg": leg,
            "attempt": attempt,
            "account": self.account,
            "strategy": strategy,
            "symbol": symbol,
            "opened": grid.to_time(open_ms),
            "side": sized.side,
            "type": sized.type,
            "tif": "GTC" if sized.type in ("LIMIT", "STOP_LOSS_LIMIT") else None,
            "listed": self.listed_with,
            "paired": self.listed_with is not None,
            "trailing": sized.trailing_delta,
            "quantity": sized.quantity,
            "price": sized.price,
            "stop": sized.stop_price,
            "sizing": sized.basis,
            "now": grid.to_time(self.now_ms),
            "run": self.flow_run,
            "replaces": replaced,
            "command": self.command,
            "client": client_order_id(self.account, strategy, version, symbol, open_ms, leg, attempt),
        }


def plan_purchases(connection: Connection, intents: Sequence[Intent]) -> None:
    """Insert the orders of decisions that buy, in one exchange with Postgres; a decision's order is never doubled."""
    if intents:
        connection.execute(text(_INSERT), [intent.row() for intent in intents])


def plan(connection: Connection, intent: Intent, replaces: Order | None = None) -> int | None:
    """Insert the order of a decision; None where the decision has its order already, or its position is being sold.

    A sale is not planned either while fills of its position are not booked: they could be of another sale.

    Args:
        replaces: the open sale in whose place this one comes. It is cancelled by the request that places this one.
    """
    strategy, _, symbol, _ = intent.identity
    if intent.sized.side == "SELL" and has_unbooked(connection, intent.account, strategy, symbol):
        return None
    replaced = None if replaces is None else _yield(connection, replaces.id)
    if replaces is not None and replaced is None:
        return None  # it is over, or being replaced: what is held by now is not known here
    planned: int | None = connection.execute(
        text(f"{_INSERT} RETURNING id"), intent.row(replaced)
    ).scalar_one_or_none()
    if planned is None and replaced is not None:
        _yield_no_more(connection, replaced)
    return planned


def has_unbooked(connection: Connection, account: str, strategy: str, symbol: str) -> bool:
    """Whether the exchange has executed more of a position's orders than is booked."""
    found: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM orders WHERE account = :account AND strategy = :strategy "
            "AND symbol = :symbol AND executed_quantity > booked_quantity)"
        ),
        {"account": account, "strategy": strategy, "symbol": symbol},
    ).scalar_one()
    return found


def _yield(connection: Connection, order: int) -> int | None:
    """Let an open sale yield to the one that is about to be planned; None where it is not open any more."""
    found: int | None = connection.execute(
        text("UPDATE orders SET yields = TRUE WHERE id = :id AND NOT yields AND state = 'OPEN' RETURNING id"),
        {"id": order},
    ).scalar_one_or_none()
    return found


def _yield_no_more(connection: Connection, order: int) -> None:
    connection.execute(text("UPDATE orders SET yields = FALSE WHERE id = :id"), {"id": order})


def plan_again(
    connection: Connection,
    order: Order,
    quantity: Decimal,
    price: Decimal | None,
    now_ms: int,
    flow_run: str | None,
) -> int | None:
    """Another attempt at the order's decision, after one that is REJECTED or ABSENT; None if there is one."""
    successor = client_order_id_of_attempt(order.client_order_id, order.attempt + 1)
    if order.side == "SELL" and has_unbooked(connection, order.account, order.strategy, order.symbol):
        return None
    replaced = None if order.replaces is None else _yield(connection, order.replaces)
    found: int | None = connection.execute(
        text("""
        INSERT INTO orders (
            signal_id, leg, attempt, account, strategy, symbol, open_time, side, type, time_in_force, quantity,
            price, stop_price, sizing, client_order_id, planned_at, flow_run, replaces, command, trailing_delta
        )
        SELECT
            signal_id, leg, attempt + 1, account, strategy, symbol, open_time, side, type, time_in_force, :quantity,
            :price, stop_price, sizing, :client, :now, :run, :replaces, command, trailing_delta
        FROM orders WHERE id = :id
        ON CONFLICT DO NOTHING RETURNING id
        """),
        {
            "id": order.id,
            "quantity": quantity,
            "price": price,
            "client": successor,
            "now": grid.to_time(now_ms),
            "run": flow_run,
            "replaces": replaced,
        },
    ).scalar_one_or_none()
    if found is None and replaced is not None:
        _yield_no_more(connection, replaced)
    return found


def signal_price(connection: Connection, order: Order) -> Decimal:
    """The close on which an order was decided."""
    price: Decimal = connection.execute(
        text("SELECT price FROM signals WHERE id = :id"), {"id": order.signal_id}
    ).scalar_one()
    return price


def client_order_id_of_attempt(first: str, attempt: int) -> str:
    """The id of another attempt at the same decision."""
    return f"{first.rpartition('-')[0]}-{attempt}"


def load(connection: Connection, order: int, *, lock: bool = False) -> Order:
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM orders WHERE id = :id" + (" FOR UPDATE" if lock else "")), {"id": order}
    ).one()
    return _order(row._mapping)


def load_all(connection: Connection, orders: Collection[int]) -> list[Order]:
    """Some orders, oldest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM orders WHERE id = ANY(:ids) ORDER BY id"), {"ids": list(orders)}
    )
    return [_order(row._mapping) for row in rows]


def named(connection: Connection, account: str, names: Collection[str]) -> list[Order]:
    """The orders that carry any of the client order ids, oldest first."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM orders WHERE account = :account AND client_order_id = ANY(:names) ORDER BY id"
        ),
        {"account": account, "names": list(names)},
    )
    return [_order(row._mapping) for row in rows]


def live(connection: Connection, account: str, states: Collection[State] = LIVE) -> list[Order]:
    """The account's live orders, or those of them in some states, oldest first."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM live_orders WHERE account = :account AND state = ANY(:states) ORDER BY id"
        ),
        {"account": account, "states": list(states)},
    )
    return [_order(row._mapping) for row in rows]


def of_candle(connection: Connection, account: str, open_time: datetime) -> list[Order]:
    """The orders that were decided on a candle, oldest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM orders WHERE account = :account AND open_time = :opened ORDER BY id"),
        {"account": account, "opened": open_time},
    )
    return [_order(row._mapping) for row in rows]


def known_exchange_ids(connection: Connection, account: str, numbers: Collection[int]) -> set[int]:
    """Those of the exchange's order numbers that are in the books."""
    rows = connection.execute(
        text(
            "SELECT exchange_order_id FROM orders WHERE account = :account AND exchange_order_id = ANY(:numbers)"
        ),
        {"account": account, "numbers": list(numbers)},
    )
    return set(rows.scalars())


def unbooked(connection: Connection, account: str) -> list[Order]:
    """Orders of which the exchange has executed more than the fills that are booked."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM orders WHERE account = :account AND executed_quantity > booked_quantity "
            "ORDER BY id"
        ),
        {"account": account},
    )
    return [_order(row._mapping) for row in rows]


def companion(connection: Connection, order: int, *, lock: bool = False) -> Order | None:
    """The order that was planned together with a stop, whatever has become of the two."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM orders WHERE listed_with = :id" + (" FOR UPDATE" if lock else "")),
        {"id": order},
    ).one_or_none()
    return None if row is None else _order(row._mapping)


def move(
    connection: Connection,
    order: Order,
    to: State,
    at: datetime,
    detail: Mapping[str, Any],
    flow_run: str | None,
) -> None:
    """One transition, by inserting its event; the database refuses an illegal one."""
    connection.execute(
        text(
            "INSERT INTO order_events (order_id, from_state, to_state, at, detail, flow_run) "
            "VALUES (:id, :from, :to, :at, CAST(:detail AS jsonb), :run)"
        ),
        {
            "id": order.id,
            "from": order.state,
            "to": to,
            "at": at,
            "detail": json.dumps(detail, default=str),
            "run": flow_run,
        },
    )


def note_exchange(connection: Connection, order: Order, exchange_id: int, executed: Decimal) -> None:
    """Keep the exchange's id and how much it says it has executed, which never shrinks."""
    connection.execute(
        text(
            "UPDATE orders SET exchange_order_id = :exchange, "
            "executed_quantity = greatest(executed_quantity, :executed) WHERE id = :id"
        ),
        {"id": order.id, "exchange": exchange_id, "executed": executed},
    )


def _order(row: RowMapping) -> Order:
    return Order(**{**row, "state": State(row["state"])})
