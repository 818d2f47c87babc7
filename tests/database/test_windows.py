"""The windows that decisions look at: the same numbers and digits as the decimals that are stored."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from eightbells.candles import grid, store
from eightbells.candles.window import SHOWN, Window
from tests.klines import FIRST, STEP, after, frame, kline

COUNT = 60
LAST = FIRST + (COUNT - 1) * STEP


def odd_klines(seed: int) -> list[list[Any]]:
    """Klines with figures of all lengths: none after the point, up to 28, nought with many places, huge ones."""
    chance = random.Random(seed)

    def figure(least: int, most: int) -> str:
        places = chance.choice((0, 1, 6, 7, 8, 9, 28))
        whole = chance.randint(least, most)
        return f"{whole}.{chance.randint(0, 10**places - 1):0{places}}" if places else str(whole)

    tiny = seed % 2  # coins of which a million cost a dollar
    rows = []
    for slot in range(COUNT):
        scale = Decimal(10) ** -chance.randint(7, 12) if tiny else Decimal(1)
        low, middle, high = sorted(Decimal(figure(1, 10 ** chance.randint(1, 17))) * scale for _ in range(3))
        prices = {"open": middle, "high": high, "low": low, "close": middle}
        volume = chance.choice(("0", "0.00000000", "0.0000000000", figure(0, 10**20)))
        rows.append(
            kline(
                slot,
                **{name: format(price, "f") for name, price in prices.items()},
                volume=volume,
                quote_volume=figure(0, 10**18),
                trades=chance.randint(0, 10**9),
                taker_buy_base="0",
            )
        )
    return rows


@pytest.fixture
def stored(engine: Engine) -> Engine:
    with engine.begin() as connection:
        for seed, symbol in enumerate(("BTCUSDT", "PEPEUSDT", "币安USDT")):
            rows = odd_klines(seed)[: COUNT - 10 * seed]
            store.write(connection, [store.lines_of(frame(rows, symbol))], "rest", after(COUNT), None)
    return engine


def decimals_of(engine: Engine, symbol: str, count: int) -> pd.DataFrame:
    """The stored candles by a plain query."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT open_time, {', '.join(SHOWN)} FROM candles WHERE symbol = :symbol "
                "ORDER BY open_time DESC LIMIT :count"
            ),
            {"symbol": symbol, "count": count},
        ).all()
    times = [grid.to_ms(row[0]) for row in rows]
    found = pd.DataFrame([row[1:] for row in rows], columns=[*SHOWN], index=times, dtype=object)
    return found.iloc[::-1]


def read(engine: Engine, symbols: list[str], count: int, as_of_batch: int | None = None) -> dict[str, Window]:
    with engine.connect() as connection:
        return store.read_windows(connection, symbols, LAST, count, as_of_batch)


@pytest.mark.parametrize("count", [1, 7, COUNT, 10 * COUNT])
def test_a_window_has_the_numbers_and_digits_of_the_decimals(stored: Engine, count: int) -> None:
    for symbol, window in read(stored, ["PEPEUSDT", "币安USDT", "BTCUSDT"], count).items():
        plain = decimals_of(stored, symbol, count)
        assert window.opens.tolist() == plain.index.tolist()
        assert window.shown.to_numpy().tolist() == plain.astype(float).to_numpy().tolist()
        assert window.exact.to_numpy().tolist() == plain.to_numpy().tolist()
        assert window.exact.map(str).to_numpy().tolist() == plain.map(str).to_numpy().tolist()
        assert window.digits == "\n".join(" ".join(map(str, row)) for row in plain.itertuples())
        assert str(window.close) == str(plain["close"].iloc[-1])


def test_a_shorter_window_is_the_end_of_a_longer_one(stored: Engine) -> None:
    longer, shorter = (read(stored, ["PEPEUSDT"], count)["PEPEUSDT"] for count in (30, 7))
    end = longer.newest(7)
    assert (end.digits, end.opens.tolist()) == (shorter.digits, shorter.opens.tolist())
    pd.testing.assert_frame_equal(end.shown, shorter.shown)
    assert longer.newest(100) is longer


def test_a_symbol_without_candles_has_an_empty_window(stored: Engine) -> None:
    windows = read(stored, ["AUSDT", "BTCUSDT", "ZUSDT"], 5)
    assert {symbol: len(window) for symbol, window in windows.items()} == {
        "AUSDT": 0,
        "BTCUSDT": 5,
        "ZUSDT": 0,
    }
    none = windows["ZUSDT"]
    assert (none.digits, list(none.shown), list(none.exact)) == ("", [*SHOWN], [*SHOWN])
    assert read(stored, [], 5) == {}


def test_who_writes_into_what_is_shown_changes_nothing_for_others(stored: Engine) -> None:
    window = read(stored, ["BTCUSDT"], 5)["BTCUSDT"]
    before = window.newest(3).numbers.copy()
    window.shown.loc[:, "close"] = 0.0
    assert window.newest(3).numbers.tolist() == before.tolist()


def test_a_window_can_be_read_as_of_a_batch(stored: Engine) -> None:
    with stored.connect() as connection:
        batch = store.newest_batch(connection)
    before = read(stored, ["BTCUSDT"], 5)["BTCUSDT"].digits
    with stored.begin() as connection:
        rows = [kline(COUNT - 1, close="101")]
        store.write(connection, [store.lines_of(frame(rows, "BTCUSDT"))], "rest", after(COUNT), None)
    assert read(stored, ["BTCUSDT"], 5)["BTCUSDT"].digits != before
    assert read(stored, ["BTCUSDT"], 5, batch)["BTCUSDT"].digits == before
