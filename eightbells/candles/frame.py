"""The candle frame: klines of any number of symbols as one pandas DataFrame, every number exact.

Columns: `symbol`, `open_time` and `close_time` (int, ms UTC), the nine values of a kline (`Decimal`, `trades`
int) and `raw`, the kline as it came. What cannot be read exactly is None, never a guess: the suite finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pandas as pd

from eightbells.candles import grid

PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume", "taker_buy_base", "taker_buy_quote")
# the order of Binance's REST answer; the twelfth field has no meaning and is not read
KLINE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time",
    "quote_volume", "trades", "taker_buy_base", "taker_buy_quote",
)  # fmt: skip
VALUES = ("close_time", *PRICES, "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
COLUMNS = ("symbol", *KLINE, "raw")
_INTEGERS = {"open_time", "close_time", "trades"}


def candle_frame(symbol: str, klines: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """The frame of one symbol's klines as Binance's REST answer lists them."""
    if not klines:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    rows = [row if len(row) >= len(KLINE) else [*row, *[None] * len(KLINE)] for row in klines]
    fields = dict(zip(KLINE, zip(*(row[: len(KLINE)] for row in rows), strict=True), strict=True))
    read = {
        name: pd.Series(_read(values, _integer if name in _INTEGERS else _decimal), dtype=object)
        for name, values in fields.items()
    }
    frame = pd.DataFrame({"symbol": [symbol] * len(rows), **read})
    frame["raw"] = pd.Series(list(klines), dtype=object)
    return frame


def concatenate(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several, numbered anew; the same row twice is one row."""
    joined = pd.concat([*frames], ignore_index=True)
    if joined.duplicated(["symbol", "open_time"]).any():
        joined = joined.drop_duplicates(["symbol", *KLINE], ignore_index=True)
    return joined


def only_closed(frame: pd.DataFrame, now_ms: int) -> pd.DataFrame:
    """The frame without the candle that still runs: REST has no closed flag and sends it last.

    A row whose open time cannot be read stays, for the suite to refuse.
    """
    running = [isinstance(opened, int) and grid.closes_at(opened) > now_ms for opened in frame["open_time"]]
    return frame[[not still for still in running]].reset_index(drop=True)


def _read(values: Sequence[Any], parse: Callable[[Any], Any]) -> list[Any]:
    return [parse(value) for value in values]


def _decimal(value: Any) -> Decimal | None:
    if not isinstance(value, str):  # a JSON number has been through a float
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int else None
