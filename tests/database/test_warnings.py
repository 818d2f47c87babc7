"""Odd candles are stored and noted; a batch that is no answer of candles is not stored at all."""

from __future__ import annotations

import csv
import gzip
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from eightbells import metrics
from eightbells.candles.klines import Klines
from eightbells.errors import UnusableBatch
from eightbells.quality.gate import Admission, admit, admit_klines
from eightbells.quality.oddities import Bounds
from tests.klines import FIRST, STEP, admitted, after, counts, frame, kline, klines, one, rows_of

NOTED = (
    "SELECT warning, (extract(EPOCH FROM open_time) * 1000)::bigint FROM candle_warnings "
    "ORDER BY open_time, warning"
)
ODD: list[tuple[str, dict[str, Any]]] = [
    ("odd_close_time", {"close_time": FIRST + 2 * STEP - 2}),
    ("volume_without_trades", {"trades": 0}),
    ("quote_volume_out_of_range", {"quote_volume": "1381.26"}),  # above 110.50 * 12.5
    ("quote_volume_out_of_range", {"quote_volume": "1238.74"}),  # below 99.10 * 12.5
    ("quote_volume_out_of_range", {"quote_volume": "1381.25000000000000000001"}),
]


def moving(count: int, first: int = 0, level: float = 100.0) -> list[list[Any]]:
    """Candles that move by about a hundredth, up and down."""
    return [priced(slot, level * (1.01 if slot % 2 else 1.0)) for slot in range(first, first + count)]


def priced(slot: int, price: float) -> list[Any]:
    at = f"{price:.8f}"
    quote = str(Decimal(at) * 10)
    return kline(slot, open=at, high=at, low=at, close=at, volume="10", quote_volume=quote)


def asked_for(engine: Engine, rows: list[Any], first: int, now: int, bounds: Bounds = Bounds()) -> Admission:
    """Admit rows that were asked for from the slot `first` on."""
    span = range(FIRST + first * STEP, now)
    return admit_klines(engine, [Klines("BTCUSDT", rows, span)], "rest", now, bounds=bounds)


@pytest.mark.parametrize(("code", "changed"), ODD)
@pytest.mark.parametrize("by_rows", [False, True])
def test_an_odd_candle_is_stored_and_noted(
    engine: Engine, code: str, changed: dict[str, Any], by_rows: bool
) -> None:
    rows = [kline(0), kline(1, **changed), kline(2)]
    before = metrics.CANDLE_WARNINGS.labels(code)._value.get()
    for _ in range(2):  # it is noted once
        now = after(3)
        admission = admit(engine, [frame(rows)], "rest", now) if by_rows else admitted(engine, rows, now)
        assert admission.verdicts["BTCUSDT"].success
    assert rows_of(engine, NOTED) == [(code, FIRST + STEP)]
    assert one(engine, "SELECT count(*) FROM candles") == 3
    assert metrics.CANDLE_WARNINGS.labels(code)._value.get() == before + 1


def test_a_quote_volume_at_its_bounds_is_not_odd(engine: Engine) -> None:
    admitted(engine, [kline(0, quote_volume="1381.25"), kline(1, quote_volume="1238.75000000")], after(2))
    assert rows_of(engine, NOTED) == []


def test_a_jump_is_told_by_what_is_stored_before_it(engine: Engine) -> None:
    admitted(engine, moving(40), after(40))
    usual = math.log(1.01) * math.sqrt(39 / 38)
    jump = [
        priced(40, 101 * math.exp(9 * usual)),
        priced(41, 101 * math.exp(9 * usual) * math.exp(-25 * usual)),
    ]
    assert admitted(engine, jump[:1], after(41)).warned == {}
    assert admitted(engine, jump, after(42)).warned == {"jump": 1}
    assert rows_of(engine, NOTED) == [("jump", FIRST + 41 * STEP)]


def test_a_jump_is_told_within_a_batch_and_only_once_the_volatility_is_known(engine: Engine) -> None:
    rows = [*moving(19), priced(19, 300), *moving(20, 20, 300), priced(40, 900)]
    assert admitted(engine, rows, after(41)).warned == {}  # the jump of the start makes the volatility large
    quiet = [*moving(30), priced(30, 300)]
    assert admit_klines(engine, [Klines("ETHUSDT", quiet)], "rest", after(31)).warned == {"jump": 1}
    off = Bounds(jump_sigmas=0)
    assert admit_klines(engine, [Klines("BNBUSDT", quiet)], "rest", after(31), bounds=off).warned == {}


def test_a_long_pause_is_told_where_it_was_asked_for(engine: Engine) -> None:
    asked_for(engine, moving(3), 0, after(3))
    assert asked_for(engine, [kline(9)], 3, after(10)).warned == {}  # six slots without a candle
    assert asked_for(engine, [kline(17)], 10, after(18)).warned == {"long_pause": 1}
    assert rows_of(engine, NOTED) == [("long_pause", FIRST + 17 * STEP)]


def test_candles_that_were_not_asked_for_are_no_pause(engine: Engine) -> None:
    asked_for(engine, [kline(20)], 0, after(21))  # nothing came before: it is the symbol's first
    asked_for(engine, [kline(40)], 40, after(41))
    admitted(engine, [kline(60)], after(61))  # from the stream, nobody asked
    assert rows_of(engine, NOTED) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"close": None}, "120 of 200 rows cannot be read"),
        ({"open_time": 1}, "120 of 200 rows are off the grid"),
        ({"close_time": FIRST + 900 * STEP}, "120 of 200 rows are not closed"),
    ],
)
def test_an_unusable_batch_is_not_stored_at_all(engine: Engine, changed: dict[str, Any], words: str) -> None:
    rows = [kline(slot, **(changed if slot < 120 else {})) for slot in range(200)]
    before = counts(engine)
    with pytest.raises(UnusableBatch, match=words):
        admitted(engine, rows, after(200))
    others = [Klines("ETHUSDT", klines(5)), Klines("BTCUSDT", rows)]
    with pytest.raises(UnusableBatch):
        admit_klines(engine, others[::-1], "rest", after(200))
    assert counts(engine) == before


@pytest.mark.parametrize("others", [0, 1, 100, 500])
def test_an_unusable_answer_is_found_whatever_comes_with_it(engine: Engine, others: int) -> None:
    bad = Klines("BTCUSDT", [kline(slot, close=None) for slot in range(100)])
    with pytest.raises(UnusableBatch, match=r"100 of \d+ rows cannot be read"):
        admit_klines(engine, [Klines("ETHUSDT", klines(others)), bad], "rest", after(500))


def test_a_few_bad_rows_of_a_symbol_do_not_make_a_batch_unusable(engine: Engine) -> None:
    bad = Klines("BTCUSDT", [kline(slot, close=None) for slot in range(99)])
    admission = admit_klines(engine, [Klines("ETHUSDT", klines(100)), bad], "rest", after(100))
    assert (admission.inserted, admission.quarantined) == (100, 99)


def test_the_real_klines_have_no_oddity_but_their_close_times(engine: Engine, market_data: Path) -> None:
    path = market_data / "klines-4h" / "BTCUSDT-4h.csv.gz"
    with gzip.open(path, "rt") as file:
        rows: list[list[Any]] = [row for row in csv.reader(file) if row[0].isdigit()]
    for row in rows:
        row[0], row[6], row[8] = (int(row[at]) for at in (0, 6, 8))
        for at in (0, 6):
            row[at] = row[at] // 1000 if row[at] > 10**14 else row[at]
    odd = sum(row[6] != row[0] + STEP - 1 for row in rows)
    assert odd > 0
    warned: dict[str, int] = {}
    for first in range(0, len(rows), 1000):
        page = rows[first : first + 1000]
        now = page[-1][0] + STEP
        span = Klines("BTCUSDT", page, range(page[0][0], now))
        for code, count in admit_klines(engine, [span], "rest", now).warned.items():
            warned[code] = warned.get(code, 0) + count
    assert warned["odd_close_time"] == odd
    assert set(warned) <= {"odd_close_time", "jump", "long_pause"}
