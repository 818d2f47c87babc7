"""Sweeps: each variant as a backtest of its own, and the best deflated by how many were tried."""

from __future__ import annotations

import numpy as np
import pytest

from eightbells.backtest.chance import p_value
from eightbells.backtest.engine import run
from eightbells.backtest.statistics import figures
from eightbells.backtest.sweep import deflated_sharpe, sweep
from eightbells.errors import EightbellsError
from tests.backtest.past import given, walk
from tests.cli.test_commands import assert_one_line, eightbells

TREND = {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"slow": 20}}


def test_every_variant_is_the_backtest_of_its_parameters():
    history, settings = walk(4, 400), given([TREND])
    found = sweep(settings, [history], (0, 2**42), {"fast": [3, 5, 25], "slow": [10, 20]}, processes=2)
    assert len(found.variants) == 4
    assert [chosen for chosen, _ in found.refused] == [{"fast": 25, "slow": 10}, {"fast": 25, "slow": 20}]
    for it in found.variants:
        alone = run(given([{**TREND, "parameters": it.parameters}]), [history], 0, 2**42)
        assert it.figures == figures(alone)
        assert it.p_value == p_value(alone, [history])
    ratios = [it.figures.sharpe for it in found.variants]
    assert ratios == sorted(ratios, reverse=True)
    assert found.deflated is not None
    assert 0 <= found.deflated <= 1
    with pytest.raises(EightbellsError, match="takes none of these parameters"):
        sweep(settings, [history], (0, 2**42), {"fast": [90]}, processes=1)


def test_the_best_of_many_without_merit_is_worth_little():
    source = np.random.default_rng(7)
    noise = [source.normal(0, 0.01, 1000) for _ in range(100)]
    noise.sort(key=lambda it: it.mean() / it.std(), reverse=True)
    alone = deflated_sharpe(noise[:1])
    among_many = deflated_sharpe(noise)
    assert alone is not None
    assert among_many is not None
    assert alone > 0.95 > 0.8 > among_many
    skilled = [source.normal(0.002, 0.01, 1000), *noise]
    assert deflated_sharpe(skilled) == pytest.approx(1, abs=0.01)
    assert deflated_sharpe([np.zeros(10)]) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trend", "--set", "fast"], "write a parameter and its values as fast=5,10,20"),
        (["moon", "--set", "fast=5", "--data", "."], "there is no strategy 'moon'"),
    ],
)
def test_a_mistake_is_one_clear_line(folder, arguments, words):
    assert_one_line(eightbells("sweep", *arguments, folder=folder), words)
