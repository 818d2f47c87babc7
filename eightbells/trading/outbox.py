"""The order outbox: an order is a committed row before it is a request, and every change of it an event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, text

from eightbells.candles import grid
from eightbells.settings import Settings
from eightbells.trading import commands
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.holds import held_symbols
from eightbells.trading.lease import Lease
from eightbells.trading.pauses import open_pauses, pause_of
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


_INSERT = text("""
INSERT INTO orders (
    signal_id, leg, attempt, account, strategy, symbol, open_time, side, type, time_in_force, quantity,
    price, stop_price, sizing, client_order_id, planned_at, flow_run, replaces, command, listed_with, paired,
    trailing_delta
) VALUES (
    :signal, :leg, :attempt, :account, :strategy, :symbol, :opened, :side, :type, :tif, :quantity,
    :price, :stop, :sizing, :client, :now, :run, :replaces, :command, :listed, :paired,
    :trailing
) ON CONFLICT DO NOTHING RETURNING id
""")


def plan(
    connection: Connection,
    account: str,
    signal: int,
    identity: tuple[str, str, str, int],
    sized: Sized,
    now_ms: int,
    flow_run: str | None,
    attempt: int = 1,
    replaces: Order | None = None,
    command: int | None = None,
    listed_with: int | None = None,
) -> int | None:
    """Insert the order of a decision; None where the decision has its order already, or its position is being sold.

    A sale is not planned either while fills of its position are not booked: they could be of another sale.

    Args:
        identity: strategy, its version, symbol and the candle's open time (ms).
        replaces: the open sale in whose place this one comes. It is cancelled by the request that places this one.
        command: what a sale by hand belongs to.
        listed_with: the planned stop together with which it is to be placed.
    """
    strategy, version, symbol, open_ms = identity
    if sized.side == "SELL" and has_unbooked(connection, account, strategy, symbol):
        return None
    replaced = None if replaces is None else _yield(connection, replaces.id)
    if replaces is not None and replaced is None:
        return None  # it is over, or being replaced: what is held by now is not known here
    planned: int | None = connection.execute(
        _INSERT,
        {
            "signal": signal,
            "leg": sized.leg,
            "attempt": attempt,
            "account": account,
            "strategy": strategy,
            "symbol": symbol,
            "opened": grid.to_time(open_ms),
            "side": sized.side,
            "type": sized.type,
            "tif": "GTC" if sized.type in ("LIMIT", "STOP_LOSS_LIMIT") else None,
            "listed": listed_with,
            "paired": listed_with is not None,
            "trailing": sized.trailing_delta,
            "quantity": sized.quantity,
            "price": sized.price,
            "stop": sized.stop_price,
            "sizing": sized.basis,
            "now": grid.to_time(now_ms),
            "run": flow_run,
            "replaces": replaced,
            "command": command,
            "client": client_order_id(account, strategy, version, symbol, open_ms, sized.leg, attempt),
        },
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


def latest_attempt(connection: Connection, order: int) -> Order:
    """The newest attempt at the decision that an order belongs to."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM orders WHERE (signal_id, leg) = "
            "(SELECT signal_id, leg FROM orders WHERE id = :id) ORDER BY attempt DESC LIMIT 1"
        ),
        {"id": order},
    ).one()
    return _order(row._mapping)


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


def next_attempt(connection: Connection, signal: int, leg: str) -> int:
    """The number of the next attempt at a leg that follows what is held, however often that changes."""
    attempt: int = connection.execute(
        text("SELECT coalesce(max(attempt), 0) + 1 FROM orders WHERE signal_id = :signal AND leg = :leg"),
        {"signal": signal, "leg": leg},
    ).scalar_one()
    return attempt


# After an exit another may always follow: it sells what is left. After an entry only where it does not exist.
_NEWEST_ATTEMPTS = """
SELECT DISTINCT ON (o.signal_id)
    o.signal_id, o.attempt,
    o.leg = 'exit' AND o.state IN ('FILLED', 'CANCELED', 'EXPIRED', 'DENIED')
    OR o.state = 'ABSENT'
    OR (:again AND o.state = 'REJECTED' AND coalesce(e.detail ->> 'action' IN ('wait', 'fix', 'resync'), FALSE))
    AS open
FROM orders AS o LEFT JOIN order_events AS e ON e.order_id = o.id AND e.to_state = 'REJECTED'
WHERE o.signal_id = ANY(:signals) AND o.leg IN ('entry', 'exit', 'trim') ORDER BY o.signal_id, o.attempt DESC
"""


def newest_attempts(
    connection: Connection, signals: Collection[int], *, again: bool = False
) -> dict[int, tuple[int, bool]]:
    """Number of the newest entry or exit of each signal that has one, and whether another may follow it.

    Args:
        again: whether one may follow an attempt that the exchange refused for the moment only, or for what can be
            mended: whoever refused it may have died before the next attempt was planned.
    """
    rows = connection.execute(text(_NEWEST_ATTEMPTS), {"signals": list(signals), "again": again})
    return {signal: (attempt, is_open) for signal, attempt, is_open in rows}


_PUT_OFF = """
SELECT DISTINCT ON (o.signal_id, o.leg) o.id, o.state = 'REJECTED' AND e.detail ->> 'action' = 'wait' AS waits
FROM orders AS o LEFT JOIN order_events AS e ON e.order_id = o.id AND e.to_state = 'REJECTED'
WHERE o.account = :account AND o.open_time = :opened AND o.leg IN ('entry', 'exit', 'trim')
ORDER BY o.signal_id, o.leg, o.attempt DESC
"""


def put_off(connection: Connection, account: str, open_time: datetime) -> list[Order]:
    """The orders of a candle that the exchange refused for the moment only, and that no later attempt replaced."""
    rows = connection.execute(text(_PUT_OFF), {"account": account, "opened": open_time})
    return load_all(connection, [order for order, waits in rows if waits])


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


def symbols_moved(connection: Connection, account: str, margin: timedelta) -> list[str]:
    """Symbols of which an order has changed its state since the exchange's were last looked at, or waits to go out.

    What changed longer than `margin` before that look was seen then.
    """
    rows = connection.execute(
        text(
            "SELECT s.symbol FROM symbols AS s "
            "LEFT JOIN order_looks AS l ON l.account = :account AND l.symbol = s.symbol WHERE EXISTS ("
            "SELECT FROM orders AS o WHERE o.account = :account AND o.symbol = s.symbol "
            "AND o.changed_at >= coalesce(l.looked_at - :margin, '-infinity')) OR EXISTS ("
            "SELECT FROM live_orders AS o WHERE o.account = :account AND o.symbol = s.symbol AND o.state = 'PLANNED'"
            ") ORDER BY s.symbol"
        ),
        {"account": account, "margin": margin},
    )
    return list(rows.scalars())


def last_looks(connection: Connection, account: str) -> dict[str, datetime]:
    """When the exchange's orders of each symbol were last looked at."""
    rows = connection.execute(
        text("SELECT symbol, looked_at FROM order_looks WHERE account = :account"), {"account": account}
    )
    return {row.symbol: row.looked_at for row in rows}


def note_look(connection: Connection, account: str, symbols: Collection[str], at: datetime) -> None:
    """Keep when the exchange's orders of some symbols were looked at."""
    connection.execute(
        text(
            "INSERT INTO order_looks (account, symbol, looked_at) "
            "SELECT :account, symbol, CAST(:at AS timestamptz) FROM unnest(CAST(:symbols AS text[])) AS symbol "
            "ON CONFLICT (account, symbol) DO UPDATE SET looked_at = excluded.looked_at"
        ),
        {"account": account, "symbols": sorted(symbols), "at": at},
    )


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


def begin_sending(
    engine: Engine, settings: Settings, order: int, timestamp_ms: int, flow_run: str | None, lease: Lease
) -> Order | None:
    """Commit that this very request, with this very timestamp, goes out now; None where it may not.

    It may not where the order is no longer PLANNED, where trading is switched off, where its symbol is held, where
    exchange and books have come to disagree on it, or where its candle has grown old. Until the commit nothing was
    sent; after it the order counts as sent, whatever happens to this process.

    Raises:
        LeaseLost: another worker trades the account by now.
    """
    recv_window_ms = settings.exchange.recv_window_ms
    with engine.begin() as connection:
        lease.require(connection)
        present = load(connection, order, lock=True)
        if (
            present.state is not State.PLANNED or present.paired
        ):  # of a pair the stop is sent, and the other with it
            return None
        if reason := _must_not_go(connection, present, timestamp_ms, settings):
            move(connection, present, State.DENIED, grid.to_time(timestamp_ms), {"reason": reason}, flow_run)
            return None
        other = companion(connection, order, lock=True)
        sent_with = [other] if other is not None and other.state is State.PLANNED else []
        for sent in [present, *sent_with]:
            connection.execute(
                text("UPDATE orders SET request_time = :time, recv_window_ms = :window WHERE id = :id"),
                {"id": sent.id, "time": grid.to_time(timestamp_ms), "window": recv_window_ms},
            )
            move(connection, sent, State.SENDING, grid.to_time(timestamp_ms), {}, flow_run)
        return load(connection, order)


def _must_not_go(connection: Connection, order: Order, now_ms: int, settings: Settings) -> str | None:
    off = switched_off(connection)
    if order.leg not in ("sellout", "manual"):  # those are a person's word
        held = held_symbols(connection, order.account, buying=order.side == "BUY")
        if hold := held.get(order.symbol):
            return f"the symbol is held: {hold}"
    if order.leg in ("stop", "target"):  # what was set when the position was bought goes at any time
        return None
    if order.leg == "manual":  # a person wants it
        if commands.goes_anyway(connection, order.command):
            return None
        return commands.obstacle(connection, order.account, order.symbol)
    if order.leg == "sellout":
        return None if off else "trading is switched on again, nothing is sold out"
    if off:
        return f"trading is switched off: {off}"
    if order.leg in ("exit", "trim"):
        reason = _superseded(connection, order)
    elif pause := pause_of(open_pauses(connection, order.account), order.strategy, order.symbol):
        reason = pause.refusal
    else:
        reason = lateness(grid.to_ms(order.open_time), now_ms, settings)
    return reason or blocked_symbols(connection, order.account).get(order.symbol)


def _superseded(connection: Connection, order: Order) -> str | None:
    """Why an exit is no longer wanted: its strategy has decided on a later candle."""
    later: datetime | None = connection.execute(
        text(
            "SELECT max(e.open_time) FROM evaluations AS e INNER JOIN signals AS s ON s.evaluation_id = e.id "
            "WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol "
            'AND e."interval" = :interval AND e.open_time > :opened'
        ),
        {
            "account": order.account,
            "strategy": order.strategy,
            "symbol": order.symbol,
            "interval": grid.INTERVAL,
            "opened": order.open_time,
        },
    ).scalar_one()
    return (
        None if later is None else f"the strategy has decided again on candle {grid.label(grid.to_ms(later))}"
    )


def lateness(open_ms: int, now_ms: int, settings: Settings) -> str | None:
    """Why a candle is too old to trade on, or None where it is fresh."""
    minutes = (now_ms - grid.closes_at(open_ms)) / 60_000
    if minutes <= settings.trading.max_candle_age_minutes:
        return None
    return (
        f"the candle closed {minutes:.0f} minutes ago, "
        f"trading stops after {settings.trading.max_candle_age_minutes:g}"
    )


def switched_off(connection: Connection) -> str | None:
    """Why trading is off, or None where it is on."""
    reason: str | None = connection.execute(
        text("SELECT reason FROM switches WHERE name = 'trading' AND NOT is_on")
    ).scalar_one_or_none()
    return reason


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
