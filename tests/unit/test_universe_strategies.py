"""What a strategy that decides for all its symbols at once is shown, and what is made of its answers."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies import contract
from eightbells.strategies.contract import Opinion, build, sees_all
from eightbells.strategies.process import NoAnswer, StrategyProcess
from eightbells.strategies.universe import VALUES, frame_of, opinions
from tests import together
from tests.klines import FIRST, STEP

CLOSES = st.lists(st.integers(1, 8), min_size=12, max_size=12)


def windows(closes: dict[str, list[float | None]]) -> dict[str, pd.DataFrame]:
    """Candles by symbol; None is a slot without one. They end together."""
    found = {}
    for symbol, of_one in closes.items():
        opens = FIRST + np.arange(len(of_one), dtype=np.int64) * STEP
        frame = pd.DataFrame(dict.fromkeys(VALUES, of_one), dtype=float)
        frame.index = pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True), name="open_time")
        found[symbol] = frame.dropna()
    return found


def momentum(**parameters: object):
    return build(StrategySettings(name="s", kind="momentum", capital=1, parameters=parameters))


def test_the_frame_has_one_row_per_slot_and_holes_where_there_was_no_candle():
    given = windows({"ETHUSDT": [1, 2, None, 4, 5], "BTCUSDT": [None, None, 30, None, 50]})
    frame = frame_of(given, FIRST + 4 * STEP, 4)
    assert list(frame["close"].columns) == ["BTCUSDT", "ETHUSDT"]
    np.testing.assert_array_equal(frame["close"]["ETHUSDT"], [2, np.nan, 4, 5])
    np.testing.assert_array_equal(frame["volume"]["BTCUSDT"], [np.nan, 30, np.nan, 50])
    assert grid.to_ms(frame.index[0]) == FIRST + STEP
    assert set(np.diff(frame.index)) == {grid.STEP}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"A": Opinion("long", "x"), "B": Opinion("flat", "y")}, {"A": "long", "B": "flat"}),
        ({"A": Opinion("long", "x", weight=0)}, {"A": "flat", "B": "decide_all has no opinion on it"}),
        (
            {"A": Opinion("long", "x", stop=9), "B": "buy"},
            {"A": "ValueError: the stop of its Opinion is 9", "B": "TypeError: 'buy' is no Opinion"},
        ),
    ],
)
def test_one_opinion_that_is_wrong_spoils_no_other(answer, found):
    universe = frame_of(windows({"A": [4, 5], "B": [4, 5]}), FIRST + STEP, 2)
    said = opinions(together.Answers(answer), universe)
    shown = {symbol: it if isinstance(it, str) else it.target for symbol, it in said.items()}
    assert shown.keys() == found.keys()
    assert all(shown[symbol].startswith(words) for symbol, words in found.items())


@pytest.mark.parametrize(
    ("answer", "words"), [({"C": None}, "'C', which it was not shown"), ("long", "no opinions by symbol")]
)
def test_an_answer_that_is_none_is_refused_as_a_whole(answer, words):
    universe = frame_of(windows({"A": [4, 5]}), FIRST + STEP, 2)
    with pytest.raises((TypeError, ValueError), match=words):
        opinions(together.Answers(answer), universe)


def test_a_strategy_has_one_of_the_two_methods():
    assert sees_all(momentum())
    assert not sees_all(build(StrategySettings(name="s", kind="ma_cross", capital=1)))
    with pytest.raises(EightbellsError, match="Both has decide and decide_all; a strategy has one of them"):
        build(StrategySettings(name="s", kind="tests.together:Both", capital=1))


def test_its_process_answers_symbol_by_symbol_and_goes_on_after_a_failure():
    process, limits = StrategyProcess(), together.LIMITS
    universe = frame_of(windows({"A": [4, 5, 6], "B": [6, 5, 4]}), FIRST + 2 * STEP, 3)
    universe.iloc[0] = np.nan  # a slot in which the exchange was down
    try:
        rising = StrategySettings(name="r", kind="tests.together:Rising", capital=1)
        assert process.prepare(rising, limits) == ("1", 3, True, ())
        said = process.decide_all(rising, universe, limits)
        assert {symbol: it.target for symbol, it in said.items()} == {"A": "long", "B": "flat"}
        spoiled = StrategySettings(name="s", kind="tests.together:Spoiled", capital=1)
        said = process.decide_all(spoiled, universe, limits)
        assert said["A"].target == "long"
        assert said["B"].startswith("the strategy failed: ValueError: the stop of its Opinion is")
        writer = StrategySettings(name="w", kind="tests.together:Writer", capital=1)
        with pytest.raises(NoAnswer, match="it changed the candles that it was shown"):
            process.decide_all(writer, universe, limits)
        assert process.decide_all(rising, universe, limits)["A"].target == "long"
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("Needy", "its needs must be a tuple of symbols, not 'BTCUSDT'"), ("Regime", None)],
)
def test_what_it_needs_is_told_before_it_is_asked(kind, words):
    process, entry = StrategyProcess(), StrategySettings(name="n", kind=f"tests.together:{kind}", capital=1)
    try:
        if words is None:
            assert process.prepare(entry, together.LIMITS).needs == ("BTCUSDT",)
        else:
            with pytest.raises(NoAnswer, match=words):
                process.prepare(entry, together.LIMITS)
    finally:
        process.stop()


@given(CLOSES, CLOSES, CLOSES, st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.integers(0, 9))
def test_momentum_holds_the_best_with_a_positive_return(a, b, c, top, skip, rebalance, later):
    strategy = momentum(lookback=4, skip=skip, top=top, rebalance=rebalance, volatility=0.9)
    last = FIRST + (11 + later) * STEP
    closes = {"C": c, "A": a, "B": b}
    shown = {
        symbol: frame.set_axis(frame.index + later * grid.STEP) for symbol, frame in windows(closes).items()
    }
    said = strategy.decide_all(frame_of(shown, last, strategy.window))
    decided = 11 - last // STEP % rebalance  # the candle of the newest slot that is a multiple
    returns = {it: of[decided - skip] / of[decided - skip - 4] - 1 for it, of in closes.items()}
    best = sorted(returns, key=lambda it: (-returns[it], it))[:top]
    held = sorted(it for it in best if returns[it] > 0)
    assert sorted(it for it, opinion in said.items() if opinion.target == "long") == held
    if not held:
        return
    changes = [
        statistics.mean(closes[it][at] / closes[it][at - 1] - 1 for it in held)
        for at in range(decided - 3, decided + 1)
    ]
    volatility = statistics.stdev(changes) * math.sqrt(6 * 365)
    whole = min(1, 0.9 / volatility) if volatility > 1e-9 else 1
    for it in held:
        assert said[it].weight == pytest.approx(whole / len(held))
    assert sum(opinion.weight or 0 for opinion in said.values()) <= 1 + 1e-12


def test_momentum_says_the_same_until_the_next_rebalance():
    source = np.random.default_rng(4)
    closes = {it: list(np.exp(np.cumsum(source.normal(0, 0.05, 60)))) for it in ("A", "B", "C", "D")}
    strategy, changes = momentum(lookback=6, skip=1, rebalance=5), []
    said: dict[str, contract.Opinion] = {}
    for end in range(strategy.window, 61):
        shown = windows({it: of[:end] for it, of in closes.items()})
        now = strategy.decide_all(frame_of(shown, FIRST + (end - 1) * STEP, strategy.window))
        if now != said:
            changes.append(FIRST // STEP + end - 1)
        said = now
    assert len(changes) > 5
    assert {slot % 5 for slot in changes[1:]} == {0}


def test_momentum_takes_the_price_before_where_a_slot_has_no_candle():
    strategy = momentum(lookback=2, skip=0, top=1, rebalance=1)
    whole = {"A": [1.0, 2.0, 2.0, 3.0], "B": [5.0, 5.0, 5.0, 6.0]}
    holed: dict[str, list[float | None]] = {"A": [1.0, 2.0, None, 3.0], "B": [5.0, 5.0, 5.0, 6.0]}
    last = FIRST + 3 * STEP
    expected = strategy.decide_all(frame_of(windows(whole), last, strategy.window))
    assert strategy.decide_all(frame_of(windows(holed), last, strategy.window)) == expected
    assert expected["A"].target == "long"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"top": 0}, "top: Input should be greater than or equal to 1"),
        ({"volatility": 0}, "volatility: Input should be greater than 0"),
        ({"lookback": 1}, "lookback: Input should be greater than or equal to 2"),
        ({"tops": 3}, "tops: is unknown; did you mean top"),
    ],
)
def test_momentum_refuses_parameters_that_make_no_sense(parameters, words):
    with pytest.raises(EightbellsError, match=words):
        momentum(**parameters)
