"""Closes of the stream: which candle is traded next, and the verdicts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from eightbells.candles import grid
from eightbells.exchange.streams import ClosedCandle
from eightbells.quality.verdicts import Verdict
from eightbells.runtime import Runtime

_LEAD_SECONDS = 2.0  # before a close, for what need not wait for its candles
_LOOK_SECONDS = 0.5  # the exchange's clock may be set

Proven = Callable[[], Awaitable[dict[str, Verdict]]]
OnClose = Callable[[int, Proven], Awaitable[None]]


@dataclass
class Closes:
    """What has come of each close. Times are open times in ms.

    Args:
        symbols: those that are traded.
        warn: called with the reason when a close could not be traded.

    Attributes:
        last: the newest judged candle of each symbol.
    """

    runtime: Runtime
    symbols: tuple[str, ...]
    warn: Callable[[str], None]
    last: dict[str, int] = field(default_factory=dict)
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _heard: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, candles: Iterable[ClosedCandle]) -> None:
        """Note which close has begun, before anything of it is judged."""
        for candle in candles:
            opened: int = candle.kline[0]
            if candle.symbol in self.symbols and opened <= grid.last_closed(candle.said_ms):
                self._heard = max(self._heard, opened)
        self._news.set()

    def note(self, verdicts: Mapping[str, Verdict]) -> None:
        """Note what was judged and stored."""
        for symbol, verdict in verdicts.items():
            if verdict.last_open >= self.last.get(symbol, 0):  # an older candle may come late
                self.last[symbol], self._verdicts[symbol] = verdict.last_open, verdict
        self._news.set()

    async def trade(self, on_close: OnClose) -> None:
        """Trade close after close, until cancelled."""
        traded = tried = grid.last_closed(self.runtime.now_ms)
        while True:
            opened = self._next(traded, tried)
            if opened is None:
                await self._wait_for_news(_LOOK_SECONDS)
                continue
            tried = opened
            try:
                await on_close(opened, partial(self._proven, opened))
            except Exception as error:  # the scheduled cycle trades this candle, the stream goes on
                self.warn(f"could not trade on the close of {grid.label(opened)}: {error}")
            if self._newest >= opened:
                traded = opened

    @property
    def _newest(self) -> int:
        return max((self.last.get(symbol, 0) for symbol in self.symbols), default=0)

    def _next(self, traded: int, tried: int) -> int | None:
        """The candle to trade next: one that has come, or one about to come for which no run has waited yet."""
        if self._newest > traded:
            return self._newest
        lead_ms = int(_LEAD_SECONDS * 1000 * self.runtime.settings.exchange.clock_speed)
        soon = max(self._heard, grid.last_closed(self.runtime.now_ms + lead_ms))
        return soon if soon > max(traded, tried) else None

    async def _proven(self, opened: int) -> dict[str, Verdict]:
        """The verdicts on a candle: of the whole universe, or of what has come when the settle time is over."""
        while self._newest < opened and self.runtime.now_ms < grid.closes_at(opened):
            await self._wait_for_news(_LOOK_SECONDS)
        settle = self.runtime.settings.candles.settle_seconds
        await self._until(lambda: self._newest >= opened, settle)
        await self._until(lambda: all(self.last.get(symbol, 0) >= opened for symbol in self.symbols), settle)
        return {symbol: self._verdicts[symbol] for symbol in self.symbols if self.last.get(symbol) == opened}

    async def _until(self, happened: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not happened():
                    await self._wait_for_news(seconds)

    async def _wait_for_news(self, seconds: float) -> None:
        """Wait until a candle is heard or stored, for so long at most."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
