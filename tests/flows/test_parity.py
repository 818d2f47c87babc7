"""The cycle against the simulator, and the backtest of the same span: the same orders and equity, to the last digit.

What the backtest cannot know is the price some seconds after a close, at which an order arrives. It is given that.
"""

from __future__ import annotations

from dataclasses import replace

from eightbells.backtest.engine import run
from eightbells.backtest.history import read_stored
from eightbells.candles import grid
from tests.exchange import LAST, STEP
from tests.flows.conftest import Watch

CYCLES = 24
TREND = {
    "name": "trend", "kind": "ma_cross", "capital": "10000", "stop_loss": "0.5",
    "parameters": {"fast": 1, "slow": 3},
}  # fmt: skip
ORDERS = """
SELECT client_order_id, leg, side, type, quantity, price, stop_price, executed_quantity FROM orders ORDER BY id
"""


async def test_the_backtest_orders_what_the_cycle_has_ordered(watch: Watch) -> None:
    settings = watch.use(
        symbols=["BTCUSDT"],
        strategies=[TREND],
        trading__order_type="limit",
        trading__limit_offset="0.02",
        trading__exit_steps=["close", "market"],
        risk__max_jump_sigmas=0,
        backtest={"taker_fee": "0.001", "maker_fee": "0.001", "slippage": "0"},
    )
    await watch.cycle()
    for _ in range(CYCLES):
        watch.next_candle()
        report = await watch.cycle(grid.last_closed(watch.simulator.now))
        assert report.outcome == "complete"
    last = grid.last_closed(watch.simulator.now)
    fills = watch.rows("SELECT traded_at, price FROM fills ORDER BY trade_id")
    arrivals = {grid.floor(grid.to_ms(at)): price for at, price in fills}
    assert len(arrivals) == len(fills) >= 4
    with watch.engine.connect() as connection:
        (history,) = read_stored(connection, "paper", ["BTCUSDT"], last)
    # the slot that still runs: the last cycle's orders arrive in it
    found = run(settings, [replace(history, arrivals=arrivals)], LAST, last)
    ours = [
        (
            it.client_order_id,
            it.leg,
            it.side,
            it.type,
            it.quantity,
            it.price,
            it.stop_price,
            it.executed_quantity,
        )
        for it in found.orders.values()
    ]
    of_last = watch.rows(
        "SELECT client_order_id FROM orders WHERE planned_at >= :at", at=grid.to_time(last + STEP)
    )
    without = {name for (name,) in of_last}
    theirs = [row for row in watch.rows(ORDERS) if row[0] not in without]
    assert sorted(ours) == sorted(theirs)
    assert {row[1] for row in theirs} == {"entry", "exit", "stop"}
    equity = watch.rows("SELECT open_time, equity FROM cycles ORDER BY open_time")
    assert len(equity) == CYCLES + 1
    for at, value in equity[:-1]:
        assert value == found.booked[grid.to_ms(at)], at
