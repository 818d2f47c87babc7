"""The candle frame: klines of any number of symbols as one pandas DataFrame, every number exact.

Columns: `symbol`, `open_time` and `close_time` (int, ms UTC), the nine values of a kline (`Decimal`, `trades`
int), `asked`, whether it lies where a candle was asked for, and `raw`, the kline as it came. What cannot be read
exactly is None, never a guess: the suite finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pandas as pd

from eightbells.candles.timeframe import CYCLE, Timeframe

PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume", "taker_buy_base", "taker_buy_quote")
# the order of Binance's REST answer; the twelfth field has no meaning and is not read
KLINE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time",
    "quote_volume", "trades", "taker_buy_base", "taker_buy_quote",
)  # fmt: skip
VALUES = ("close_time", *PRICES, "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
COLUMNS = ("symbol", *KLINE, "asked", "raw")
INTEGERS = {"open_time", "close_time", "trades"}
# what lies beyond is no price, volume or time of ours, and more than Postgres or a datetime may hold
MOST_DIGITS = 60
GREATEST_INTEGER = 2**45  # as a time in ms the year 3084


def candle_frame(
    symbol: str, klines: Sequence[Any], asked: Container[int] = range(GREATEST_INTEGER)
) -> pd.DataFrame:
    """The frame of one symbol's klines as Binance's REST answer lists them.

    Args:
        asked: the open times that were asked for.
    """
    if not klines:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    rows = [_fields(row) for row in klines]
    fields = dict(zip(KLINE, zip(*rows, strict=True), strict=True))
    read = {
        name: pd.Series(_read(values, _integer if name in INTEGERS else _decimal), dtype=object)
        for name, values in fields.items()
    }
    frame = pd.DataFrame({"symbol": [symbol] * len(rows), **read})
    lies_there = [opened is None or opened in asked for opened in read["open_time"]]
    frame["asked"] = pd.Series(lies_there, dtype=object)
    frame["raw"] = pd.Series(list(klines), dtype=object)
    return frame


def concatenate(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several, with a new index; the same row twice is one row."""
    joined = pd.concat([*frames], ignore_index=True)
    if joined.duplicated(["symbol", "open_time"]).any():
        unread = joined[[*KLINE]].isna().any(axis="columns")  # such rows may differ in what was not read
        told = joined["raw"].map(repr).where(unread, "")
        repeated = joined.assign(told=told).duplicated(["symbol", *KLINE, "told"])
        joined = joined[~repeated].reset_index(drop=True)
    return joined


def only_closed(frame: pd.DataFrame, now_ms: int, timeframe: Timeframe = CYCLE) -> pd.DataFrame:
    """The frame without the candle that still runs: REST has no closed flag and sends it last.

    A row whose open time cannot be read, or has not come yet, stays, for the suite to refuse.
    """
    running = [
        opened is not None and opened <= now_ms < timeframe.closes_at(opened) for opened in frame["open_time"]
    ]
    return frame[[not still for still in running]].reset_index(drop=True)


def _fields(row: Any) -> Sequence[Any]:
    """As many values as a kline has, None where the row has none."""
    values = row if isinstance(row, list | tuple) else []
    return [*values[: len(KLINE)], *[None] * (len(KLINE) - len(values))]


def _read(values: Sequence[Any], parse: Callable[[Any], Any]) -> list[Any]:
    return [parse(value) for value in values]


def _decimal(value: Any) -> Decimal | None:
    if not isinstance(value, str) or len(value) > MOST_DIGITS:  # a JSON number has been through a float
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < MOST_DIGITS else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < GREATEST_INTEGER else None
