"""Candles of other intervals: the same tables, suite and ledger, beside those of the cycle."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from eightbells.candles import grid
from eightbells.candles.coverage import coverage
from eightbells.candles.gaps import recorded
from eightbells.candles.timeframe import TIMEFRAMES
from eightbells.data import candles
from eightbells.errors import EightbellsError
from eightbells.export import export
from flows.backfill import backfill
from tests.exchange import LAST, STEP
from tests.flows.conftest import Watch

DAY = date(2025, 12, 30)
FIRST = LAST - 11 * STEP  # with LAST's own, two days
HOUR = 3_600_000


async def test_hours_are_stored_beside_the_candles_of_the_cycle(watch: Watch, tmp_path: Path) -> None:
    watch.use(symbols=["BTCUSDT"])
    assert (await backfill(start=DAY)).inserted == 12
    assert (await backfill(start=DAY, interval="1h")).inserted == 48
    assert watch.rows('SELECT "interval", count(*) FROM candles GROUP BY 1 ORDER BY 1') == [
        ("1h", 48),
        ("4h", 12),
    ]
    query = f"symbol=BTCUSDT&interval=1h&startTime={FIRST}&limit=48"
    served = watch.simulator.ask(f"/api/v3/klines?{query}")
    stored = watch.rows("""SELECT open_time, volume::text FROM candles WHERE "interval" = '1h' ORDER BY 1""")
    assert stored == [(grid.to_time(it[0]), it[5]) for it in served]
    before = watch.state()
    assert (await backfill(start=DAY, interval="1h")).inserted == 0
    assert watch.state() == before

    hours = candles("BTCUSDT", interval="1h")
    assert len(hours) == 48
    assert len(candles("BTCUSDT", interval="1d")) == 2  # derived
    (file,) = export(watch.engine, tmp_path, timeframe=TIMEFRAMES["1h"])
    assert (file.file.name, file.rows) == ("BTCUSDT-1h-2025.parquet", 48)


async def test_a_hole_of_another_interval_is_in_the_ledger_and_on_the_map(watch: Watch) -> None:
    hole = LAST - STEP  # a candle that is not there has no hours either
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[hole])
    ingested = await backfill(["BTCUSDT"], start=DAY, interval="1h")
    assert (ingested.inserted, ingested.absent) == (44, 4)
    with watch.engine.connect() as connection:
        assert [grid.to_ms(gap.open_time) for gap in recorded(connection, timeframe=TIMEFRAMES["1h"])] == [
            hole + hour * HOUR for hour in range(4)
        ]
        assert recorded(connection) == []
        (month,) = coverage(connection, watch.simulator.now, timeframe=TIMEFRAMES["1h"])
        assert (month.slots, month.stored, month.absent, month.open) == (48, 44, 4, 0)


@pytest.mark.parametrize(("interval", "count"), [("1m", 2880), ("1d", 2), ("1w", 4), ("3d", 10)])
async def test_every_candle_that_opens_in_the_span_is_stored(watch: Watch, interval: str, count: int) -> None:
    long = interval in ("1w", "3d")
    ingested = await backfill(
        ["BTCUSDT"],
        start=date(2025, 12, 1) if long else DAY,
        interval=interval,  # type: ignore[arg-type]
    )
    assert (ingested.inserted, ingested.quarantined, ingested.absent) == (count, 0, 0)


async def test_history_of_another_interval_begins_with_the_listing(watch: Watch) -> None:
    ingested = await backfill(["BTCUSDT"], interval="1w")
    assert (ingested.quarantined, ingested.absent) == (0, 0)
    assert watch.one("SELECT min(open_time) FROM candles").date() == date(2018, 12, 31)  # a Monday


async def test_a_span_without_a_candle_is_one_clear_error(watch: Watch) -> None:
    with pytest.raises(EightbellsError, match="no candle of interval 1w opens from 2025-12-09 to 2025-12-10"):
        await backfill(["BTCUSDT"], start=date(2025, 12, 9), end=date(2025, 12, 10), interval="1w")
