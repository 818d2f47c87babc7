"""Whether a strategy's moments matter: its trades against as many that begin at random and last as long.

A draw keeps of each strategy and symbol the number of its trades and how many candles each lasts, shuffles them, and
drops them on the candles of the span so that no two overlap. Compared is the mean of the trades' logarithmic returns,
before fees: they are the same for both. The strategy's trades have their own prices, with slippage and stops. Those of
a draw begin and end at opens, without slippage, so the p-value is rather too high than too low.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eightbells.backtest.history import History
from eightbells.backtest.result import Result, Trade

DRAWS = 2000
_SEED = 8


def p_value(
    result: Result, histories: Sequence[History], draws: int = DRAWS, seed: int = _SEED
) -> float | None:
    """The share of draws that do as well as the strategies did, from 1 / (draws + 1) to 1; None without a trade.

    Args:
        result: the backtest.
        histories: the candles it ran on.
        seed: the same seed gives the same draws.
    """
    by_place: dict[tuple[str, str], list[Trade]] = {}
    for trade in result.trades:
        by_place.setdefault((trade.strategy, trade.symbol), []).append(trade)
    if not by_place:
        return None
    source = np.random.default_rng(seed)
    candles = {it.symbol: it for it in histories}
    own, drawn = 0.0, np.zeros(draws)
    for (_, symbol), trades in sorted(by_place.items()):
        history = candles[symbol]
        within = (history.opens >= result.times[0]) & (history.opens <= result.times[-1])
        opens = history.opens[within]
        prices = np.append(
            history.shown["open"].to_numpy()[within], history.shown["close"].to_numpy()[within][-1]
        )
        own += sum(float((it.exit_price / it.entry_price).ln()) for it in trades)
        drawn += _drawn(np.log(prices), _lasting(trades, opens), draws, source)
    return (1 + int(np.count_nonzero(drawn >= own))) / (draws + 1)


def _lasting(trades: Sequence[Trade], opens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many candles each trade lasts: at least the one that it begins in; what is open lasts to the last close."""
    begins = np.searchsorted(opens, [it.opened_ms for it in trades], side="right") - 1
    ends = np.searchsorted(opens, [it.closed_ms for it in trades], side="right") - 1
    ends = np.where([it.leg == "open" for it in trades], len(opens), ends)
    lasting: npt.NDArray[np.int64] = np.maximum(ends - begins, 1)
    return lasting


def _drawn(
    prices: npt.NDArray[np.float64],
    lasting: npt.NDArray[np.int64],
    draws: int,
    source: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Of each draw the sum of its trades' returns.

    Args:
        prices: logarithms of the opens, and of the last close.
    """
    free = len(prices) - 1 - int(lasting.sum())  # candles without a trade
    found = np.empty(draws)
    for draw in range(draws):
        order = source.permutation(lasting)
        before = np.cumsum(order) - order
        begins = np.sort(source.integers(0, max(free, 0) + 1, len(order))) + before
        found[draw] = (prices[begins + order] - prices[begins]).sum()
    return found
