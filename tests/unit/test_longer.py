"""Days and weeks of the four-hour candles that a strategy is shown: whole ones only, and nothing of the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.strategies.longer import as_known, longer
from eightbells.strategies.universe import VALUES, frame_of
from tests.backtest.past import walk

CANDLES = walk(5, 120).shown


@pytest.mark.parametrize(("interval", "hours"), [("8h", 8), ("12h", 12), ("1d", 24), ("1w", 168)])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_whole_ones_are_made_of_their_parts(interval, hours, first):
    candles = CANDLES.iloc[first:]
    made = longer(candles, interval)
    expected = {}
    for at in candles.index:
        if interval == "1w":
            opens = at.normalize() - pd.Timedelta(days=at.weekday())
        else:
            opens = at.normalize() + pd.Timedelta(hours=at.hour // hours * hours)
        expected.setdefault(opens, []).append(candles.loc[at])
    whole = {opens: parts for opens, parts in expected.items() if len(parts) == hours // 4}
    assert list(made.index) == list(whole)
    for opens, parts in whole.items():
        row = made.loc[opens]
        assert (row["open"], row["close"]) == (parts[0]["open"], parts[-1]["close"])
        assert row["high"] == max(it["high"] for it in parts)
        assert row["low"] == min(it["low"] for it in parts)
        assert row["volume"] == pytest.approx(sum(it["volume"] for it in parts))
    assert list(made.columns) == list(VALUES)


def test_a_day_with_a_hole_is_left_out():
    made = longer(CANDLES.drop(CANDLES.index[8]), "1d")
    assert CANDLES.index[6] not in made.index
    assert len(made) == len(longer(CANDLES, "1d")) - 1


def test_of_a_universe_only_the_symbol_with_the_hole_lacks_the_day():
    last = grid.to_ms(CANDLES.index[-1])
    universe = frame_of({"A": CANDLES, "B": CANDLES.drop(CANDLES.index[8])}, last, 120)
    made = longer(universe, "1d")
    assert np.isnan(made["close"]["B"].iloc[1])
    assert made["close"]["A"].iloc[1] == longer(CANDLES, "1d")["close"].iloc[1]
    pd.testing.assert_series_equal(
        made["high"]["A"], longer(CANDLES, "1d")["high"], check_names=False, check_freq=False
    )


@pytest.mark.parametrize("interval", ["8h", "1d"])
def test_each_candle_knows_what_was_over_when_it_closed(interval):
    known = as_known(longer(CANDLES, interval), interval, CANDLES.index)
    for end in range(len(CANDLES)):
        until_then = longer(CANDLES.iloc[: end + 1], interval)
        if len(until_then):
            assert list(known.iloc[end]) == list(until_then.iloc[-1])
        else:
            assert known.iloc[end].isna().all()


def test_another_interval_is_refused():
    with pytest.raises(EightbellsError, match=r"candles of '1h' are not made .* one of 8h, 12h, 1d, 1w"):
        longer(CANDLES, "1h")
