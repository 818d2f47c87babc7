"""A universe by rule in a backtest: a symbol is bought while it is a member, and keeps its stop afterwards."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from eightbells.backtest import request as asked
from eightbells.backtest.engine import run
from eightbells.backtest.request import Request, backtest
from eightbells.backtest.statistics import figures
from eightbells.backtest.sweep import sweep
from eightbells.backtest.walk_forward import walk_forward
from eightbells.errors import EightbellsError
from eightbells.universe.walk import Membership, Timeline
from tests.backtest.past import ABOVE, FIRST, given, past

STEP = 4 * 3600 * 1000
UP = [(99, 99, 99, 99), *[(101, 102, 100.5, 101)] * 6]
RULE = {"top": 2, "older_than_days": 0}


def members(*spans: tuple[int, int | None]) -> Timeline:
    """BTCUSDT's memberships, in closes after FIRST."""
    return Timeline(
        Membership(
            "BTCUSDT",
            FIRST + first * STEP,
            "",
            None if end is None else FIRST + end * STEP,
            None if end is None else "",
        )
        for first, end in spans
    )


def tried(rows, timeline, **strategy):
    settings = given([{**ABOVE, **strategy}], trading={"order_type": "market"}, universe=RULE)
    return run(settings.with_members(timeline), [past(rows)], 0, 2**42, members=timeline)


@pytest.mark.parametrize(
    ("spans", "bought_at"), [([(0, None)], 2), ([(4, None)], 4), ([(0, 2), (5, None)], 5)]
)
def test_a_symbol_is_bought_while_it_is_a_member(spans, bought_at):
    (fill,) = tried(UP, members(*spans)).fills
    assert fill.at_ms == FIRST + bought_at * STEP
    assert fill.quote == pytest.approx(Decimal(500), abs=1)  # one of two places


def test_nothing_is_decided_on_what_has_left_and_its_stop_stays():
    rows = [*UP[:4], (99, 99, 98, 98), (98, 98, 97, 97), (97, 97, 80, 80), (80, 80, 80, 80)]
    result = tried(rows, members((0, 4)), stop_loss="0.1")
    assert [fill.order.leg for fill in result.fills] == ["entry", "stop"]
    kept = tried(rows, members((0, None)), stop_loss="0.1")
    assert [fill.order.leg for fill in kept.fills] == ["entry", "exit"]


def test_a_strategy_with_symbols_of_its_own_does_not_go_by_the_members():
    (fill,) = tried(UP, members((5, None)), symbols=["BTCUSDT"]).fills
    assert fill.at_ms == FIRST + 2 * STEP
    assert fill.quote == pytest.approx(Decimal(1000), abs=1)


def folder_of_klines(folder: Path, rises_at: int = 50, days: int = 10) -> Path:
    """Of BUSDT and CUSDT the most is traded; all rise above 100 at a candle."""
    for symbol, volume in (("AUSDT", 5), ("BUSDT", 7), ("CUSDT", 6), ("DEUR", 9)):
        with (folder / f"{symbol}-4h.csv").open("w") as file:
            for slot in range(days * 6):
                price = 99 if slot < rises_at else 101 + slot % 3
                row = [FIRST + slot * STEP, price, price, price, price, 1, 0, volume, 1, 0, 0, 0]
                csv.writer(file).writerow(row)
    return folder


def test_a_rule_on_a_folder_of_klines(tmp_path: Path):
    folder_of_klines(tmp_path)
    settings = given(universe=RULE, trading={"order_type": "market"})
    result, histories, used = backtest(settings, Request(data=tmp_path))
    assert [it.symbol for it in histories] == used.symbols == ["BUSDT", "CUSDT"]
    assert {fill.order.symbol for fill in result.fills} == {"BUSDT", "CUSDT"}
    assert any("2 symbols were members" in note for note in result.notes)
    # who names symbols wants those
    result, _, used = backtest(settings, Request(symbols=["AUSDT"], data=tmp_path))
    assert {fill.order.symbol for fill in result.fills} == {"AUSDT"}
    assert not used.universe.top
    with pytest.raises(EightbellsError, match="finds no member in these days"):
        asked.backtest(given(universe={"top": 2}), Request(data=tmp_path))


def test_parameters_are_tried_on_the_members_of_their_days(tmp_path: Path):
    folder_of_klines(tmp_path, rises_at=20)
    settings = given(universe=RULE, trading={"order_type": "market"})
    there = asked.prepare(settings, Request(data=tmp_path))
    choices = {"level": [100, 102, 200]}
    found = sweep(there.settings, there.histories, there.span, choices, 1, there.members)
    (alone, _, _) = backtest(settings, Request(data=tmp_path))
    by_level = {it.parameters["level"]: it.figures for it in found.variants}
    assert by_level[100].total_return == figures(alone).total_return != 0
    assert by_level[100].trades == 2  # not AUSDT's
    assert by_level[200].trades == 0
    days = (2, 4)
    walked = walk_forward(there.settings, there.histories, there.span, choices, days, 1, there.members)
    for fold in walked.folds:
        first, last = fold.tested_on
        chosen = given(
            [{**ABOVE, "parameters": fold.parameters}], trading={"order_type": "market"}, universe=RULE
        )
        assert there.members is not None
        narrowed = chosen.with_members(there.members)
        same = run(narrowed, there.histories, first, last, members=there.members)
        assert fold.tested.total_return == figures(same).total_return
    assert {fold.tested.trades for fold in walked.folds} != {0}
