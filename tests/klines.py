"""Klines by hand, candle frames of them, and what the database says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pandas as pd
from sqlalchemy import Engine, text

from eightbells.candles.frame import candle_frame
from eightbells.candles.klines import Klines
from eightbells.quality.gate import Admission, admit_klines

STEP = 4 * 3600 * 1000
FIRST = 1_614_556_800_000  # 2021-03-01T00:00Z


def kline(slot: int = 0, **changed: Any) -> list[Any]:
    """A sound kline as Binance lists it, `slot` candles after FIRST, with some values changed."""
    opened = FIRST + slot * STEP
    values = {
        "open_time": opened,
        "open": "100.00",
        "high": "110.50",
        "low": "99.10",
        "close": "105.25",
        "volume": "12.5",
        "close_time": opened + STEP - 1,
        "quote_volume": "1300.125",
        "trades": 42,
        "taker_buy_base": "6.25",
        "taker_buy_quote": "650.0625",
    }
    return [*{**values, **changed}.values(), "0"]


def klines(count: int, first: int = 0) -> list[list[Any]]:
    return [kline(slot) for slot in range(first, first + count)]


def after(slots: int) -> int:
    """The exchange's time, two seconds after the close of so many candles from FIRST on."""
    return FIRST + slots * STEP + 2000


def frame(rows: list[Any], symbol: str = "BTCUSDT") -> pd.DataFrame:
    return candle_frame(symbol, rows)


def admitted(engine: Engine, rows: list[Any], now_ms: int, symbol: str = "BTCUSDT") -> Admission:
    """What the gate says of one symbol's klines."""
    return admit_klines(engine, [Klines(symbol, rows)], "rest", now_ms)


def counts(engine: Engine, *, without: frozenset[str] = frozenset()) -> dict[str, int]:
    """Rows of every table."""
    with engine.connect() as connection:
        names = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        ).scalars()
        return {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for name in names
            if name not in without
        }


def rows_of(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def one(engine: Engine, statement: str, **values: Any) -> Any:
    """The single value that a statement gives."""
    ((value,),) = rows_of(engine, statement, **values)
    return value


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that tells nobody when it happens.

    The longer it takes and the dearer a look, the rarer the looks: they slow down what is waited for.
    """
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        if happened():
            return
        now = time.monotonic()
        assert now - began < seconds, f"not within {seconds} s"
        time.sleep(min(max(0.02, 4 * (now - looked), (now - began) / 20), 0.3))
