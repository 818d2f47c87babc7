"""An order's history: from the candles of its decision to its fills and fees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from eightbells.candles.timeframe import CYCLE
from eightbells.errors import EightbellsError

_FIND = """
SELECT id FROM orders
WHERE client_order_id = :name OR CAST(id AS text) = :name OR CAST(exchange_order_id AS text) = :name
ORDER BY client_order_id = :name DESC, CAST(id AS text) = :name DESC LIMIT 1
"""
_ORDER = """
SELECT
    o.id, o.client_order_id, o.exchange_order_id, o.account, o.strategy, o.symbol, o.leg, o.attempt, o.side, o.type,
    o.quantity, o.price, o.stop_price, o.sizing, o.state, o.executed_quantity, o.planned_at, o.flow_run,
    c.by_whom, c.why,
    s.target, s.price AS close, s.reason, s.stop AS wanted_stop, s.take_profit, s.weight,
    e.id AS evaluation, e.strategy_version, e.parameters, e.code_version, e.open_time, e.window_start, e.window_candles,
    e.as_of_batch, e.inputs_hash, e.evaluated_at, e.flow_run AS evaluated_by,
    v.id AS validation, v.suite, v.checked, v.failed, b.id AS batch, b.source, b.known_at
FROM orders AS o
INNER JOIN signals AS s ON o.signal_id = s.id
INNER JOIN evaluations AS e ON s.evaluation_id = e.id
INNER JOIN validations AS v ON e.validation_id = v.id
INNER JOIN batches AS b ON v.batch_id = b.id
LEFT JOIN commands AS c ON o.command = c.id
WHERE o.id = :id
"""
_EVENTS = """
SELECT from_state, to_state, at, recorded_at, detail, flow_run FROM order_events WHERE order_id = :id ORDER BY id
"""
_FILLS = """
SELECT trade_id, price, quantity, quote_quantity, commission, commission_asset, traded_at FROM fills
WHERE order_id = :id ORDER BY trade_id
"""
_SIBLINGS = """
SELECT client_order_id, state FROM orders
WHERE (signal_id, leg) = (SELECT signal_id, leg FROM orders WHERE id = :id) AND id <> :id ORDER BY attempt
"""
_CANDLES = """
SELECT open_time, open, high, low, close, volume FROM candles_as_of_batch(:batch)
WHERE symbol = :symbol AND "interval" = :interval AND open_time <= :last ORDER BY open_time DESC LIMIT 5
"""


@dataclass(frozen=True)
class Story:
    """Rows as dictionaries, in the order in which things happened."""

    order: dict[str, Any]
    candles: list[dict[str, Any]]
    events: list[dict[str, Any]]
    fills: list[dict[str, Any]]
    other_attempts: list[dict[str, Any]]


def tell(connection: Connection, name: str) -> Story:
    """The story of an order by its client order id, our number or the exchange's.

    Raises:
        EightbellsError: there is no such order.
    """
    found = connection.execute(text(_FIND), {"name": name}).scalar_one_or_none()
    if found is None:
        raise EightbellsError(
            f"there is no order {name}: give its client order id, our number or the exchange's"
        )
    order = dict(connection.execute(text(_ORDER), {"id": found}).one()._mapping)
    window = {"batch": order["as_of_batch"], "symbol": order["symbol"], "last": order["open_time"]}
    window["interval"] = CYCLE.name
    return Story(
        order,
        _rows(connection, _CANDLES, window)[::-1],
        _rows(connection, _EVENTS, {"id": found}),
        _rows(connection, _FILLS, {"id": found}),
        _rows(connection, _SIBLINGS, {"id": found}),
    )


def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(text(statement), values)]
