"""Whether the window of a candle is proven, so that a strategy may decide on it."""

from __future__ import annotations

import numpy as np

from eightbells.candles import grid
from eightbells.candles.timeframe import Slots
from eightbells.quality.verdicts import Verdict


def objection(
    verdict: Verdict | None,
    open_ms: int,
    opens: Slots,
    absent: Slots,
    max_pause: int,
    split_ms: int | None = None,
) -> str | None:
    """Why nothing may be decided on a symbol's candle, or None where the window is proven.

    Args:
        verdict: what the suite said of the batch that brought the candle, if there was one.
        open_ms: the candle to decide on.
        opens: open times (ms) of the candles that the decision looks at, oldest first.
        absent: slots that the symbol never had, as `gaps.absent` gives them.
        max_pause: how many of them the window may have in a row.
        split_ms: the first candle in new coins, where the symbol was split.
    """
    if verdict is None or verdict.last_open < open_ms:
        return "the exchange did not deliver the candle"
    if not verdict.success:
        return f"validation failed: {verdict.words}"
    if not len(opens) or opens[-1] != open_ms:
        return "the candle is not stored"
    wanted = np.arange(opens[0], open_ms + 1, grid.STEP_MS, dtype=np.int64)
    missing = np.setdiff1d(wanted, np.concatenate([opens, absent]))
    if missing.size:
        return f"{missing.size} candle(s) of the window are missing, the first {grid.label(int(missing[0]))}"
    if split_ms is not None and opens[0] < split_ms:
        return f"the window joins candles before and after the split of {grid.label(split_ms)}"
    return _pause(opens, max_pause)


def _pause(opens: Slots, max_pause: int) -> str | None:
    """Why the newest pause is too long to look across: what comes after it may be priced in something else."""
    pauses = np.diff(opens) // grid.STEP_MS - 1
    long = np.flatnonzero(pauses > max_pause)
    if not long.size:
        return None
    before, after = int(opens[long[-1]]), int(opens[long[-1] + 1])
    return (
        f"the window spans a pause of {int(pauses[long[-1]])} candles from {grid.label(before + grid.STEP_MS)} to "
        f"{grid.label(after)}, {max_pause} is the most (candles.max_pause)"
    )
