"""Timeframes: each moment lies in one slot, weeks begin on Monday, and months hold whole slots."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.answers import CYCLE_INTERVAL
from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE, TIMEFRAMES, Timeframe
from eightbells.errors import EightbellsError
from orchestration.declared import declared

MOMENTS = st.integers(min_value=10**9, max_value=4 * 10**12)


@given(moment=MOMENTS, timeframe=st.sampled_from([*TIMEFRAMES.values()]))
def test_every_moment_lies_in_exactly_one_slot(moment: int, timeframe: Timeframe) -> None:
    opened = timeframe.floor(moment)
    assert timeframe.opens_at(opened)
    assert opened <= moment < timeframe.closes_at(opened)
    assert timeframe.closes_at(timeframe.last_closed(moment)) <= moment
    assert timeframe.ceiling(moment) in (moment, opened + timeframe.step_ms)
    assert timeframe.opens_at(timeframe.ceiling(moment))


def test_weeks_begin_on_monday() -> None:
    wednesday = grid.to_ms(datetime(2025, 12, 31, tzinfo=UTC))
    assert grid.label(TIMEFRAMES["1w"].floor(wednesday)) == "2025-12-29 00:00"


def test_an_unknown_interval_is_refused_with_those_there_are() -> None:
    with pytest.raises(EightbellsError, match=r"'1M' are not stored; choose one of 1m, 3m, .*, 1w"):
        Timeframe.named("1M")


@given(first=MOMENTS, slots=st.integers(min_value=0, max_value=400), timeframe=st.sampled_from([*TIMEFRAMES]))
def test_months_hold_every_slot_once(first: int, slots: int, timeframe: str) -> None:
    chosen = TIMEFRAMES[timeframe]
    begin = chosen.ceiling(first)
    end = begin + slots * chosen.step_ms
    found = [slot for _, *span in chosen.months(begin, end) for slot in chosen.slots(*span).tolist()]
    assert found == chosen.slots(begin, end).tolist()
    assert all(
        grid.to_time(span[0]).date().replace(day=1) == month for month, *span in chosen.months(begin, end)
    )


def test_a_span_of_days_holds_what_opens_on_them() -> None:
    day = date(2025, 12, 31)
    for name, count in {"1m": 1440, "1h": 24, "4h": 6, "1d": 1, "1w": 0}.items():
        assert TIMEFRAMES[name].slots(*TIMEFRAMES[name].within(day, day)).size == count


def test_the_cycle_runs_when_its_candle_closes() -> None:
    """Its schedule is set in prefect.yaml, the length of its candle here."""
    (cron,) = [it["schedules"][0]["cron"] for it in declared() if it["name"] == "four-hour-cycle"]
    assert cron == f"0 */{CYCLE.step_ms // 3_600_000} * * *"


def test_commands_default_to_the_candles_of_the_cycle() -> None:
    assert CYCLE.name == CYCLE_INTERVAL
