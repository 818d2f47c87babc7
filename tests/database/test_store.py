"""Candles in Postgres: exact, written once, restated with their old version kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pandas as pd
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from eightbells.candles import grid, store
from eightbells.candles.store import Written
from tests.klines import FIRST, STEP, after, counts, frame, kline, klines, one, rows_of, wait_until


def write(engine: Engine, rows: list[list[object]], now_ms: int, symbol: str = "BTCUSDT") -> Written:
    with engine.begin() as connection:
        return store.write(connection, [store.lines_of(frame(rows, symbol))], "rest", now_ms, "run")


def window(engine: Engine, last: int, count: int, as_of_batch: int | None = None) -> pd.DataFrame:
    with engine.connect() as connection:
        return store.read_window(connection, "BTCUSDT", FIRST + last * STEP, count, as_of_batch).exact


def test_every_digit_that_came_is_stored(engine: Engine) -> None:
    exact = {
        "open": "0.00000141",
        "high": "123456789012345678.12345678",
        "low": "0.00000140",
        "close": "1.412e-05",
        "volume": "98765432109876543210.00000001",
        "quote_volume": "0.10",
        "taker_buy_base": "0.00000001",
        "taker_buy_quote": "0.0000000000000000000000000001",
    }
    write(engine, [kline(**exact)], after(1))
    for column, sent in exact.items():
        assert one(engine, f"SELECT {column} FROM candles") == Decimal(sent)
    assert str(one(engine, "SELECT quote_volume FROM candles")) == "0.10"


def test_times_are_stored_to_the_millisecond(engine: Engine) -> None:
    write(engine, [kline(close_time=FIRST + 1_000_123)], after(1))
    ((opened, closed),) = rows_of(engine, "SELECT open_time, close_time FROM candles")
    assert (grid.to_ms(opened), grid.to_ms(closed)) == (FIRST, FIRST + 1_000_123)


def test_the_same_rows_again_change_nothing(engine: Engine) -> None:
    assert write(engine, klines(5), after(5)).inserted == 5
    before = rows_of(engine, "SELECT * FROM candles ORDER BY open_time")
    again = write(engine, klines(5), after(6))
    assert (again.inserted, again.revised) == (0, 0)
    assert rows_of(engine, "SELECT * FROM candles ORDER BY open_time") == before
    assert one(engine, "SELECT count(*) FROM candle_revisions") == 0


def test_digits_that_mean_the_same_are_no_new_version(engine: Engine) -> None:
    write(engine, [kline(volume="12.5")], after(1))
    assert write(engine, [kline(volume="12.50000000")], after(2)).revised == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("volume", "12.50000001"), ("close", "105.26"), ("trades", 43), ("close_time", FIRST + 1000)],
)
def test_a_restated_candle_keeps_its_old_version(engine: Engine, field: str, value: object) -> None:
    first = write(engine, [kline()], after(1))
    second = write(engine, [kline(**{field: value})], after(2))
    assert (second.inserted, second.revised) == (0, 1)
    (old,) = rows_of(engine, "SELECT * FROM candle_revisions")
    assert old[-2:] == (first.batch, second.batch)
    changed = one(engine, f"SELECT {field} FROM candles")
    assert (grid.to_ms(changed) if field == "close_time" else changed) == (
        value if isinstance(value, int) else Decimal(str(value))
    )
    assert one(engine, f"SELECT {field} FROM candle_revisions") != changed


def test_every_version_stays_readable_as_of_its_batch(engine: Engine) -> None:
    batches = [write(engine, [kline(close=close)], after(1)).batch for close in ("101", "102", "103")]
    for batch, close in zip(batches, (101, 102, 103), strict=True):
        assert list(window(engine, 0, 1, batch)["close"]) == [close]
    assert list(window(engine, 0, 1)["close"]) == [103]
    assert one(engine, "SELECT count(*) FROM candle_revisions") == 2


def test_what_was_not_known_yet_is_not_there_as_of_a_batch(engine: Engine) -> None:
    first = write(engine, klines(3), after(3))
    write(engine, klines(2, first=3), after(5))
    known = window(engine, 9, 10, first.batch)
    assert [grid.to_ms(opened) for opened in known.index] == [FIRST + slot * STEP for slot in range(3)]
    assert len(window(engine, 9, 10)) == 5
    assert window(engine, 9, 10, first.batch - 1).empty


def test_candles_as_of_a_moment_are_those_of_the_exchanges_clock(engine: Engine) -> None:
    write(engine, [kline(0), kline(1, close="101")], after(2))
    write(engine, [kline(1, close="102"), kline(2)], after(3))
    statement = "SELECT close FROM candles_as_of(:moment) ORDER BY open_time"
    moments = {slot: grid.to_time(after(slot)) for slot in (1, 2, 3)}
    assert rows_of(engine, statement, moment=moments[1]) == []
    assert rows_of(engine, statement, moment=moments[2]) == [(Decimal("105.25"),), (Decimal(101),)]
    assert [close for (close,) in rows_of(engine, statement, moment=moments[3])] == [
        Decimal("105.25"),
        Decimal(102),
        Decimal("105.25"),
    ]


def test_what_was_judged_earlier_and_committed_later_is_known_at_its_own_moment(engine: Engine) -> None:
    write(engine, [kline(0, close="101"), kline(1, close="101")], after(2))
    write(engine, [kline(0, close="102")], after(5))
    write(engine, [kline(0, close="103"), kline(2)], after(4))
    statement = "SELECT close FROM candles_as_of(:moment) ORDER BY open_time"
    known = {
        slot: [float(close) for (close,) in rows_of(engine, statement, moment=grid.to_time(after(slot)))]
        for slot in (2, 3, 4, 5)
    }
    assert known == {2: [101, 101], 3: [101, 101], 4: [103, 101, 105.25], 5: [103, 101, 105.25]}


def test_a_window_is_the_newest_candles_oldest_first(engine: Engine) -> None:
    write(engine, klines(8), after(8))
    write(engine, klines(8), after(8), symbol="ETHUSDT")
    read = window(engine, 5, 3)
    assert [grid.to_ms(opened) for opened in read.index] == [FIRST + slot * STEP for slot in (3, 4, 5)]
    assert list(read.columns) == ["open", "high", "low", "close", "volume", "quote_volume", "trades"]
    assert str(read.index.tz) == "UTC"


def test_a_batch_that_fails_leaves_nothing(engine: Engine) -> None:
    before = counts(engine)
    with pytest.raises(IntegrityError):  # the database holds what the suite lets through by mistake
        write(engine, [kline(0), kline(1, low="200")], after(2))
    assert counts(engine) == before


def test_batches_commit_in_the_order_of_their_numbers(engine: Engine) -> None:
    """A reader that sees a batch sees all before it: a second writer waits for the first one's commit."""
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            first = store.write(connection, [store.lines_of(frame([kline(0)]))], "rest", after(1), None)
            second = pool.submit(write, engine, [kline(1)], after(2))
            wait_until(lambda: one(engine, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
            assert not second.done()
        assert second.result().batch > first.batch
