"""What strategies may look at, and the hash of what they have looked at."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from eightbells.candles.timeframe import Slots
from eightbells.candles.window import Window
from eightbells.quality.verdicts import Verdict
from eightbells.quality.windows import objection


@dataclass(frozen=True)
class View:
    """What may be looked at of one symbol: its candles, the slots it never had, and what the suite said.

    Args:
        split_ms: the first candle in new coins, where the symbol was split.
    """

    candles: Window
    absent: Slots
    verdict: Verdict | None
    max_pause: int
    split_ms: int | None

    def objection(self, open_ms: int, window: Window) -> str | None:
        """Why nothing may be decided on one of its windows."""
        if len(window) not in self._objections:
            self._objections[len(window)] = objection(
                self.verdict, open_ms, window.opens, self.absent, self.max_pause, self.split_ms
            )
        return self._objections[len(window)]

    def hash(self, window: Window) -> str:
        """The hash of one of its windows."""
        if len(window) not in self._hashes:
            self._hashes[len(window)] = inputs_hash(window)
        return self._hashes[len(window)]

    # by the length of the window: strategies often look equally far back
    @functools.cached_property
    def _objections(self) -> dict[int, str | None]:
        return {}

    @functools.cached_property
    def _hashes(self) -> dict[int, str]:
        return {}


def inputs_hash(window: Window) -> str:
    """The hash of exactly what a strategy was shown: every time and every digit."""
    return content_hash(window.digits)


def universe_hash(hashes: Mapping[str, str]) -> str:
    """The hash of the windows of several symbols, of their hashes by symbol."""
    return content_hash("\n".join(f"{symbol} {hashes[symbol]}" for symbol in sorted(hashes)))


def content_hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
