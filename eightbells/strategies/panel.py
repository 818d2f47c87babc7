"""The strategies of one candle: each is asked within its time, and none keeps another from being asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pandas as pd

from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.contract import Opinion
from eightbells.strategies.process import PROCESS, NoAnswer

_T = TypeVar("_T")


@dataclass
class Member:
    """A strategy that is ready to be asked, and how many seconds it has left for this candle."""

    entry: StrategySettings
    version: str
    window: int
    sees_all: bool
    needs: tuple[str, ...]
    left: float

    @property
    def name(self) -> str:
        return self.entry.name


class Panel:
    """All strategies of the settings: those that can be asked, and why the others cannot.

    No dataclass: Prefect would search its fields for futures at every call.

    Args:
        progress: called after each answer.
    """

    def __init__(self, settings: Settings, progress: Callable[[], None] = lambda: None) -> None:
        self._limits, self._progress = settings.limits, progress
        self.members: list[Member] = []
        self.failed: list[tuple[StrategySettings, str]] = []
        for entry in settings.strategies:
            try:
                prepared = PROCESS.prepare(entry, self._limits)
                self.members.append(Member(entry, *prepared, self._limits.strategy_seconds))
            except NoAnswer as error:
                self.failed.append((entry, str(error)))
            progress()

    def window(self, default: int) -> int:
        """How many candles the strategy that looks back the furthest needs."""
        return max((member.window for member in self.members), default=default)

    def ask(self, member: Member, candles: pd.DataFrame) -> Opinion:
        """A strategy's opinion on a window.

        Raises:
            NoAnswer: it failed, or its time is over.
        """
        return self._in_time(member, partial(PROCESS.decide, member.entry, candles, self._limits))

    def ask_all(self, member: Member, universe: pd.DataFrame) -> dict[str, Opinion | str]:
        """What a strategy that sees all symbols at once says of each; of one without an opinion, the reason.

        Raises:
            NoAnswer: it failed, or its time is over.
        """
        return self._in_time(member, partial(PROCESS.decide_all, member.entry, universe, self._limits))

    def _in_time(self, member: Member, ask: Callable[[], _T]) -> _T:
        if member.left <= 0:
            raise NoAnswer(
                f"the strategy was not asked: it took {self._limits.strategy_seconds:g} s for other symbols of this "
                "candle (limits.strategy_seconds)"
            )
        if member.left == self._limits.strategy_seconds:  # another one may have cost it its process
            PROCESS.prepare(member.entry, self._limits)
        began = time.monotonic()
        try:
            return ask()
        finally:
            member.left -= time.monotonic() - began
            self._progress()
