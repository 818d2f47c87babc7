"""What becomes of asking a strategy about a candle: a decision, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from eightbells.strategies.contract import Target


@dataclass(frozen=True)
class Decision:
    """What a strategy decided on one symbol's candle. `price` is that candle's close, exactly.

    Args:
        stop, take_profit, weight: see `Opinion`; None where the strategy set none.
    """

    signal: int
    strategy: str
    version: str
    symbol: str
    open_ms: int
    target: Target
    price: Decimal
    reason: str
    stop: Decimal | None = None
    take_profit: Decimal | None = None
    weight: Decimal | None = None


@dataclass(frozen=True)
class Refused:
    """Why there is no decision; `strategy` is empty where the symbol is refused to all."""

    symbol: str
    strategy: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Failed(Refused):
    """There is no decision because the strategy itself failed."""


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluation is made for: the candle, and when and by which run it is asked."""

    account: str
    open_ms: int
    now_ms: int
    flow_run: str | None
