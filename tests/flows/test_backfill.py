"""Backfill: history loaded, proven and stored; what the exchange never had is known; twice changes nothing."""

from __future__ import annotations

from datetime import date

import pytest

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import Watch
from tests.klines import counts

DAY = 6 * STEP
FIRST = LAST - 199 * DAY  # with LAST's own, 200 days
COUNT = 200 * 6
BEFORE_LISTING = 1_546_300_800_000 - 400 * DAY  # made-up history begins on 2019-01-01


async def test_a_span_is_loaded_whole_and_a_second_time_changes_nothing(watch: Watch) -> None:
    ingested = await watch.backfill(["BTCUSDT", "ETHUSDT"], FIRST)
    assert (ingested.inserted, ingested.quarantined, ingested.absent) == (2 * COUNT, 0, 0)
    stored = watch.rows(
        "SELECT open_time, volume::text FROM candles WHERE symbol = 'BTCUSDT' ORDER BY open_time"
    )
    first = FIRST - FIRST % DAY
    served = [
        *watch.simulator.klines("BTCUSDT", first),
        *watch.simulator.klines("BTCUSDT", first + 1000 * STEP),
    ]
    assert stored == [(grid.to_time(kline[0]), kline[5]) for kline in served]
    before = watch.state()
    again = await watch.backfill(["BTCUSDT", "ETHUSDT"], FIRST)
    assert again.inserted == again.revised == 0
    assert watch.state() == before


async def test_what_is_stored_is_not_asked_for_again(watch: Watch) -> None:
    await watch.backfill(["BTCUSDT"], FIRST)
    before = watch.simulator.requests()["GET /api/v3/klines"]
    await watch.backfill(["BTCUSDT"], FIRST)
    assert (
        watch.simulator.requests()["GET /api/v3/klines"] - before == 1
    )  # the newest candles, which may be restated


async def test_without_symbols_and_days_it_is_all_of_the_settings(watch: Watch) -> None:
    watch.use(symbols=["BTCUSDT", "XRPUSDT"], candles__history_start="2025-12-01")
    ingested = await watch.backfill()
    assert ingested.inserted == 2 * 31 * 6
    assert set(watch.rows("SELECT DISTINCT symbol FROM candles")) == {("BTCUSDT",), ("XRPUSDT",)}


async def test_a_symbol_that_is_named_twice_is_one_symbol(watch: Watch) -> None:
    ingested = await watch.backfill(["BTCUSDT", "btcusdt", "BTCUSDT "], FIRST)
    assert (ingested.inserted, ingested.quarantined) == (COUNT, 0)


async def test_history_begins_with_the_listing_and_not_before(watch: Watch) -> None:
    """A symbol's first candle is asked for: the years before it are neither fetched nor counted as missing."""
    await watch.backfill(["BTCUSDT"], BEFORE_LISTING)
    assert watch.one("SELECT min(open_time) FROM candles").date() == date(2019, 1, 1)
    assert watch.one("SELECT count(*) FROM candle_gaps") == 0


async def test_holes_are_asked_for_twice_and_then_absent_for_good(watch: Watch) -> None:
    holes = [LAST - slot * STEP for slot in (30, 31, 700)]
    watch.simulator.control("candles", symbol="BTCUSDT", remove=holes)
    ingested = await watch.backfill(["BTCUSDT"], FIRST)
    assert (ingested.inserted, ingested.absent) == (COUNT - 3, 3)
    gaps = watch.rows("SELECT open_time, state, asked FROM candle_gaps ORDER BY open_time DESC")
    assert gaps == [(grid.to_time(hole), "absent", 2) for hole in holes]
    before = watch.state()
    await watch.backfill(["BTCUSDT"], FIRST)
    assert watch.state() == before


async def test_a_bad_row_is_set_aside_and_its_slot_stays_open(watch: Watch) -> None:
    bad = LAST - 50 * STEP
    watch.simulator.control("candles", symbol="BTCUSDT", restate=[{"at": bad, "low": "-1"}])
    for _ in range(2):
        ingested = await watch.backfill(["BTCUSDT"], FIRST)
        assert ingested.absent == 0
    assert watch.rows("SELECT open_time, reasons FROM quarantined_candles") == [
        (grid.to_time(bad), ["low_not_positive"])
    ]
    assert watch.rows("SELECT open_time, state FROM candle_gaps") == [(grid.to_time(bad), "open")]
    watch.simulator.control("candles", symbol="BTCUSDT", reset=True)
    assert (await watch.backfill(["BTCUSDT"], FIRST)).inserted == 1
    assert watch.rows("SELECT state FROM candle_gaps") == [("repaired",)]


async def test_the_running_candle_is_not_stored(watch: Watch) -> None:
    watch.simulator.advance(STEP // 2)
    await watch.backfill(["BTCUSDT"], LAST)
    assert watch.one("SELECT max(open_time) FROM candles") == grid.to_time(LAST)


async def test_batches_are_committed_on_the_way_and_a_crash_loses_none(watch: Watch) -> None:
    watch.use(candles__rows_per_batch=1000, exchange__concurrency=1)
    watch.simulator.fault("GET /api/v3/klines", {"status": 403, "body": ""}, nth=4)
    with pytest.raises(EightbellsError, match="Binance http 403"):
        await watch.backfill(["BTCUSDT"], LAST - 999 * DAY)
    stored = watch.one("SELECT count(*) FROM candles")
    assert 1000 <= stored < 6000
    await watch.backfill(["BTCUSDT"], LAST - 999 * DAY)
    assert watch.one("SELECT count(*) FROM candles") == 6000
    assert watch.one("SELECT count(*) FROM batches") >= 5


async def test_a_symbol_that_fails_stops_only_itself_and_is_named_with_its_reason(watch: Watch) -> None:
    watch.simulator.fault(
        "GET /api/v3/klines", {"code": -1121, "msg": "Invalid symbol."}, times=99, match={"symbol": "ETHUSDT"}
    )
    ingested = await watch.backfill(["BTCUSDT", "ETHUSDT"], FIRST)
    assert ingested.inserted == COUNT
    ((symbol, reason),) = ingested.failed.items()
    assert (symbol, "-1121" in reason) == ("ETHUSDT", True)


async def test_a_symbol_that_recovers_is_loaded_and_nothing_is_asked_twice(watch: Watch) -> None:
    watch.use(errors={"-1003": {"delay": 0.1}})
    watch.simulator.fault("GET /api/v3/klines", {"code": -1003, "msg": "Too many requests."}, nth=4)
    ingested = await watch.backfill(["BTCUSDT", "ETHUSDT"], FIRST)
    assert (ingested.failed, watch.one("SELECT count(*) FROM candles")) == ({}, 2 * COUNT)
    # each first candle, two pages each, the one that failed, and the one that both are looked at again with
    assert watch.simulator.requests()["GET /api/v3/klines"] <= 8


async def test_all_symbols_of_a_quote_asset_are_loaded(watch: Watch) -> None:
    ingested = await watch.backfill(quote="usdt", first=LAST - DAY)
    listed = watch.simulator.ask("/api/v3/exchangeInfo")["symbols"]
    assert set(ingested.verdicts) == {entry["symbol"] for entry in listed}
    with pytest.raises(EightbellsError, match="lists no symbol that is quoted in EUR"):
        await watch.backfill(quote="EUR", first=LAST - DAY)
    with pytest.raises(EightbellsError, match="not both"):
        await watch.backfill(["BTCUSDT"], LAST - DAY, quote="USDT")


# What a person gets wrong


@pytest.mark.parametrize(
    ("symbols", "first", "last", "words"),
    [
        (["BTCUSDT", "NOSUCHUSDT"], FIRST, LAST, "not listed at the exchange: NOSUCHUSDT"),
        (["BTCUSDT", "BTC USDT"], FIRST, LAST, "'BTC USDT' is not a symbol"),
        (SYMBOLS, LAST, FIRST, "the start 2025-12-31 lies after the end 2025-06-15"),
        (
            SYMBOLS,
            LAST + 2 * DAY,
            0,
            "the start 2026-01-02 lies after the newest closed candle 2025-12-31 20:00",
        ),
    ],
    ids=["unknown symbol", "no symbol at all", "start after end", "start in the future"],
)
async def test_a_mistake_is_one_clear_error_and_nothing_is_written(
    watch: Watch, symbols: list[str], first: int, last: int, words: str
) -> None:
    before = counts(watch.engine)
    with pytest.raises(EightbellsError, match=words) as error:
        await watch.backfill(symbols, first, last)
    assert "\n" not in str(error.value)
    after = counts(watch.engine)
    assert after["candles"] == after["candle_gaps"] == after["batches"] == 0
    assert {name for name in after if after[name] != before[name]} <= {
        "symbols",
        "budgets",
        "budget_grants",
        "metric_totals",
        "mode",
        "quote",
    }
