"""The starting point of a strategy: a file that works, and its test."""

from __future__ import annotations

import re
from pathlib import Path

from eightbells.errors import EightbellsError

_STRATEGY = '''"""{title}: long while the close is above the mean of the closes, by more than a band around it."""

import numpy as np
import talib
from pydantic import Field

from eightbells.strategies.contract import Opinion, Parameters


class {kind}Parameters(Parameters):
    candles: int = Field(default=42, ge=2, le=1000)  # 42 four-hour candles are a week
    band: float = Field(default=0.01, ge=0, lt=1)  # share of the mean


class {kind}:
    """Long above the mean of `candles` closes and its band, else flat."""

    version = "1"  # part of a decision's identity: raise it when the rules change
    Parameters = {kind}Parameters

    def __init__(self, parameters):
        self.candles, self.band = parameters.candles, parameters.band
        self.window = parameters.candles  # how many candles `decide` needs and gets

    def decide(self, candles):
        """Decide on the last row. Everything in `candles` is closed: there is nothing of the future in it."""
        close = candles["close"].to_numpy()
        bound = close.mean() * (1 + self.band)
        target = "long" if close[-1] > bound else "flat"
        return Opinion(target, f"close {{close[-1]:g}}, the mean and its band {{bound:g}}")

    def signals(self, candles):
        """Not needed, but faster: of each candle whether `decide` says long. `strategies check` compares the two."""
        close = candles["close"].to_numpy()
        if len(close) < self.candles:
            return np.zeros(len(close), dtype=bool)
        return close > talib.SMA(close, self.candles) * (1 + self.band)
'''

_TEST = '''"""What {kind} must do. Run it with `python test_{name}.py`, or with pytest."""

import numpy as np
import pandas as pd
from {name} import {kind}

STRATEGY = {kind}({kind}.Parameters(candles=5, band=0.01))


def candles(*closes):
    frame = pd.DataFrame({{"close": np.array(closes, dtype=float)}})
    for name in ("open", "high", "low"):
        frame[name] = frame["close"]
    for name in ("volume", "quote_volume", "trades"):
        frame[name] = 1.0
    frame.index = pd.date_range("2021-01-01", periods=len(closes), freq="4h", tz="UTC")
    return frame


def test_it_is_long_above_the_band():
    assert STRATEGY.decide(candles(100, 100, 100, 100, 110)).target == "long"


def test_it_is_flat_within_the_band_and_below():
    assert STRATEGY.decide(candles(100, 100, 100, 100, 100.5)).target == "flat"
    assert STRATEGY.decide(candles(100, 100, 100, 100, 90)).target == "flat"


def test_signals_say_what_decide_says():
    closes = 100 + np.cumsum(np.random.default_rng(1).normal(0, 2, 200))
    frame = candles(*closes)
    signals = STRATEGY.signals(frame)
    for end in range(5, 201):
        assert signals[end - 1] == (STRATEGY.decide(frame.iloc[end - 5 : end]).target == "long")


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "passed")
'''


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a strategy and its test; returns the two files.

    Raises:
        EightbellsError: the name cannot be that of a module, or a file is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise EightbellsError(
            f"{name!r} is no name of a strategy: use small letters, digits and _, as in my_trend"
        )
    kind = "".join(part.title() for part in name.split("_"))
    title = name.replace("_", " ").capitalize()
    files = folder / f"{name}.py", folder / f"test_{name}.py"
    for file in files:
        if file.exists():
            raise EightbellsError(f"{file} is there already; choose another name, or remove it")
    try:
        for file, content in zip(files, (_STRATEGY, _TEST), strict=True):
            file.write_text(content.format(name=name, kind=kind, title=title))
    except OSError as error:
        raise EightbellsError(f"{error.filename} cannot be written: {error.strerror}") from None
    return files


def entry(name: str) -> str:
    """The entry of a strategy that was written, as eightbells.toml has it."""
    kind = "".join(part.title() for part in name.split("_"))
    return (
        f'[[strategies]]\nname = "{name.replace("_", "-")}"\nkind = "{name}:{kind}"\ncapital = "1000"\n'
        f'symbols = ["BTCUSDT"]\nstop_loss = "0.1"\n'
    )
