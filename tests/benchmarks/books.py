"""Seconds for a reconciliation, and for the report of ten positions, on books of 100 orders and of 100,000."""

from __future__ import annotations

import asyncio
import statistics
import time

from sqlalchemy import Engine, text

from eightbells.exchange.gateway import open_gateway
from eightbells.settings import load_settings
from eightbells.trading.costs import keep_costs
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.reconciliation import reconcile
from eightbells.trading.valuation import position_reports
from tests import books
from tests.benchmarks.surroundings import fresh_database, simulator

FEW, MANY, ROUNDS = 100, 100_000, 9
_AT_ONCE = 500
_STRATEGIES = 10

# Filled orders of one decision each, along the transitions that the database allows, of ten strategies. Each sells as
# often as it buys, so that the positions agree with the account, which holds nothing.
_ORDERS = """
WITH evaluated AS (
    INSERT INTO evaluations (
        account, strategy, strategy_version, parameters, parameters_hash, code_version, symbol, "interval", open_time,
        window_start, window_candles, as_of_batch, inputs_hash, validation_id, evaluated_at
    ) SELECT
        account, 'b' || number % 10, number, parameters, parameters_hash, code_version, symbol, "interval", open_time,
        window_start, window_candles, as_of_batch, inputs_hash, validation_id, evaluated_at
    FROM evaluations, generate_series(CAST(:first AS int), CAST(:last AS int)) AS number WHERE evaluations.id = 1
    RETURNING id, account, strategy, symbol, open_time
), signalled AS (
    INSERT INTO signals (evaluation_id, target, price, reason) SELECT id, 'long', 100, '' FROM evaluated
    RETURNING id, evaluation_id
) INSERT INTO orders (
    signal_id, leg, account, strategy, symbol, open_time, side, type, quantity, client_order_id, exchange_order_id,
    request_time, recv_window_ms, executed_quantity, planned_at
) SELECT
    s.id, 'entry', account, strategy, symbol, open_time, 'BUY', 'MARKET', 1,
    'eb-' || s.id || '-1', s.id, open_time, 5000, 1, open_time
FROM signalled AS s INNER JOIN evaluated AS e ON e.id = s.evaluation_id ORDER BY s.id DESC
"""
_EVENTS = """
INSERT INTO order_events (order_id, from_state, to_state, at)
SELECT id, state, CAST(:state AS text), open_time FROM orders WHERE state = CAST(:from AS text)
"""
_FILLS = """
INSERT INTO fills SELECT
    account, symbol, id, id, CASE id / 10 % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END, 100, 1, 100, 0, 'BNB',
    open_time + id * interval '1 second'
FROM orders WHERE executed_quantity > booked_quantity AND state = 'FILLED'
"""


def main() -> None:
    with simulator("--generate", "5", "--speed", "1") as _, fresh_database() as engine:
        books.proven_signal(engine)
        reconciled, reported = asyncio.run(_rounds(engine))
    for what, few, many in (("a reconciliation", *reconciled), ("the report of ten positions", *reported)):
        print(f"books: {what}, {ROUNDS} rounds, median (slowest)")
        for count, seconds in ((FEW, few), (MANY, many)):
            print(f"  {count:>7,} orders {statistics.median(seconds):>8.3f} s  ({max(seconds):.3f})")
        print(f"  {'ratio':>14} {statistics.median(many) / statistics.median(few):>8.2f}")


async def _rounds(engine: Engine) -> tuple[list[list[float]], list[list[float]]]:
    settings = load_settings()
    reconciled, reported = list[list[float]](), list[list[float]]()
    async with open_gateway(settings, engine) as gateway:
        executor = OrderExecutor(settings, engine, gateway)
        for first, last in ((1, FEW), (FEW + 1, MANY)):
            _fill_books(engine, first, last)
            await reconcile(settings, engine, gateway, executor)  # looks at every order once
            with engine.begin() as connection:
                keep_costs(connection, settings.account)  # as each cycle does
            reconciled.append([])
            reported.append([])
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                await reconcile(settings, engine, gateway, executor)
                reconciled[-1].append(time.perf_counter() - begun)
                begun = time.perf_counter()
                with engine.connect() as connection:
                    assert len(position_reports(connection, settings)) == _STRATEGIES
                reported[-1].append(time.perf_counter() - begun)
    return reconciled, reported


def _fill_books(engine: Engine, first: int, last: int) -> None:
    """Orders in the books that the exchange's list of open orders does not have, since they are filled."""
    for start in range(first, last + 1, _AT_ONCE):
        with engine.begin() as connection:
            connection.execute(text(_ORDERS), {"first": start, "last": min(start + _AT_ONCE - 1, last)})
            for before, state in (("PLANNED", "SENDING"), ("SENDING", "FILLED")):
                connection.execute(text(_EVENTS), {"from": before, "state": state})
            connection.execute(text(_FILLS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
