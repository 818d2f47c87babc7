"""The built-in strategies against plain Python, and what every strategy must keep to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import build


def strategy(kind: str, **parameters: object):
    return build(StrategySettings(name="s", kind=kind, capital=1, parameters=parameters))


def walk(seed: int, count: int) -> pd.DataFrame:
    source = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(source.normal(0, 0.02, count)))
    high, low = close * (1 + source.random(count) * 0.01), close * (1 - source.random(count) * 0.01)
    times = pd.date_range("2021-01-01", periods=count, freq="4h", tz="UTC", name="open_time")
    columns = {
        "open": close,
        "high": high,
        "low": low,
        "close": close,
        "volume": 1.0,
        "quote_volume": 1.0,
        "trades": 1.0,
    }
    return pd.DataFrame(columns, index=times)


@pytest.mark.parametrize("seed", range(20))
def test_ma_cross_is_long_while_the_fast_average_is_above(seed: int):
    candles = walk(seed, 60)
    crossing = strategy("ma_cross", fast=5, slow=60)
    close = list(candles["close"])
    expected = "long" if sum(close[-5:]) / 5 > sum(close) / 60 else "flat"
    assert crossing.window == 60
    assert crossing.decide(candles).target == expected


@pytest.mark.parametrize("seed", range(20))
def test_donchian_follows_the_newest_broken_channel(seed: int):
    breakout = strategy("donchian", entry=20, exit=10, memory=50)
    candles = walk(seed, breakout.window)
    expected = "flat"
    for index in range(len(candles) - 50, len(candles)):
        close = candles["close"].iloc[index]
        if close > candles["high"].iloc[index - 20 : index].max():
            expected = "long"
        elif close < candles["low"].iloc[index - 10 : index].min():
            expected = "flat"
    assert breakout.decide(candles).target == expected


@pytest.mark.parametrize("kind", ["ma_cross", "donchian"])
def test_cutting_the_future_off_changes_no_opinion(kind: str):
    subject = strategy(kind)
    candles = walk(3, subject.window + 40)
    for end in range(subject.window, len(candles)):
        seen = candles.iloc[end - subject.window : end]
        assert subject.decide(seen.copy()) == subject.decide(candles.iloc[:end].iloc[-subject.window :])


def test_a_flat_market_breaks_nothing_and_stays_flat():
    subject = strategy("donchian", entry=5, exit=5, memory=10)
    candles = walk(1, subject.window)
    candles[["open", "high", "low", "close"]] = 100.0
    assert subject.decide(candles).target == "flat"


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("moon", {}, "there is no kind 'moon'"),
        ("ma_cross", {"fast": 50, "slow": 20}, "fast must be smaller than slow"),
        ("ma_cross", {"fats": 5}, "fats"),
        ("donchian", {"entry": 1}, "entry"),
        ("ma_cros", {}, "did you mean ma_cross"),
        ("ma_cross", {"fats": 5, "slow": 0}, "slow: .*; fats: is unknown; did you mean fast"),
        ("nowhere.at_all:Class", {}, "there is no kind"),
        ("pathlib", {}, "there is no kind"),
        ("pathlib:Path", {}, "there is no kind"),
        (" :x", {}, "there is no kind"),
    ],
)
def test_a_strategy_that_cannot_be_is_one_clear_line(kind, parameters, words):
    with pytest.raises(EightbellsError, match=words) as raised:
        strategy(kind, **parameters)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("class Mine", "SyntaxError: expected ':'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_own_error(monkeypatch, tmp_path, content, words):
    (tmp_path / f"of_ones_own_{len(content)}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EightbellsError, match=r"strategy 's': of_ones_own_.* cannot be imported: ") as raised:
        strategy(f"of_ones_own_{len(content)}:Mine")
    assert words in str(raised.value)


def test_a_strategy_of_ones_own_is_found_by_its_place():
    own = build(
        StrategySettings(name="s", kind="eightbells.strategies.ma_cross:MovingAverageCross", capital=1)
    )
    assert own.window == 100
