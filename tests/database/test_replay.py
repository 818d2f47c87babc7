"""Decisions made again: equal on what was known then, whatever was restated since, and told where code differs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from eightbells.errors import EightbellsError
from eightbells.strategies.decision import Decision, EvaluationContext
from eightbells.strategies.evaluation import evaluate
from eightbells.strategies.panel import Panel
from eightbells.strategies.replay import replay, replay_between
from tests.klines import FIRST, STEP, admitted, after, kline, one

STRATEGY = {"name": "trend", "kind": "ma_cross", "capital": "1000", "parameters": {"fast": 2, "slow": 5}}


@pytest.fixture
def settings(configure):
    return configure(symbols=["BTCUSDT"], strategies=[STRATEGY])


@pytest.fixture
def decided(engine: Engine, settings) -> int:
    """The evaluation of the last of nine candles."""
    rows = [kline(slot, close=f"{100 + slot}.5") for slot in range(9)]
    verdicts = admitted(engine, rows, after(9)).verdicts
    context = EvaluationContext("paper", FIRST + 8 * STEP, after(9), None)
    (decision,) = evaluate(engine, Panel(settings), verdicts, ("BTCUSDT",), context, 6)
    assert isinstance(decision, Decision)
    return one(engine, "SELECT id FROM evaluations")


def test_a_decision_is_equal_though_its_candles_were_restated(engine, settings, decided):
    with engine.connect() as connection:
        assert replay(connection, settings, decided).line == (
            f"{decided} (trend, BTCUSDT, 2021-03-02 08:00): equal"
        )
    admitted(engine, [kline(7, close="99.5")], after(9))
    assert one(engine, "SELECT count(*) FROM candle_revisions") == 1
    with engine.connect() as connection:
        assert replay(connection, settings, decided).equal
        day = datetime(2021, 3, 2, tzinfo=UTC), datetime(2021, 3, 3, tzinfo=UTC)
        assert [it.evaluation for it in replay_between(connection, settings, *day)] == [decided]
        assert not list(replay_between(connection, settings, day[1], day[1]))


def test_what_another_code_would_say_is_told(engine, configure, settings, decided):
    other = configure(symbols=["BTCUSDT"], strategies=[{**STRATEGY, "kind": "tests.always:Always"}])
    with engine.begin() as connection:
        with pytest.raises(EightbellsError, match="fast: is unknown"):
            replay(connection, other, decided)
        connection.execute(text("ALTER TABLE evaluations DISABLE TRIGGER ALL"))
        connection.execute(
            text("UPDATE evaluations SET parameters = CAST(:given AS jsonb)"),
            {"given": json.dumps({"target": "flat", "window": 4})},
        )
        found = replay(connection, other, decided)
    assert {what: (was, now) for what, was, now in found.differences if what != "reason"} == {
        "window": ("5", "4"),
        "target": ("long", "flat"),
    }
    assert "target was long, is flat" in found.line


def test_what_is_not_there_is_one_clear_line(engine, configure, settings, decided):
    with engine.connect() as connection:
        with pytest.raises(EightbellsError, match="there is no evaluation 99"):
            replay(connection, settings, 99)
        with pytest.raises(EightbellsError, match="not in the settings any more"):
            replay(connection, configure(symbols=["BTCUSDT"], strategies=[]), decided)
