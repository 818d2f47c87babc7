"""Symbols that cannot be traded, and orders that cannot be for the moment: the others go on, and the rest later."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch
from tests.gateway.answers import QUICK, error

ORDER = "POST /api/v3/order"


async def test_an_odd_entry_of_exchange_info_stops_its_symbol_alone(watch: Watch) -> None:
    odd = {"BTCUSDT": {"filters": {"LOT_SIZE": {"stepSize": None}}}, "ETHUSDT": {"orderTypes": None}}
    watch.simulator.control("settings", symbols=odd)
    report = await watch.cycle()
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(set(SYMBOLS) - set(odd))]
    assert report.outcome == "problems"
    assert {(symbol, stage): reason for symbol, _, stage, reason in report.refused} == {
        ("BTCUSDT", "universe"): "exchangeInfo cannot be read: LOT_SIZE.stepSize is null or missing",
        ("ETHUSDT", "universe"): "exchangeInfo cannot be read: orderTypes is null or missing",
    }


async def test_a_backfill_of_all_symbols_loads_what_can_be_loaded(watch: Watch) -> None:
    watch.simulator.control("settings", symbols={"BTCUSDT": {"orderTypes": None}})
    loaded = await watch.backfill(first=watch.simulator.now - 86_400_000)
    assert list(loaded.failed) == ["BTCUSDT"]
    assert set(loaded.verdicts) == set(SYMBOLS) - {"BTCUSDT"}


REFUSALS = {
    "maintenance": error(-2010, "Rest API trading is not enabled."),
    "market-closed": error(-1013, "Market is closed."),
}


@pytest.mark.parametrize("row", REFUSALS)
async def test_an_order_that_was_refused_for_the_moment_goes_out_with_the_next_run(
    watch: Watch, row: str
) -> None:
    watch.use(errors={row: {"delay": QUICK}})
    only_btc: Any = {"symbol": "BTCUSDT"}
    watch.simulator.fault(ORDER, REFUSALS[row], times=99, match=only_btc)
    report = await watch.cycle()
    asked = watch.rows("SELECT attempt, state FROM orders WHERE symbol = 'BTCUSDT' ORDER BY id")
    assert asked == [(attempt, "REJECTED") for attempt in (1, 2, 3, 4)]
    assert [problem for problem in report.problems if "BTCUSDT" in problem]
    watch.simulator.ask("/simulator/faults", method="DELETE")
    assert (await watch.cycle()).problems == []
    newest = watch.rows("SELECT attempt, state FROM orders WHERE symbol = 'BTCUSDT' ORDER BY id DESC")
    assert newest[0] == (5, "FILLED")
    assert len([order for order in watch.simulator.orders() if order["symbol"] == "BTCUSDT"]) == 1
    await watch.cycle()
    assert watch.one("SELECT count(*) FROM orders WHERE symbol = 'BTCUSDT'") == 5
    assert watch.differences() == []


async def test_an_order_that_was_refused_for_good_stays_refused(watch: Watch) -> None:
    refusal = error(-2010, "This action is disabled on this account.")
    watch.simulator.fault(ORDER, refusal, match={"symbol": "BTCUSDT"})
    await watch.cycle()
    await watch.cycle()
    assert watch.rows("SELECT attempt, state FROM orders WHERE symbol = 'BTCUSDT'") == [(1, "REJECTED")]
