"""The built-in strategies against plain Python, on any candles at all: equal prices, leaps, and flat stretches."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.settings import StrategySettings
from eightbells.strategies.contract import Strategy, Target, build

FEW_PRICES = st.integers(min_value=1, max_value=6)  # so that averages and channels meet


def built(kind: str, **parameters: int) -> Strategy:
    return build(StrategySettings(name="s", kind=kind, capital=1, parameters=parameters))


def frame(closes: list[int], wicks: list[int]) -> pd.DataFrame:
    """Candles whose high and low lie `wick` beyond the close."""
    columns = {
        "open": closes, "high": [close + wick for close, wick in zip(closes, wicks, strict=True)],
        "low": [close - wick / 10 for close, wick in zip(closes, wicks, strict=True)], "close": closes,
        "volume": 1, "quote_volume": 1, "trades": 1,
    }  # fmt: skip
    times = pd.date_range("2021-01-01", periods=len(closes), freq="4h", tz="UTC")
    return pd.DataFrame(columns, index=times).astype(float)


@given(st.integers(1, 5), st.integers(1, 8), st.data())
def test_ma_cross_is_the_comparison_of_two_means(fast: int, more: int, data: st.DataObject) -> None:
    slow = fast + more
    closes = data.draw(st.lists(FEW_PRICES, min_size=slow, max_size=slow))
    means = Fraction(sum(closes[-fast:]), fast), Fraction(sum(closes), slow)
    # where they are equal, either answer is right: floats cannot tell
    expected: set[Target] = (
        {"long", "flat"} if means[0] == means[1] else {"long" if means[0] > means[1] else "flat"}
    )
    strategy = built("ma_cross", fast=fast, slow=slow)
    assert strategy.decide(frame(closes, [0] * slow)).target in expected


def channel(closes: list[int], wicks: list[int], entry: int, exit_: int, memory: int) -> Target:
    """The rule in words: the newest close beyond the channel of the candles before it decides."""
    highs = [close + wick for close, wick in zip(closes, wicks, strict=True)]
    lows = [close - wick / 10 for close, wick in zip(closes, wicks, strict=True)]
    for index in range(len(closes) - 1, len(closes) - 1 - memory, -1):
        if closes[index] > max(highs[index - entry : index]):
            return "long"
        if closes[index] < min(lows[index - exit_ : index]):
            return "flat"
    return "flat"


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 12), st.data())
def test_donchian_is_the_newest_broken_channel(
    entry: int, exit_: int, memory: int, data: st.DataObject
) -> None:
    strategy = built("donchian", entry=entry, exit=exit_, memory=memory)
    size = strategy.window
    closes = data.draw(st.lists(FEW_PRICES, min_size=size, max_size=size))
    wicks = data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    assert strategy.decide(frame(closes, wicks)).target == channel(closes, wicks, entry, exit_, memory)


@given(st.sampled_from(["ma_cross", "donchian"]), st.data())
def test_nothing_but_the_window_is_looked_at_and_nothing_in_it_is_changed(
    kind: str, data: st.DataObject
) -> None:
    parameters = {"ma_cross": {"fast": 3, "slow": 9}, "donchian": {"entry": 4, "exit": 3, "memory": 5}}[kind]
    strategy = built(kind, **parameters)
    size = strategy.window
    closes = data.draw(st.lists(FEW_PRICES, min_size=size, max_size=size))
    candles = frame(closes, [0] * size)
    before = candles.copy()
    opinion = strategy.decide(candles)
    pd.testing.assert_frame_equal(candles, before)
    later = candles.set_axis(candles.index + pd.Timedelta(days=365))
    assert strategy.decide(later) == opinion  # pure: the same figures at another time, by another instance
    assert built(kind, **parameters).decide(candles) == opinion


@given(
    st.sampled_from(
        [
            ("ma_cross", {"fast": 3, "slow": 9}),
            ("ma_cross", {"fast": 1, "slow": 4}),
            ("donchian", {"entry": 4, "exit": 3, "memory": 5}),
            ("donchian", {"entry": 2, "exit": 6, "memory": 1}),
            ("rsi_reversion", {"period": 2, "entry": 30, "exit": 60, "trend": 4, "memory": 6}),
            ("rsi_reversion", {"period": 3, "entry": 40, "exit": 50, "trend": 0, "memory": 3}),
        ]
    ),
    st.sampled_from([1, 7, 1e-8, 1e9 / 3]),
    st.data(),
)
def test_signals_agree_with_decide_on_every_window(
    named: tuple[str, dict[str, int]], scale: float, data: st.DataObject
) -> None:
    kind, parameters = named
    strategy = built(kind, **parameters)
    size = data.draw(st.integers(1, 60))
    closes = data.draw(st.lists(FEW_PRICES, min_size=size, max_size=size))
    wicks = data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    candles = frame(closes, wicks) * scale  # equal prices: averages meet, and sums are rounded
    signals = strategy.signals(candles)
    assert len(signals) == size
    assert not signals[: strategy.window - 1].any()
    for end in range(strategy.window, size + 1):
        window = candles.iloc[end - strategy.window : end]
        assert signals[end - 1] == (strategy.decide(window).target == "long"), end - 1


def wilder(candles: pd.DataFrame, length: int) -> float:
    """The average true range in words: a plain mean of the first ranges, then Wilder's smoothing."""
    rows = list(candles[["high", "low", "close"]].itertuples(index=False))
    ranges = [
        max(now.high, before.close) - min(now.low, before.close) for before, now in itertools.pairwise(rows)
    ]
    average = sum(ranges[:length]) / length
    for one in ranges[length:]:
        average = (average * (length - 1) + one) / length
    return float(average)


@given(st.integers(2, 6), st.floats(0.001, 1), st.data())
def test_donchian_buys_so_much_that_an_average_true_range_costs_the_risk(
    length: int, risk: float, data: st.DataObject
) -> None:
    sized = build(
        StrategySettings(
            name="s", kind="donchian", capital=1,
            parameters={"entry": 2, "exit": 2, "memory": 8, "atr": length, "risk": risk},
        )
    )  # fmt: skip
    closes = data.draw(st.lists(FEW_PRICES, min_size=sized.window, max_size=sized.window))
    wicks = data.draw(st.lists(st.integers(1, 3), min_size=sized.window, max_size=sized.window))
    candles = frame(closes, wicks)
    opinion, plain = sized.decide(candles), built("donchian", entry=2, exit=2, memory=8)
    assert opinion.target == plain.decide(candles.iloc[-plain.window :]).target
    if opinion.target == "long":
        expected = min(1, risk * closes[-1] / wilder(candles, length))
        assert opinion.weight == pytest.approx(expected)
    assert plain.decide(candles.iloc[-plain.window :]).weight is None
