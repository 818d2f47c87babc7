"""The expectations a candle has to meet, as Great Expectations suites. Imported only where something is judged.

What becomes of rows that fail is the expectation's severity: `critical` stops the run and stores nothing, `warning`
rejects the row, which goes to quarantine, `info` stores it and notes what is odd.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd

# before the import: no events to the makers of the library, no progress bars in the log
os.environ["GX_ANALYTICS_ENABLED"] = "false"

from eightbells.candles.frame import KLINE, PRICES
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.errors import UnusableBatch
from eightbells.quality.unused import put_off

# half of the time that the import takes, for one expectation, about distributions
with put_off("altair", "scipy.stats"):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.metadata_types import FailureSeverity

NAME = "four-hour-candles-2"
STOP, REJECT, WARN = FailureSeverity.CRITICAL, FailureSeverity.WARNING, FailureSeverity.INFO
_USABLE_SHARE = 0.5  # of a batch's rows: what has fewer is no answer of candles
_FEWEST = 100  # rows from which a batch is refused as a whole: a smaller one is judged row by row
_ONE_AT_A_TIME = threading.Lock()  # the library's context is one for all threads
_last = threading.local()
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
    ("closed_in_slot", "closed_in_later_slot"),
    ("asked", "not_requested"),
)
# The columns of `oddities.look`.
_USUAL = (
    ("closes_on_time", "odd_close_time"),
    ("volume_has_trades", "volume_without_trades"),
    ("quote_volume_fits", "quote_volume_out_of_range"),
    ("no_jump", "jump"),
    ("no_long_pause", "long_pause"),
)
_USABLE = (
    ("readable", "cannot be read"),
    ("on_grid", "are off the grid"),
    ("closed", "are not closed"),
    ("asked", "were not asked for"),
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
        on_grid=_on_grid(frame, timeframe),
        closed=_closed(frame, now_ms),
        closed_in_slot=[
            opened is None or closed is None or closed < timeframe.closes_at(opened)
            for opened, closed in zip(frame["open_time"], frame["close_time"], strict=True)
        ],
    )
    if _validated(REJECT, batch, "BOOLEAN_ONLY").success:
        return {}  # to ask which rows failed takes as long again
    return _reasons(_validated(REJECT, batch, "COMPLETE"))


def require_usable(
    frame: pd.DataFrame,
    reasons: Mapping[int, list[str]],
    others: int,
    now_ms: int,
    timeframe: Timeframe = CYCLE,
) -> None:
    """Raise UnusableBatch where most rows are wrong in the same way: in another format, or for another span.

    The batch counts as a whole, and each symbol's rows in it by themselves: they are one answer of the exchange.

    Args:
        frame: a candle frame with all rows of the symbols that are not known to be sound.
        reasons: what `judge` found in it.
        others: how many rows of other symbols, all of them sound, the batch has.
    """
    _require_usable(frame, len(frame) + others, now_ms, timeframe)
    bad = frame["symbol"].isin(frame.loc[list(reasons), "symbol"])
    for _, rows in frame[bad].groupby("symbol", observed=True):
        _require_usable(rows, len(rows), now_ms, timeframe)


def _require_usable(frame: pd.DataFrame, count: int, now_ms: int, timeframe: Timeframe) -> None:
    if count < _FEWEST:
        return
    batch = pd.DataFrame(
        {
            "readable": frame[[*KLINE]].notna().all(axis="columns"),
            "on_grid": _on_grid(frame, timeframe),
            "closed": _closed(frame, now_ms),
            "asked": frame["asked"].astype(bool),
        }
    ).reset_index(drop=True)
    result = _validated(STOP, batch.reindex(range(count), fill_value=True), "BASIC")
    for outcome in result.results:
        if not outcome.success:
            wrong = outcome.result["unexpected_count"]
            raise UnusableBatch(
                f"{wrong:,} of {count:,} rows {outcome.expectation_config.meta['reason']}: nothing of the batch is "
                "stored; look at what the exchange answers"
            )


def warnings_of(looks: pd.DataFrame) -> dict[int, list[str]]:
    """What is odd about sound rows: the codes by index.

    Args:
        looks: as `oddities.look` gives it.
    """
    if _validated(WARN, looks, "BOOLEAN_ONLY").success:
        return {}
    return _reasons(_validated(WARN, looks, "COMPLETE"))


def _on_grid(frame: pd.DataFrame, timeframe: Timeframe) -> list[bool]:
    return [type(opened) is int and timeframe.opens_at(opened) for opened in frame["open_time"]]


def _closed(frame: pd.DataFrame, now_ms: int) -> list[bool]:
    return [type(closed) is int and closed < now_ms for closed in frame["close_time"]]


def _reasons(result: Any) -> dict[int, list[str]]:
    """The codes of what each row breaks, by its index."""
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
        closed_in_slot=numbers["close_time"] < timeframe.closes_at(0) + numbers["open_time"],
    )
    return bool(_validated(REJECT, batch, "BOOLEAN_ONLY").success)


def _validated(severity: FailureSeverity, batch: pd.DataFrame, result_format: str) -> Any:
    with _ONE_AT_A_TIME, warnings.catch_warnings(), _configured_once():
        warnings.simplefilter("ignore")  # the library's own, about pandas
        definition, suites = _suites()
        suite = suites[severity]
        _last.result = definition.get_batch({"dataframe": batch}).validate(suite, result_format=result_format)
        return _last.result


@contextmanager
def _configured_once() -> Iterator[None]:
    """Let an expectation make its configuration once a run. The library makes it eighty times, in half of the run."""
    configuration = Expectation.configuration
    assert configuration.fget
    make = configuration.fget
    made: dict[int, tuple[Expectation, Any]] = {}  # keeps the expectations alive, so that no id comes twice

    def remember(expectation: Expectation) -> Any:
        if id(expectation) not in made:
            made[id(expectation)] = expectation, make(expectation)
        return made[id(expectation)][1]

    Expectation.configuration = property(remember)
    try:
        yield
    finally:
        Expectation.configuration = configuration


def last_result() -> Any:
    """Great Expectations' result of what this thread has judged last."""
    return _last.result


def rendered(result: Mapping[str, Any]) -> str:
    """The page of Great Expectations' Data Docs about a result, as HTML.

    Args:
        result: a result as its `to_json_dict` gives it.
    """
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    loaded = expectationSuiteValidationResultSchema.load(dict(result))
    if isinstance(loaded, dict):
        loaded = ExpectationSuiteValidationResult(**loaded)
    return str(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(loaded)))


@functools.cache
def _suites() -> tuple[Any, dict[FailureSeverity, Any]]:
    for name in (
        "great_expectations",
        "great_expectations.data_context.types.base",
    ):  # the latter sets its own
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("candles").add_dataframe_asset("klines")
    suites = {
        severity: context.suites.add(
            gx.ExpectationSuite(
                name=f"{NAME}-{severity.value}",
                expectations=[it for it in expectations() if it.severity is severity],
            )
        )
        for severity in FailureSeverity
    }
    return asset.add_batch_definition_whole_dataframe("all symbols"), suites


def expectations() -> list[Any]:
    """All of them, each with its severity; the code of what it finds is the `reason` of its `meta`."""
    return [*_stopping(), *_rejecting(), *_warning()]


def _stopping() -> list[Any]:
    return [_true(name, reason, STOP, mostly=_USABLE_SHARE) for name, reason in _USABLE]


def _warning() -> list[Any]:
    return [_true(name, reason, WARN) for name, reason in _USUAL]


def _true(column: str, reason: str, severity: FailureSeverity, **given: Any) -> Any:
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=[True], severity=severity, meta={"reason": reason}, **given
    )


def _rejecting() -> list[Any]:
    null = [
        gxe.ExpectColumnValuesToNotBeNull(
            column=name, severity=REJECT, meta={"reason": f"{name}_missing_or_inexact"}
        )
        for name in KLINE
    ]
    positive = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=0,
            strict_min=True,
            severity=REJECT,
            meta={"reason": f"{name}_not_positive"},
        )
        for name in PRICES
    ]
    negative = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=0, severity=REJECT, meta={"reason": f"{name}_negative"}
        )
        for name in _NEVER_NEGATIVE
    ]
    above = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=larger,
            column_B=smaller,
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            severity=REJECT,
            meta={"reason": reason},
        )
        for smaller, larger, reason in _NEVER_ABOVE
    ]
    true = [_true(name, reason, REJECT) for name, reason in _TRUE]
    unique = gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["symbol", "open_time"],
        ignore_row_if="any_value_is_missing",
        severity=REJECT,
        meta={"reason": "duplicate"},
    )
    return [*null, *positive, *negative, *above, *true, unique]
