"""What the checks of a strategy find, and what they leave alone."""

from __future__ import annotations

import pytest

from eightbells.backtest.checks import check
from eightbells.backtest.universe_checks import check_all
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import BUILT_IN, build, sees_all
from tests.backtest import cheats
from tests.backtest.past import walk


def checked(kind, seed=3, count=600):
    return check(lambda: kind(kind.Parameters()), walk(seed, count))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (cheats.Tomorrow, "signals looks ahead: on candle 2021-"),
        (cheats.Centred, "column 'smooth' looks ahead: its value of candle 2021-"),
        (cheats.Normalised, "signals looks ahead: on candle 2021-"),
        (cheats.Merged, "column 'day_close' looks ahead: its value of candle 2021-"),
    ],
)
def test_a_planted_look_ahead_is_caught_and_named(kind, words, seed):
    (problem,) = [it for it in checked(kind, seed).problems if "ahead" in it]
    assert words in problem
    assert "are cut off" in problem


def test_who_looks_back_only_is_let_through():
    found = checked(cheats.Honest)
    assert found.problems == []
    assert 0 < found.long < found.windows == 200
    assert found.changes > 0
    assert found.last.endswith("as it is")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (cheats.Two, "signals and decide do not agree: on candle"),
        (cheats.Forgetful, "decide is not pure"),
        (cheats.Writer, "decide changes column 'close'"),
    ],
)
def test_what_else_is_wrong_is_told(kind, words):
    assert any(words in it for it in checked(kind).problems)


def test_a_window_that_is_too_short_is_a_warning():
    found = checked(cheats.Short)
    assert found.problems == []
    assert "`window` may be too short" in found.warnings[0]


def test_too_few_candles_are_a_problem():
    assert "20 candles are needed, 10 of BTCUSDT are there" in checked(cheats.Honest, count=10).problems


@pytest.mark.parametrize("kind", BUILT_IN)
def test_the_built_in_strategies_pass(kind):
    entry = StrategySettings(name="s", kind=kind, capital=1)
    if sees_all(build(entry)):
        walks = [walk(seed, 800, symbol) for seed, symbol in enumerate(("AAAUSDT", "BBBUSDT", "CCCUSDT"))]
        found = check_all(lambda: build(entry), entry, walks, 6, samples=60)
    else:
        found = check(lambda: build(entry), walk(1, 800), samples=60)
    assert (found.problems, found.warnings) == ([], [])
