"""Histories by hand, and settings to trade them with."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from eightbells.backtest.engine import run
from eightbells.backtest.history import History, assumed_rules
from eightbells.backtest.result import Result
from eightbells.candles import grid
from eightbells.settings import Settings, load_settings

FIRST = 1_614_556_800_000  # 2021-03-01T00:00Z
ABOVE = {"name": "above", "kind": "tests.backtest.levels:Above", "capital": "1000"}


def past(
    rows: Sequence[tuple[object, ...]], symbol: str = "BTCUSDT", slots: Sequence[int] | None = None
) -> History:
    """A history of (open, high, low, close); slots without a row are absent."""
    opens = FIRST + np.array(range(len(rows)) if slots is None else slots, dtype=np.int64) * grid.STEP_MS
    columns: dict[str, Any] = {
        name: [Decimal(str(row[at])) for row in rows]
        for at, name in enumerate(("open", "high", "low", "close"))
    }
    frame = pd.DataFrame({**columns, "volume": Decimal(1), "quote_volume": Decimal(1), "trades": 1})
    frame.index = pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True), name="open_time")
    absent = np.setdiff1d(np.arange(opens[0], opens[-1] + 1, grid.STEP_MS), opens)
    return History(symbol, frame, assumed_rules(symbol), absent)


def walk(seed: int, count: int, symbol: str = "BTCUSDT") -> History:
    """A random walk with plausible ranges, at cents."""
    source = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(source.normal(0, 0.02, count))), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + source.random(count) * 0.02), 2)
    low = np.round(np.minimum(opened, close) * (1 - source.random(count) * 0.02), 2)
    return past(
        list(zip(opened, np.maximum(high, close), np.minimum(low, close), close, strict=True)), symbol
    )


def given(strategies: Sequence[dict[str, Any]] = (ABOVE,), **settings: Any) -> Settings:
    """Settings with these strategies on BTCUSDT; no fees and no slippage unless they are given."""
    free = {"taker_fee": "0", "maker_fee": "0", "slippage": "0", **settings.pop("backtest", {})}
    return load_settings(
        **{"symbols": ["BTCUSDT"], "strategies": list(strategies), "backtest": free, **settings}
    )


def tried(settings: Settings, *histories: History) -> Result:
    return run(settings, histories, 0, 2**42)
