"""The grid and the candle frame: exact, or None."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.candles import grid
from eightbells.candles.frame import KLINE, candle_frame, concatenate, only_closed

FOUR = 1_614_571_200_000  # 2021-03-01 04:00
ROW = [FOUR, "1.10", "2", "0.5", "1E-7", "7", FOUR + grid.STEP_MS - 1, "8", 9, "3", "4", "0"]


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_every_moment_lies_in_exactly_one_slot(moment: int):
    opened = grid.floor(moment)
    assert opened % grid.STEP_MS == 0
    assert opened <= moment < grid.closes_at(opened)
    assert grid.closes_at(grid.last_closed(moment)) <= moment
    assert grid.to_ms(grid.to_time(moment)) == moment


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        grid.to_ms(datetime(2021, 3, 1))  # noqa: DTZ001  that is the point
    assert grid.to_ms(datetime(2021, 3, 1, 4, tzinfo=UTC)) == FOUR
    assert grid.label(FOUR) == "2021-03-01 04:00"


def test_numbers_keep_every_digit_the_exchange_sent():
    frame = candle_frame("BTCUSDT", [ROW])
    assert str(frame.at[0, "open"]) == "1.10"
    assert frame.at[0, "close"] == Decimal("0.0000001")
    assert frame.at[0, "trades"] == 9
    assert frame.at[0, "raw"] is ROW


@pytest.mark.parametrize(
    "bad",
    [
        "NaN",
        "Infinity",
        "",
        "1,5",
        "1E+999",
        "1E-999",
        "0E-999",
        "1" * 99,
        "1\0",
        "\ud800",
        None,
        1.5,
        7,
        True,
    ],
    ids=ascii,
)
def test_what_is_not_an_exact_number_becomes_none(bad: object):
    row = [*ROW]
    row[1] = bad
    assert candle_frame("BTCUSDT", [row]).at[0, "open"] is None


@pytest.mark.parametrize("bad", ["1614571200000", 1.0, None, True, 2**63, -(10**18)])
def test_a_time_that_is_not_an_integer_becomes_none(bad: object):
    assert candle_frame("BTCUSDT", [[bad, *ROW[1:]]]).at[0, "open_time"] is None


def test_a_short_row_lacks_its_end_and_keeps_its_beginning():
    frame = candle_frame("BTCUSDT", [ROW[:3], ROW])
    assert frame.at[0, "open"] == Decimal("1.10")
    assert frame.at[0, "low"] is None
    assert frame.at[1, "taker_buy_quote"] == 4


@pytest.mark.parametrize("junk", [None, 5, "eleven letters", {}], ids=str)
def test_a_row_that_is_no_list_has_no_values(junk: object):
    frame = candle_frame("BTCUSDT", [ROW, junk])
    assert frame.loc[1, [*KLINE]].isna().all()
    assert frame.at[1, "raw"] == junk


def test_rows_outside_of_what_was_asked_for_are_marked():
    frame = candle_frame("BTCUSDT", [ROW, [FOUR - grid.STEP_MS, *ROW[1:]]], range(FOUR, FOUR + 1))
    assert list(frame["asked"]) == [True, False]


def test_no_rows_make_an_empty_frame_with_all_columns():
    assert set(KLINE) <= set(candle_frame("BTCUSDT", []).columns)


def test_the_candle_that_still_runs_is_left_out_and_an_unreadable_row_is_not():
    running = [FOUR + grid.STEP_MS, *ROW[1:]]
    frame = concatenate([candle_frame("BTCUSDT", [ROW, running, ["?", *ROW[1:]]])])
    kept = only_closed(frame, grid.closes_at(FOUR))
    assert list(kept["open_time"]) == [FOUR, None]


def test_a_row_from_the_future_is_no_candle_that_still_runs():
    frame = candle_frame("BTCUSDT", [ROW, [FOUR + 5 * grid.STEP_MS, *ROW[1:]]])
    assert list(only_closed(frame, FOUR)["open_time"]) == [FOUR + 5 * grid.STEP_MS]
    assert len(only_closed(frame, FOUR - 1)) == 2


def test_the_same_row_twice_is_one_row_and_two_versions_stay_two():
    other = [*ROW]
    other[5] = "8"
    frame = concatenate([candle_frame("BTCUSDT", [ROW, ROW]), candle_frame("BTCUSDT", [other])])
    assert len(frame) == 2


def test_rows_that_differ_in_what_cannot_be_read_stay_apart():
    rows = [["x"], ["y"], ["y"], ROW, [*ROW[:-1], "1"]]  # the last value means nothing
    assert list(concatenate([candle_frame("BTCUSDT", rows)])["raw"]) == [["x"], ["y"], ROW]
