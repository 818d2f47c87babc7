"""The kernel: all trades of one series at once, with numpy. All equity goes into each trade, in fractions of a coin.

It is for looking at many symbols or parameters: no limits, no stops, no steps of a quantity. A change of mind at a
candle's close is carried out at the next candle's open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from eightbells.strategies.contract import Parameters

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Trades:
    """Where each trade begins and ends (index of the candle), and at which prices."""

    entries: Places
    exits: Places
    paid: Floats
    brought: Floats


@dataclass(frozen=True)
class Outcome:
    """What came of one series, of a capital of 1."""

    total_return: float
    trades: int
    fees: float


def trades(opened: Floats, close: Floats, long: npt.NDArray[np.bool_], slippage: float = 0.0) -> Trades:
    """The trades of a strategy that is long where `long` says so; what is open at the end is sold at the last close.

    Nothing is bought at the last candle.

    Args:
        slippage: how much worse than the open each price is, as a share.
    """
    changes = np.flatnonzero(long[1:] != long[:-1]) + 1
    if len(long) and long[0]:
        changes = np.concatenate([[0], changes])
    places = changes + 1  # the candle at whose open it is carried out
    places = places[places < len(long)]
    entries, exits = places[::2], places[1::2]
    entries = entries[entries < len(long) - 1]
    paid, brought = opened[entries] * (1 + slippage), opened[exits] * (1 - slippage)
    if len(exits) < len(entries):
        exits = np.append(exits, len(close) - 1)
        brought = np.append(brought, close[-1])
    return Trades(entries, exits, paid, brought)


def outcome(found: Trades, fee: float = 0.0) -> Outcome:
    """Return and fees of the trades, one after the other.

    Args:
        fee: share of what is bought, and of what is sold.
    """
    if not len(found.entries):
        return Outcome(0.0, 0, 0.0)
    grown = np.cumprod(found.brought * (1 - fee) / (found.paid * (1 + fee)))
    units = np.concatenate([[1.0], grown[:-1]]) / (found.paid * (1 + fee))
    fees = float(np.dot(units, found.paid + found.brought)) * fee
    return Outcome(float(grown[-1]) - 1, len(grown), fees)


def of_symbols(
    kind: type,
    parameters: Parameters,
    candles: Mapping[str, pd.DataFrame],
    fee: float = 0.0,
    slippage: float = 0.0,
) -> dict[str, Outcome]:
    """What a strategy that has `signals` makes of each symbol."""
    strategy = kind(parameters)
    return {symbol: _outcome(strategy, frame, fee, slippage) for symbol, frame in candles.items()}


def of_parameters(
    kind: type, variants: Iterable[Parameters], candles: pd.DataFrame, fee: float = 0.0, slippage: float = 0.0
) -> list[Outcome]:
    """What each variant of a strategy that has `signals` makes of one symbol."""
    return [_outcome(kind(parameters), candles, fee, slippage) for parameters in variants]


def _outcome(strategy: object, candles: pd.DataFrame, fee: float, slippage: float) -> Outcome:
    opened, close = (candles[name].to_numpy() for name in ("open", "close"))
    long = strategy.signals(candles)  # type: ignore[attr-defined]
    return outcome(trades(opened, close, long, slippage), fee)
