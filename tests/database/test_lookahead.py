"""A decision on a candle is the same before and after what came later is known."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from eightbells.candles import store
from eightbells.settings import StrategySettings
from eightbells.strategies.contract import Opinion, build
from eightbells.strategies.view import inputs_hash
from tests.klines import FIRST, STEP, admitted, after, kline

COUNT, KNOWN = 60, 40
KINDS: dict[str, dict[str, Any]] = {
    "ma_cross": {"fast": 3, "slow": 12},
    "donchian": {"entry": 6, "exit": 4, "memory": 10},
}


def walk(count: int) -> list[list[Any]]:
    """Klines that go up and down, with wicks."""
    source, close = random.Random(5), Decimal(100)
    rows = []
    for slot in range(count):
        opened, close = close, close + Decimal(source.randint(-400, 410)) / 100
        high, low = max(opened, close) + Decimal("0.5"), min(opened, close) - Decimal("0.5")
        rows.append(kline(slot, open=str(opened), high=str(high), low=str(low), close=str(close)))
    return rows


def decisions(engine: Engine, kind: str) -> list[tuple[Opinion, str]]:
    """What a strategy says of each candle that was known first, and the hash of what it was shown."""
    strategy = build(StrategySettings(name="s", kind=kind, capital=1, parameters=KINDS[kind]))
    found = []
    with engine.connect() as connection:
        for slot in range(strategy.window - 1, KNOWN):
            window = store.read_window(connection, "BTCUSDT", FIRST + slot * STEP, strategy.window)
            found.append((strategy.decide(window.shown), inputs_hash(window)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_the_future_off_changes_no_decision(engine: Engine, kind: str) -> None:
    rows = walk(COUNT)
    admitted(engine, rows[:KNOWN], after(KNOWN))
    before = decisions(engine, kind)
    assert {opinion.target for opinion, _ in before} == {"long", "flat"}
    admitted(engine, rows[KNOWN:], after(COUNT))
    assert decisions(engine, kind) == before
