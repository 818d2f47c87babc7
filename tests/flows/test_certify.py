"""What is stored is compared with what the exchange answers: every difference is told with both values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from eightbells.candles import grid
from eightbells.candles.coverage import Month
from eightbells.candles.klines import Klines
from eightbells.certification import compare
from eightbells.errors import EightbellsError
from eightbells.quality.gate import admit
from tasks.certifying import coverage_markdown
from tests.flows.conftest import Watch
from tests.klines import STEP, frame


async def test_every_difference_is_told_with_both_values(watch: Watch) -> None:
    from flows.backfill import backfill
    from flows.certify import certify

    now = watch.simulator.now
    newest = grid.last_closed(now)
    first = newest - newest % (6 * STEP) - 6 * STEP
    day = grid.to_time(first).date()
    await backfill(["BTCUSDT"], start=day)
    whole = await certify(["BTCUSDT"], start=day)
    stored = watch.one("SELECT count(*) FROM candles WHERE symbol = 'BTCUSDT'")
    assert (whole.candles, whole.differences, whole.failed) == (stored, [], {})

    (raw,) = watch.simulator.klines("BTCUSDT", newest, newest)
    volume = Decimal(raw[5])
    admit(watch.engine, [frame([[*raw[:5], f"{volume + 1}", *raw[6:]]])], "ws", now)
    before = watch.rows("SELECT * FROM candles ORDER BY symbol, open_time")
    (odd,) = (await certify(["BTCUSDT"], start=day)).differences
    assert (odd.symbol, grid.to_ms(odd.open_time), odd.figure) == ("BTCUSDT", newest, "volume")
    assert (Decimal(odd.stored), odd.source) == (volume + 1, "ws")
    assert odd.exchange is not None
    assert Decimal(odd.exchange) == volume
    assert watch.rows("SELECT * FROM candles ORDER BY symbol, open_time") == before

    gone = Klines("BTCUSDT", [], range(newest, newest + 1))
    with watch.engine.connect() as connection:
        count, (missing,) = compare(connection, gone)
    assert (count, missing.figure, missing.exchange) == (1, "candle", None)
    with pytest.raises(EightbellsError, match="no closed candle"):
        await certify(["BTCUSDT"], start=grid.to_time(now + 30 * 6 * STEP).date())


def test_the_map_has_a_row_per_symbol_and_year_and_marks_what_is_not_whole() -> None:
    found = [
        Month("BTCUSDT", date(2025, 12, 1), 186, 186, 0, 0, 0),
        Month("BTCUSDT", date(2026, 1, 1), 186, 185, 0, 0, 1),
        Month("BTCUSDT", date(2026, 2, 1), 100, 50, 0, 50, 0),
        Month("ETHUSDT", date(2026, 2, 1), 100, 99, 1, 0, 0),
    ]
    rows = [line.replace(" ", "") for line in coverage_markdown(found).splitlines()[-3:]]
    assert rows == [
        "|BTCUSDT|2025||||||||||||✓||",
        "|BTCUSDT|2026|99|✗50|||||||||||51|",
        "|ETHUSDT|2026||✗99|||||||||||1|",
    ]
    assert "No candle is stored" in coverage_markdown([])
