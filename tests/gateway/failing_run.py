"""A process in which everything fails that can: flows in live mode, every log open, each traceback printed.

`python -m tests.gateway.failing_run URL`; settings, the key and Prefect's address come from the environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from typing import Any

from cli.running import recorded
from eightbells.candles import grid
from eightbells.settings import load_settings
from flows.four_hour_cycle import four_hour_cycle
from flows.reconcile import reconcile
from tests.exchange import LAST, Simulator
from tests.gateway.answers import Answer, body, error, html

ORDER = "/api/v3/order"
ONE_BY_ONE: list[tuple[str, Answer]] = [
    ("GET /sapi/v1/account/apiRestrictions", html(502)),
    ("GET /api/v3/exchangeInfo", {"reset": True}),
    ("GET /api/v3/klines", error(-1003, "Way too much request weight used; IP banned.", 418, Retry_After=1)),
    ("GET /api/v3/openOrders", html(200)),
    ("GET /api/v3/account", error(-1021, "Timestamp for this request is outside of the recvWindow.")),
    ("GET /api/v3/ticker/price", error(-1003, "Too much request weight used.", 429)),
    ("GET /api/v3/allOrders", body(500, "not JSON")),
    ("GET /api/v3/myTrades", {"silence": 0.7}),
    (f"GET {ORDER}", {"truncate": True}),
]
OF_ORDERS: dict[str, Answer] = {
    "BTCUSDT": error(-1007, "Timeout waiting for response from backend server.", 504),
    "ETHUSDT": {"reset": True},
    "BNBUSDT": error(-2010, "Account has insufficient balance for requested action."),
    "SOLUSDT": {"silence": 0.7},
    "XRPUSDT": html(403),
}


async def fail(flow: Any, **parameters: Any) -> None:
    """Run a flow, and tell its failure in every way there is."""
    try:
        await flow(**parameters)
    except Exception:
        traceback.print_exc()
        logging.getLogger("eightbells").exception("the flow failed")


async def main(simulator: Simulator) -> None:
    candle = grid.to_time(LAST)
    for path, answer in ONE_BY_ONE:
        when = "after" if "truncate" in answer else "before"
        simulator.fault(path, answer, times=2 if "reset" in answer else 1, when=when)
    for symbol, answer in OF_ORDERS.items():
        simulator.fault(f"POST {ORDER}", answer, when="after", match={"symbol": symbol})
    await fail(four_hour_cycle, candle=candle)
    await fail(reconcile)
    assert all(simulator.fired().values()), simulator.fired()
    simulator.control("faults", action=html(502))  # from now on nothing is answered
    await fail(reconcile)
    simulator.ask("/simulator/faults", method="DELETE")
    os.environ["BINANCE_API_SECRET"] = os.environ["BINANCE_API_SECRET"][::-1]
    await fail(four_hour_cycle, candle=candle)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    load_settings()
    with recorded():
        asyncio.run(main(Simulator(sys.argv[1])))
