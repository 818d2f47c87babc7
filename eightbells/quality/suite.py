"""The expectations a candle has to meet, as a Great Expectations suite. Imported only where something is judged."""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from typing import Any

import pandas as pd

# before the import: no events to the makers of the library, no progress bars in the log
os.environ["GX_ANALYTICS_ENABLED"] = "false"

from eightbells.candles.frame import KLINE, PRICES
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.quality.unused import put_off

# half of the time that the import takes, for one expectation, about distributions
with put_off("altair", "scipy.stats"):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

NAME = "four-hour-candles-1"
_ONE_AT_A_TIME = threading.Lock()  # the library's context is one for all threads
_NEVER_ABOVE = (
    ("low", "open", "low_above_open"),
    ("low", "close", "low_above_close"),
    ("open", "high", "open_above_high"),
    ("close", "high", "close_above_high"),
    ("taker_buy_base", "volume", "taker_volume_above_volume"),
    ("open_time", "close_time", "closed_before_open"),
)
_NEVER_NEGATIVE = ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_TRUE = (
    ("on_grid", "off_grid"),
    ("closed", "not_closed"),
    ("asked", "not_requested"),
)


def judge(frame: pd.DataFrame, now_ms: int, timeframe: Timeframe = CYCLE) -> dict[int, list[str]]:
    """Judge a candle frame of any number of symbols in one run.

    Args:
        frame: a candle frame with a running index from 0.
        now_ms: the exchange's time; nothing may close after it.

    Returns:
        The codes of what each bad row breaks, by its index; a sound frame gives an empty dict.
    """
    batch = frame.drop(columns="raw").assign(
        on_grid=[type(opened) is int and timeframe.opens_at(opened) for opened in frame["open_time"]],
        closed=[type(closed) is int and closed < now_ms for closed in frame["close_time"]],
    )
    if _validated(batch, "BOOLEAN_ONLY").success:
        return {}  # to ask which rows failed takes as long again
    result = _validated(batch, "COMPLETE")
    reasons: dict[int, list[str]] = {}
    for outcome in result.results:
        if outcome.exception_info.get("raised_exception"):
            raise RuntimeError(
                f"expectation could not be checked: {outcome.exception_info['exception_message']}"
            )
        for row in outcome.result.get("unexpected_index_list") or []:
            reasons.setdefault(int(row), []).append(outcome.expectation_config.meta["reason"])
    return reasons


def is_sound(numbers: pd.DataFrame, now_ms: int, timeframe: Timeframe = CYCLE) -> bool:
    """Whether all rows of plain klines meet the suite; it is the same suite, at a fiftieth of the time.

    Args:
        numbers: the columns of a candle frame as integers and floats, without `raw`.
        now_ms: the exchange's time; nothing may close after it.
    """
    batch = numbers.assign(
        on_grid=(numbers["open_time"] - timeframe.origin_ms) % timeframe.step_ms == 0,
        closed=numbers["close_time"] < now_ms,
    )
    return bool(_validated(batch, "BOOLEAN_ONLY").success)


def _validated(batch: pd.DataFrame, result_format: str) -> Any:
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, about pandas
        definition, suite = _suite()
        return definition.get_batch({"dataframe": batch}).validate(suite, result_format=result_format)


@functools.cache
def _suite() -> tuple[Any, Any]:
    for name in (
        "great_expectations",
        "great_expectations.data_context.types.base",
    ):  # the latter sets its own
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("candles").add_dataframe_asset("klines")
    suite = gx.ExpectationSuite(name=NAME, expectations=list(_expectations()))
    return asset.add_batch_definition_whole_dataframe("all symbols"), context.suites.add(suite)


def _expectations() -> list[Any]:
    null = [
        gxe.ExpectColumnValuesToNotBeNull(column=name, meta={"reason": f"{name}_missing_or_inexact"})
        for name in KLINE
    ]
    positive = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=0, strict_min=True, meta={"reason": f"{name}_not_positive"}
        )
        for name in PRICES
    ]
    negative = [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, meta={"reason": f"{name}_negative"})
        for name in _NEVER_NEGATIVE
    ]
    above = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=larger,
            column_B=smaller,
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            meta={"reason": reason},
        )
        for smaller, larger, reason in _NEVER_ABOVE
    ]
    true = [
        gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[True], meta={"reason": reason})
        for name, reason in _TRUE
    ]
    unique = gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["symbol", "open_time"],
        ignore_row_if="any_value_is_missing",
        meta={"reason": "duplicate"},
    )
    return [*null, *positive, *negative, *above, *true, unique]
