"""What a strategy is: from closed candles, of one symbol or of all at once, to what it wants to hold, and why."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, get_args

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from eightbells.errors import EightbellsError
from eightbells.settings import StrategySettings
from eightbells.settings.names import suggestion

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Target = Literal["long", "flat"]


@dataclass(frozen=True)
class Opinion:
    """The position a strategy wants to hold from now on, with its reason in words and figures.

    Args:
        stop: price at which the position is to be sold at a loss; None leaves that to the settings' `stop_loss`.
        take_profit: price at which it is to be sold at a profit.
        weight: share of the strategy's capital, above 0 and at most 1; None for an equal share. 0 is to be flat.
    """

    target: Target
    reason: str
    stop: float | Decimal | None = None
    take_profit: float | Decimal | None = None
    weight: float | Decimal | None = None


def checked(opinion: Opinion, close: Decimal) -> Opinion:
    """The opinion with its figures as exact decimals.

    An opinion to be flat is kept whatever stop or target comes with it: they mean nothing, and the sale matters more.

    Args:
        close: of the candle that it was formed on.

    Raises:
        TypeError: it is no opinion, or a figure is no number.
        ValueError: a figure is out of its bounds; the text names it.
    """
    if not isinstance(opinion, Opinion) or opinion.target not in get_args(Target):
        raise TypeError(f"{opinion!r} is no Opinion of {' or '.join(get_args(Target))}")
    if opinion.target == "flat":
        return Opinion("flat", opinion.reason)
    stop, target, weight = (_number(opinion, name) for name in ("stop", "take_profit", "weight"))
    if stop is not None and not 0 < stop < close:
        raise ValueError(
            f"the stop of its Opinion is {stop:f}: it must lie above 0 and below the close {close:f}"
        )
    if target is not None and target <= close:
        raise ValueError(
            f"the take_profit of its Opinion is {target:f}: it must lie above the close {close:f}"
        )
    if weight is not None and not 0 <= weight <= 1:
        raise ValueError(f"the weight of its Opinion is {weight:f}: it must lie between 0 and 1")
    if weight == 0:
        return Opinion("flat", opinion.reason)
    return Opinion("long", opinion.reason, stop, target, weight)


def _number(opinion: Opinion, name: str) -> Decimal | None:
    """A figure of an opinion as the decimal that Python shows it as."""
    value = getattr(opinion, name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise TypeError(f"the {name} of its Opinion is no number: {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"the {name} of its Opinion is {float(value)}: it must be a finite number")
    # shortest digits that make the float, of which Decimal(float) would show fifty
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))


class Parameters(BaseModel):
    """Base of a strategy's parameters: unknown names and values out of bounds are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rules(Protocol):
    """Pure: the same window always gives the same opinions.

    `version` is part of a decision's identity: raise it when the rules change. `window` is the number of
    candles that the strategy needs and gets, never more.
    """

    version: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]

    def __init__(self, parameters: Any) -> None: ...

    @property
    def window(self) -> int: ...


class Strategy(_Rules, Protocol):
    """One that is asked about each symbol by itself."""

    def decide(self, candles: pd.DataFrame) -> Opinion:
        """Decide on the last row of `candles`.

        Args:
            candles: `window` closed candles, oldest first; float columns open, high, low, close, volume,
                quote_volume, trades; index open_time (UTC). The exchange's own holes are simply not there.
                Columns may be added; what is there must stay as it is.
        """
        ...


class UniverseStrategy(_Rules, Protocol):
    """One that decides for all its symbols at once.

    A class attribute `needs`, a tuple of symbols, names those without which it cannot decide, such as BTCUSDT for a
    look at the whole market. They are in what it is shown, also where it does not trade them; they must be among the
    settings' symbols. While one of them may not be looked at, the strategy is not asked.
    """

    def decide_all(self, universe: pd.DataFrame) -> Mapping[str, Opinion]:
        """Decide on the last row of `universe`, for each symbol in it.

        Args:
            universe: the last `window` slots of the four-hour grid, oldest first; index open_time (UTC). Columns have
                two levels, value and symbol: `universe["close"]` has a column of closes per symbol, by name. What
                else there is has the names that `Strategy.decide` gets. A slot in which the exchange had no candle of
                a symbol is NaN, never the last row. A symbol whose candles are not proven, that is held, or that has
                fewer than `window` candles is not in it. Columns may be added; what is there must stay as it is.

        Returns:
            An opinion for every symbol that it was shown and trades.
        """
        ...


def sees_all(strategy: Strategy | UniverseStrategy) -> TypeIs[UniverseStrategy]:
    """Whether a strategy decides for all its symbols at once."""
    return hasattr(strategy, "decide_all")


def needs_of(strategy: Strategy | UniverseStrategy) -> tuple[str, ...]:
    """The symbols without which a strategy cannot decide.

    Raises:
        TypeError: it says something else.
    """
    found = getattr(strategy, "needs", ())
    if not isinstance(found, (tuple, list)) or not all(isinstance(it, str) for it in found):
        raise TypeError(f"its needs must be a tuple of symbols, not {found!r:.50}")
    if found and not sees_all(strategy):
        raise TypeError("only a strategy with decide_all can have needs")
    return tuple(found)


class Prepared(NamedTuple):
    """What is known of a strategy before it is asked."""

    version: str
    window: int
    sees_all: bool
    needs: tuple[str, ...]


BUILT_IN = {
    "ma_cross": "eightbells.strategies.ma_cross:MovingAverageCross",
    "donchian": "eightbells.strategies.donchian:DonchianBreakout",
    "rsi_reversion": "eightbells.strategies.rsi_reversion:RsiReversion",
    "momentum": "eightbells.strategies.momentum:Momentum",
}


def build(settings: StrategySettings) -> Strategy | UniverseStrategy:
    """The strategy that a `[[strategies]]` entry names: a built-in one or `package.module:Class`.

    Raises:
        EightbellsError: there is no such strategy, its module fails, or parameters do not fit; all that do not.
    """
    kind = _kind(settings)
    try:
        return kind(kind.Parameters(**settings.parameters))
    except ValidationError as error:
        said = "; ".join(
            _mistake(kind, item) for item in error.errors(include_input=False, include_url=False)
        )
        raise EightbellsError(f"strategy '{settings.name}', {said}") from None


def _kind(settings: StrategySettings) -> type[Strategy | UniverseStrategy]:
    module, _, name = BUILT_IN.get(settings.kind, settings.kind).partition(":")
    found = getattr(_imported(settings.name, module), name, None) if name else None
    if not isinstance(found, type) or not hasattr(found, "Parameters"):
        raise EightbellsError(
            f"strategy '{settings.name}': there is no kind '{settings.kind}' "
            f"(built in: {', '.join(BUILT_IN)}; your own: package.module:Class){suggestion(settings.kind, BUILT_IN)}"
        )
    if hasattr(found, "decide") and hasattr(found, "decide_all"):
        raise EightbellsError(
            f"strategy '{settings.name}': {found.__name__} has decide and decide_all; a strategy has one of them"
        )
    return found


def _imported(strategy: str, module: str) -> ModuleType | None:
    """The module; None where there is none of that name."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    try:
        return importlib.import_module(module)
    except Exception as error:  # a module of the user's own may fail in any way
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            return None
        said = "".join(str(error).splitlines()[:1])
        raise EightbellsError(
            f"strategy '{strategy}': {module} cannot be imported: {type(error).__name__}: {said}"
        ) from None


def _mistake(kind: type[Strategy | UniverseStrategy], item: ErrorDetails) -> str:
    """One mistake in a strategy's parameters."""
    place = ".".join(map(str, item["loc"])) or "parameters"
    near = suggestion(place, kind.Parameters.model_fields) if item["type"] == "extra_forbidden" else ""
    return f"{place}: {'is unknown' if item['type'] == 'extra_forbidden' else item['msg']}{near}"
