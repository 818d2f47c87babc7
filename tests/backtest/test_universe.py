"""A strategy that decides for all its symbols at once, on the past: shown what the cycle shows it, and checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eightbells.backtest.engine import run
from eightbells.backtest.history import History
from eightbells.backtest.universe import Universe
from eightbells.backtest.universe_checks import check_all
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import build
from eightbells.strategies.universe import frame_of
from tests import together
from tests.backtest.past import given, tried, walk

SYMBOLS = ["AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT"]
MOMENTUM = {"lookback": 10, "skip": 2, "rebalance": 6, "volatility": 0.5}
MAX_PAUSE = 6


def without(history: History, gone: slice | list[int]) -> History:
    """The history with slots that the exchange never had a candle for."""
    keep = np.ones(len(history.opens), dtype=bool)
    keep[gone] = False
    frame = history.frame[keep]
    opens = pd.DatetimeIndex(frame.index).as_unit("ms").asi8
    absent = np.setdiff1d(np.arange(opens[0], opens[-1] + 1, grid.STEP_MS), opens)
    return replace(history, frame=frame, absent=absent)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    """Four walks: one whole, one listed late, one with holes short and long, one that ends early and has a gap."""
    whole, late, holed, ended = (walk(seed, 300, symbol) for seed, symbol in enumerate(SYMBOLS))
    gap = without(ended, slice(220, 300))
    return [
        whole,
        without(late, slice(0, 90)),
        without(holed, [40, 41, 100, 101, 102, *range(150, 165)]),
        replace(without(gap, [60]), absent=np.array([], dtype=np.int64)),
    ]


def universe(kind: str, histories: list[History], **parameters: Any) -> Universe:
    entry = StrategySettings(name="s", kind=kind, capital=1, parameters=parameters)
    return Universe(entry, build(entry), histories, MAX_PAUSE)  # type: ignore[arg-type]


def test_it_is_shown_what_the_cycle_shows_it(histories):
    found = universe("momentum", histories, **MOMENTUM)
    window, seen = found.strategy.window, set()
    for row in np.flatnonzero(found.members.any(axis=1)):
        open_ms = found.begins_ms + int(row) * grid.STEP_MS
        windows = {}
        for history in histories:
            index = int(np.searchsorted(history.opens, open_ms))
            here = index < len(history.opens) and history.opens[index] == open_ms
            if here and history.objection(index, window, MAX_PAUSE) is None:
                windows[history.symbol] = history.shown.iloc[index + 1 - window : index + 1]
        seen.add(frozenset(windows))
        pd.testing.assert_frame_equal(
            found.shown(int(row), window), frame_of(windows, open_ms, window), check_exact=True
        )
    assert len(seen) > 4


@pytest.mark.parametrize("kind", ["momentum", "tests.together:Rising"])
def test_all_at_once_and_slot_by_slot_are_the_same_trades(histories, kind):
    entry = {"name": "s", "kind": kind, "capital": "10000", "rebalance_band": "0.1"}
    entry["parameters"] = MOMENTUM if kind == "momentum" else {}
    settings = given([entry], symbols=SYMBOLS)
    at_once, slowly = (run(settings, histories, 0, 2**42, decide_only=it) for it in (False, True))
    assert at_once.orders == slowly.orders
    assert at_once.equity == slowly.equity
    assert at_once.trades == slowly.trades
    assert len(at_once.trades) > 20
    assert {symbol for _, symbol in at_once.profits} == set(SYMBOLS)


def test_what_is_wrong_with_one_symbol_leaves_it_out_with_its_reason(histories):
    settings = given(
        [{"name": "s", "kind": "momentum", "capital": "10000", "parameters": MOMENTUM}], symbols=SYMBOLS
    )
    found = tried(settings, *histories)
    reasons = {(symbol, reason) for _, symbol, stage, reason in found.refused if stage == "quality"}
    assert any(
        symbol == "DDDUSDT" and "1 candle(s) of the window are missing" in it for symbol, it in reasons
    )
    assert any(symbol == "CCCUSDT" and "spans a pause of 15 candles" in it for symbol, it in reasons)
    bought = {order.symbol for order in found.orders.values() if order.side == "BUY"}
    assert bought == set(SYMBOLS)


def test_what_it_needs_is_shown_and_not_traded_and_without_it_nothing_is_decided():
    bitcoin = without(walk(7, 200, "BTCUSDT"), slice(100, 115))
    other = walk(8, 200, "ETHUSDT")
    entry = {"name": "s", "kind": "tests.together:Regime", "capital": "1000", "symbols": ["ETHUSDT"]}
    settings = given([entry], symbols=["BTCUSDT", "ETHUSDT"])
    found = tried(settings, bitcoin, other)
    assert {order.symbol for order in found.orders.values()} == {"ETHUSDT"}
    assert len(found.trades) > 5
    reasons = [reason for (_, symbol, _, reason) in found.refused if symbol == "ETHUSDT"]
    lacking = "BTCUSDT, which the strategy needs, may not be looked at: "
    assert f"{lacking}the exchange did not deliver the candle" in reasons
    assert any(it.startswith(f"{lacking}the window spans a pause of 15 candles") for it in reasons)
    with pytest.raises(EightbellsError, match="strategy 's' needs candles of BTCUSDT"):
        tried(settings, other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (together.Tomorrow, "weights looks ahead: on candle 2021-"),
        (together.Centred, "column 'smooth AAAUSDT' looks ahead: its value of candle 2021-"),
        (together.Normalised, "weights looks ahead: on candle 2021-"),
    ],
)
def test_a_planted_look_ahead_is_caught_and_named(kind, words, seed):
    walks = [walk(seed * 10 + at, 200, symbol) for at, symbol in enumerate(SYMBOLS[:3])]
    (problem,) = [it for it in checked(kind, walks).problems if "ahead" in it]
    assert words in problem
    assert "are cut off" in problem


def test_who_holds_only_what_survives_is_caught(histories):
    (problem,) = checked(together.Survivors, histories).problems
    assert "weights looks ahead: on candle 2021-" in problem


def test_who_remembers_the_future_is_caught():
    walks = [walk(at, 200, symbol) for at, symbol in enumerate(SYMBOLS[:2])]
    found = check_all(lambda: together.Seer(None), entry_of("Seer"), walks, MAX_PAUSE)
    assert any(it.startswith("decide_all is not pure: on candle 2021-") for it in found.problems)


def test_who_writes_into_what_it_is_shown_is_told():
    walks = [walk(at, 60, symbol) for at, symbol in enumerate(SYMBOLS[:2])]
    (problem,) = checked(together.Writer, walks).problems
    assert "decide_all changes column ('close', 'AAAUSDT')" in problem


@pytest.mark.parametrize("kind", ["momentum", "tests.together:Rising"])
def test_who_looks_back_only_is_let_through(histories, kind):
    entry = StrategySettings(
        name="s", kind=kind, capital=1, parameters=MOMENTUM if kind == "momentum" else {}
    )
    found = check_all(lambda: build(entry), entry, histories, MAX_PAUSE)  # type: ignore[arg-type, return-value]
    assert (found.problems, found.warnings) == ([], [])
    assert found.windows == 200
    assert found.long > 50
    assert found.changes > 10


def checked(kind: Any, histories: list[History]):
    return check_all(lambda: kind(kind.Parameters()), entry_of(kind.__name__), histories, MAX_PAUSE)


def entry_of(name: str) -> StrategySettings:
    return StrategySettings(name="s", kind=f"tests.together:{name}", capital=1)
