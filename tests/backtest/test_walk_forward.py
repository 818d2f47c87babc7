"""Walk-forward: what is chosen knows only the days before, and the days after are a backtest of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eightbells.backtest.engine import run
from eightbells.backtest.statistics import figures
from eightbells.backtest.sweep import sweep
from eightbells.backtest.walk_forward import steps, walk_forward
from eightbells.errors import EightbellsError
from tests.backtest.past import FIRST, given, walk
from tests.cli.test_commands import assert_one_line, eightbells

DAY = 86_400_000
STEP = DAY // 6
EVER = (0, 2**42)
TREND = {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"slow": 20}}
CHOICES = {"fast": [3, 5, 8]}


def test_each_step_trades_with_what_was_best_before_it():
    history, settings = walk(4, 360), given([TREND])
    found = walk_forward(settings, [history], EVER, CHOICES, (30, 10), processes=2)
    assert (len(found.folds), found.tried) == (3, 3)
    worth = 1.0
    for fold in found.folds:
        before = sweep(settings, [history], fold.trained_on, CHOICES, processes=1).variants[0]
        assert (fold.parameters, fold.trained) == (before.parameters, before.figures)
        after = figures(run(given([{**TREND, "parameters": fold.parameters}]), [history], *fold.tested_on))
        assert fold.tested == after
        worth *= 1 + after.total_return
    assert found.total_return == pytest.approx(worth - 1)
    assert len(found.returns) == 30


def test_later_candles_do_not_change_an_earlier_step():
    settings, whole = given([TREND]), walk(4, 360)
    frame = whole.frame.copy()
    for name in ("open", "high", "low", "close"):
        frame[name] = frame[name].where(np.arange(360) < 330, frame[name] * 2)
    first, other = (
        walk_forward(settings, [history], EVER, CHOICES, (30, 10), processes=1).folds
        for history in (whole, replace(whole, frame=frame))
    )
    assert first[:2] == other[:2]
    assert first[2] != other[2]


def test_the_steps_are_whole_days_and_follow_each_other():
    found = steps([walk(1, 6 * 100)], EVER, (60, 15))
    assert found[0][0][0] == FIRST
    assert [it[1][0] - it[0][0] for it in found] == [60 * DAY] * 2
    assert found[1][1][0] - found[0][1][1] == STEP
    assert found[-1][1][1] <= FIRST + 100 * DAY - STEP
    assert np.ptp([it[1][1] - it[1][0] for it in found]) == 0
    with pytest.raises(
        EightbellsError, match="90 training and 15 test days are asked for; there are 100 days"
    ):
        steps([walk(1, 6 * 100)], EVER, (90, 15))


def test_a_mistake_is_one_clear_line(folder):
    asked = ("walk-forward", "moon", "--set", "fast=5", "--data", ".")
    assert_one_line(eightbells(*asked, folder=folder), "there is no strategy 'moon'")
