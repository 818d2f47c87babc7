"""What a strategy is: from the last closed candles of one symbol to being long or flat, and why."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings

Target = Literal["long", "flat"]


@dataclass(frozen=True)
class Opinion:
    """The position a strategy wants to hold from now on, with its reason in words and figures."""

    target: Target
    reason: str


class Parameters(BaseModel):
    """Base of a strategy's parameters: unknown names and values out of bounds are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Strategy(Protocol):
    """Pure: the same window always gives the same opinion.

    `version` is part of a decision's identity: raise it when the rules change. `window` is the number of
    candles that `decide` needs and gets, never more.
    """

    version: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]

    def __init__(self, parameters: Any) -> None: ...

    @property
    def window(self) -> int: ...

    def decide(self, candles: pd.DataFrame) -> Opinion:
        """Decide on the last row of `candles`.

        Args:
            candles: `window` closed candles, oldest first; float columns open, high, low, close, volume,
                quote_volume, trades; index open_time (UTC). The exchange's own holes are simply not there.
        """
        ...


BUILT_IN = {
    "ma_cross": "eightbells.strategies.ma_cross:MovingAverageCross",
    "donchian": "eightbells.strategies.donchian:DonchianBreakout",
}


def build(settings: StrategySettings) -> Strategy:
    """The strategy that a `[[strategies]]` entry names: a built-in one or `package.module:Class`.

    Raises:
        EightbellsError: there is no such strategy, or a parameter does not fit.
    """
    place = BUILT_IN.get(settings.kind, settings.kind)
    module, _, name = place.partition(":")
    try:
        kind: type[Strategy] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise EightbellsError(
            f"strategy '{settings.name}': there is no kind '{settings.kind}' "
            f"(built in: {', '.join(BUILT_IN)}; your own: package.module:Class)"
        ) from None
    try:
        return kind(kind.Parameters(**settings.parameters))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "parameters"
        raise EightbellsError(f"strategy '{settings.name}', {place}: {first['msg']}") from None
