"""Plain klines: what is read of them as columns is what the candle frame reads, and nothing odd passes for sound."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eightbells.candles import store
from eightbells.candles.frame import KLINE
from eightbells.candles.klines import Klines, PlainKlines, as_json, plain, rows_text
from eightbells.candles.timeframe import CYCLE
from eightbells.quality import gate, oddities, suite
from tests.klines import FIRST, STEP, after, kline

NOW = after(1000)
# differ only where a float ends
JUST_BELOW, JUST_ABOVE = "100.00000000000000001", "100.00000000000000002"


def read(*rows: list[Any], asked: range = range(2**45)) -> PlainKlines | None:
    return plain(Klines("BTCUSDT", [*rows], asked), NOW)


def judged(*rows: list[Any], asked: range = range(2**45)) -> bool:
    """Whether the suite finds nothing, by the way of the columns."""
    found = read(*rows, asked=asked)
    return found is not None and gate._sound([found], NOW) is not None


def column(found: PlainKlines, name: str) -> list[str]:
    """One field of the lines that would be stored."""
    at = store.LINE.index(name)
    return [line.split("\t")[at] for line in found.lines.decode().splitlines()]


@pytest.mark.parametrize("places", [2, 8, 11])
def test_columns_are_what_the_frame_reads(places: int) -> None:
    rows = [kline(slot) for slot in range(3)]
    for row in rows:
        row[1:6] = [f"{Decimal(value):.{places}f}" for value in row[1:6]]
        row[7], row[9], row[10] = (f"{Decimal(row[index]):.{places}f}" for index in (7, 9, 10))
    found, frame = read(*rows), Klines("BTCUSDT", rows).frame
    assert found is not None
    for name in KLINE:
        assert found.numbers[name].tolist() == [float(value) for value in frame[name]]
        assert [Decimal(value) for value in column(found, name)] == frame[name].tolist()


@pytest.mark.parametrize(
    "changed",
    [
        {"low": "-1"}, {"low": "1e2"}, {"low": "NaN"}, {"low": ""}, {"low": "1.2.3"}, {"low": "."}, {"low": " "},
        {"low": 99.1}, {"low": None}, {"low": "1 2"}, {"low": "99,1"}, {"low": "9" * 61}, {"low": "٣"},
        {"trades": True}, {"trades": "42"}, {"trades": 1.0}, {"trades": 2**45}, {"trades": 10**18}, {"open_time": None},
        {"low": JUST_ABOVE, "open": JUST_BELOW}, {"taker_buy_base": JUST_ABOVE, "volume": JUST_BELOW},
    ],
)  # fmt: skip
def test_what_is_odd_is_not_read_as_columns(changed: dict[str, Any]) -> None:
    assert read(kline(0), kline(1, **changed), kline(2)) is None


def test_rows_of_another_length_are_not_read_as_columns() -> None:
    for row in (kline(1)[:11], [], {}, None, "row"):
        assert read(kline(0), row) is None  # type: ignore[arg-type]


def answer(*rows: list[Any]) -> bytes:
    """Rows as the exchange writes them."""
    return json.dumps(rows, separators=(",", ":")).encode()


def test_an_answer_of_klines_stays_text_until_a_row_is_looked_at() -> None:
    rows = [kline(slot) for slot in range(3)]
    found = rows_text(answer(*rows))
    assert found is not None
    assert (len(found), found[1], [*found], as_json(found)) == (3, rows[1], rows, answer(*rows))
    as_text, as_rows = (plain(Klines("BTCUSDT", given), NOW) for given in (found, rows))
    assert as_text is not None
    assert as_rows is not None
    assert as_text.lines == as_rows.lines


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"[[]]", b"[[],[]]", b'{"code":-1003,"msg":"Too much."}', answer(kline()[:11]),
        answer([*kline(), "0"]), answer(kline(), {}), answer(kline(low=None)), answer(kline(low=99.1)),
        answer(kline(low="-1")), answer(kline())[:-1],
        answer(kline()) + b"\n", answer(kline()).replace(b",", b", "), answer([kline()]), answer(kline(low="\\u0031")),
    ],
)  # fmt: skip
def test_what_has_another_shape_is_no_answer_of_klines(body: bytes) -> None:
    assert rows_text(body) is None


def test_rows_that_json_cannot_read_have_no_readable_field() -> None:
    found = rows_text(answer(kline(trades=42), kline(1)).replace(b",42,", b",042,"))
    assert found is not None
    assert Klines("BTCUSDT", found).frame[[*KLINE]].isna().all(axis=None)


def test_figures_that_are_the_same_as_floats_are_compared_exactly() -> None:
    assert judged(kline(0, low=JUST_BELOW, open=JUST_ABOVE))
    assert judged(kline(0, low=JUST_BELOW, open=JUST_BELOW))


def test_the_candle_that_still_runs_is_left_out() -> None:
    found = plain(Klines("BTCUSDT", [kline(0), kline(1)]), FIRST + STEP + 1)
    assert found is not None
    assert column(found, "open_time") == [str(FIRST)]


def test_what_was_not_asked_for_is_not_sound() -> None:
    rows = kline(0), kline(1)
    assert judged(*rows, asked=range(FIRST, FIRST + STEP + 1))
    assert not judged(*rows, asked=range(FIRST, FIRST + STEP))


def odd_of(judged: gate._Judged) -> dict[int, list[str]]:
    """What is odd about judged rows of which nothing is stored, by open time."""
    none = np.array([], dtype=np.int64)
    looks = oddities.look(
        judged.numbers,
        gate._digits(judged.good),
        oddities.Past(none, none, none.astype(float)),
        {"BTCUSDT": [range(1, 2**45)]},
        oddities.Bounds(max_pause=1),
    )
    opens = judged.numbers["open_time"]
    return {int(opens[row]): codes for row, codes in suite.warnings_of(looks).items()}


FIGURES = st.sampled_from(
    ["0", "0.00000000", "98.5", "99.10", "100.00", "105.25", "110.50", "111", JUST_ABOVE]
)
CHANGES = st.dictionaries(
    st.sampled_from(["open", "high", "low", "close", "volume", "quote_volume", "taker_buy_base"]), FIGURES
)
TIMES = st.one_of(
    st.just({}),
    st.integers(-2, 1001).map(lambda slot: {"open_time": FIRST + slot * STEP + slot % 3 // 2}),
    st.integers(-2, 2).map(lambda off: {"close_time": FIRST + off * STEP}),
    st.integers(-1, 3).map(lambda trades: {"trades": trades}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CHANGES, TIMES), min_size=1, max_size=4))
def test_what_is_odd_as_columns_is_odd_row_by_row(
    changes: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    rows = [kline(slot, **figures, **times) for slot, (figures, times) in enumerate(changes)]
    found = read(*rows)
    if found is None or not len(found) or (columns := gate._sound([found], NOW)) is None:
        return
    by_rows = gate._by_rows([Klines("BTCUSDT", rows).frame], NOW, 0, "rest", CYCLE)
    assert by_rows is not None
    assert odd_of(columns) == odd_of(by_rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CHANGES, TIMES), min_size=1, max_size=4))
def test_what_is_sound_as_columns_is_sound_row_by_row(
    changes: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    rows = [kline(slot, **figures, **times) for slot, (figures, times) in enumerate(changes)]
    frame = gate.only_closed(Klines("BTCUSDT", rows).frame, NOW)
    reasons = suite.judge(frame, NOW) if len(frame) else {}
    found = read(*rows)
    if judged(*rows):
        assert reasons == {}
    elif found is not None:  # nothing is sent the slow way without need
        assert reasons != {}
