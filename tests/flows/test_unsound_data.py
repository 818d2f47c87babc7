"""Candles that are wrong, late or missing: nothing is traded on them, and nobody else is kept from trading."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eightbells.candles import grid
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import WINDOW, Watch, strategy

ALL = [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
MADE_UP_FROM = 1_546_300_800_000  # 2019-01-01: where the exchange's made-up history begins
OTHERS = [order for order in ALL if order[0] != "BTCUSDT"]


def corrupt(watch: Watch, at: int = LAST, **changed: Any) -> None:
    watch.simulator.control("candles", symbol="BTCUSDT", restate=[{"at": at, **changed}])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"low": "999999999"}, "validation failed: low above open (1), low above close (1)"),
        ({"close": 1.5}, "validation failed: close missing or inexact (1)"),
        ({"volume": "-1"}, "validation failed: volume negative (1), taker volume above volume (1)"),
        ({"open_time": "soon"}, "the exchange did not deliver the candle"),
    ],
    ids=str,
)
async def test_a_corrupt_candle_stops_only_its_symbol_and_says_why(
    watch: Watch, changed: dict[str, Any], reason: str
) -> None:
    corrupt(watch, **changed)
    await watch.cycle()
    assert watch.orders() == OTHERS
    assert watch.refusals() == [("BTCUSDT", "quality", reason)]
    ((raw,),) = watch.rows("SELECT raw FROM quarantined_candles")
    assert raw[1:5] == watch.simulator.klines("BTCUSDT", LAST)[0][1:5]
    assert watch.differences() == []


async def test_a_corrupt_candle_in_the_window_stops_its_symbol_too(watch: Watch) -> None:
    corrupt(watch, LAST - 4 * STEP, trades=-5)
    await watch.cycle()
    assert watch.orders() == OTHERS
    assert watch.refusals() == [("BTCUSDT", "quality", "validation failed: trades negative (1)")]


async def test_a_row_that_was_not_asked_for_stops_its_symbol_too(watch: Watch) -> None:
    old = LAST - 1_200_000 * STEP  # on the grid, and before all history
    corrupt(watch, LAST - 2 * STEP, open_time=old, close_time=old + STEP - 1)
    await watch.cycle()
    assert watch.orders() == OTHERS
    assert watch.refusals() == [("BTCUSDT", "quality", "validation failed: not requested (1)")]
    assert watch.one("SELECT count(*) FROM candles WHERE symbol = 'BTCUSDT'") == WINDOW - 1


async def test_a_corrupt_candle_is_traded_on_once_the_exchange_has_mended_it(watch: Watch) -> None:
    corrupt(watch, high="1")
    await watch.cycle()
    watch.simulator.control("candles", symbol="BTCUSDT", reset=True)
    await watch.cycle()
    assert watch.orders() == ALL
    assert watch.one("SELECT count(*) FROM quarantined_candles") == 1  # what was wrong is not forgotten


async def test_a_cycle_over_corrupt_candles_twice_adds_nothing(watch: Watch) -> None:
    corrupt(watch, high="1")
    await watch.cycle()
    before = watch.state()
    await watch.cycle()
    assert watch.state() == before


async def test_a_missing_candle_stops_its_symbol_until_it_is_known_never_to_come(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[LAST])
    await watch.cycle()
    assert watch.orders() == OTHERS
    assert watch.refusals() == [("BTCUSDT", "quality", "the exchange did not deliver the candle")]
    gap = "SELECT open_time, state FROM candle_gaps"
    assert watch.rows(gap) == [(grid.to_time(LAST), "open")]
    await watch.cycle()  # asked twice, but it is young
    assert watch.rows(gap) == [(grid.to_time(LAST), "open")]
    await watch.cycle(watch.next_candle())
    assert watch.rows(gap) == [(grid.to_time(LAST), "absent")]
    assert watch.orders() == ALL  # its window now has a hole that will never be filled


async def test_a_late_candle_repairs_its_gap_and_is_traded_on_while_it_is_fresh(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[LAST])
    await watch.cycle()
    watch.simulator.control("candles", symbol="BTCUSDT", reset=True)
    await watch.cycle()
    assert watch.rows("SELECT state FROM candle_gaps") == [("repaired",)]
    assert watch.orders() == ALL


async def test_a_repeated_row_is_one_candle(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="BTCUSDT", repeat=[LAST])
    await watch.cycle()
    assert len(watch.orders()) == len(SYMBOLS)
    assert watch.one("SELECT count(*) FROM quarantined_candles") == 0


async def test_a_restated_candle_changes_no_decision_that_was_made(watch: Watch) -> None:
    await watch.cycle()
    decided = watch.rows("SELECT * FROM signals ORDER BY id")
    corrupt(watch, volume="999.5", taker_base="1")
    before = watch.simulator.truth()["orders"]
    await watch.cycle()
    assert watch.rows("SELECT * FROM signals ORDER BY id") == decided
    assert watch.simulator.truth()["orders"] == before
    assert watch.one(
        "SELECT volume FROM candles WHERE symbol = 'BTCUSDT' AND open_time = :at", at=grid.to_time(LAST)
    )
    assert watch.rows("SELECT volume FROM candle_revisions") != [(Decimal("999.5"),)]
    # and the window is still there as it was decided on
    assert replayed_hashes(watch) == watch.rows("SELECT inputs_hash FROM evaluations ORDER BY id")


def replayed_hashes(watch: Watch) -> list[tuple[str]]:
    from eightbells.candles import store
    from eightbells.strategies.view import inputs_hash

    evaluations = watch.rows(
        "SELECT symbol, open_time, window_candles, as_of_batch FROM evaluations ORDER BY id"
    )
    with watch.engine.connect() as connection:
        return [
            (inputs_hash(store.read_window(connection, symbol, grid.to_ms(opened), count, batch)),)
            for symbol, opened, count, batch in evaluations
        ]


async def test_too_short_a_history_is_refused_with_its_length(watch: Watch) -> None:
    removed = [LAST - slot * STEP for slot in range(2, 20)]
    watch.simulator.control("candles", symbol="BTCUSDT", remove=removed)
    await watch.backfill(["BTCUSDT"], first=LAST - 2 * 6 * STEP)  # what is not there is known from now on
    watch.use(strategies=[strategy(window=5)])
    await watch.cycle()
    assert watch.orders() == OTHERS
    assert watch.refusals() == [("BTCUSDT", "evaluation", "5 candles are needed, 2 are there")]


async def test_a_young_symbol_is_traded_as_soon_as_it_has_a_window(watch: Watch) -> None:
    """What lies before its first candle is neither waited for nor taken for missing."""
    history = range(MADE_UP_FROM, LAST - 2 * STEP, STEP)
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[*history])
    await watch.cycle(symbols=["BTCUSDT"])
    for _ in range(WINDOW - 3):
        assert watch.orders() == []
        await watch.cycle(watch.next_candle(), symbols=["BTCUSDT"])
    assert watch.orders() == [("BTCUSDT", "BUY", "FILLED")]
    assert watch.one("SELECT count(*) FROM candle_gaps") == 0


async def test_a_hole_that_has_left_the_window_is_settled_all_the_same(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[LAST - 3 * STEP, LAST - 4 * STEP])
    await watch.cycle(symbols=["BTCUSDT"])
    assert watch.rows("SELECT DISTINCT state FROM candle_gaps") == [("open",)]
    await watch.cycle(watch.next_candle(), symbols=["BTCUSDT"])
    assert watch.rows("SELECT state FROM candle_gaps") == [("absent",), ("absent",)]


async def test_a_strategy_that_looks_further_back_gets_its_candles(watch: Watch) -> None:
    await watch.cycle(symbols=["BTCUSDT"], trade=False)
    watch.use(strategies=[strategy("longer", window=20)])
    await watch.cycle(watch.next_candle(), symbols=["BTCUSDT"])
    assert watch.orders() == [("BTCUSDT", "BUY", "FILLED")]


async def test_an_answer_that_is_none_of_candles_stops_only_its_symbol_and_is_asked_for_again(
    watch: Watch,
) -> None:
    first = LAST - 300 * STEP
    served = watch.simulator.klines("BTCUSDT", first)
    odd = [[kline[0] + 1, *kline[1:]] for kline in served]
    watch.simulator.fault("GET /api/v3/klines", {"body": odd}, match={"symbol": "BTCUSDT"}, times=10)
    ingested = await watch.backfill(["BTCUSDT", "ETHUSDT"], first)
    assert list(ingested.failed) == ["BTCUSDT"]
    assert "301 of 301 rows are off the grid" in ingested.failed["BTCUSDT"]
    assert watch.rows("SELECT DISTINCT symbol FROM candles") == [("ETHUSDT",)]
    assert watch.one("SELECT count(*) FROM quarantined_candles") == 0
    watch.simulator.ask("/simulator/faults", method="DELETE")
    assert not (await watch.backfill(["BTCUSDT", "ETHUSDT"], first)).failed
    assert watch.differences() == []


async def test_a_symbol_that_fails_when_it_is_asked_again_does_not_stop_the_others(watch: Watch) -> None:
    first = LAST - 300 * STEP
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[LAST - 3 * STEP, LAST - 4 * STEP])
    await watch.cycle(symbols=["BTCUSDT"])
    assert watch.rows("SELECT DISTINCT state FROM candle_gaps") == [("open",)]
    odd = [[kline[0] + 1, *kline[1:]] for kline in watch.simulator.klines("BTCUSDT", first)]
    watch.simulator.fault("GET /api/v3/klines", {"body": odd}, match={"symbol": "BTCUSDT"}, times=10)
    ingested = await watch.backfill(["BTCUSDT", "ETHUSDT"], first)
    assert list(ingested.failed) == ["BTCUSDT"]
    loaded = "SELECT count(*) FROM candles WHERE symbol = 'ETHUSDT' AND open_time >= to_timestamp(:first)"
    assert watch.one(loaded, first=first / 1000) == 301
