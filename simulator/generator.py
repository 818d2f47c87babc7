"""Made-up candles without end: the same for a seed whatever the order they are asked in.

A series is made in blocks of 512 candles, each when it is first read. The price at a block's start is a
mean-reverting walk over blocks; inside, a random bridge leads from one block's start to the next one's.
"""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.candles import H4, SCALE, Candle, parse
from simulator.series import Times

Numbers = np.ndarray[Any, np.dtype[Any]]

BLOCK = 512
BLOCKS_KEPT = 3000  # at most 270 MB of rendered rows for all symbols together
KNOWN = {
    "BTC": (42000.0, "0.01", "0.00001"),
    "ETH": (2300.0, "0.01", "0.0001"),
    "BNB": (310.0, "0.01", "0.001"),
    "SOL": (95.0, "0.01", "0.001"),
    "XRP": (0.55, "0.0001", "1"),
}


@dataclass(frozen=True)
class Block:
    """A stretch of rendered candles."""

    opens: Times
    text: bytes
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]]


_blocks: OrderedDict[tuple[str, int, int, int], Block] = OrderedDict()


@dataclass(frozen=True)
class Profile:
    """What a made-up symbol is like: its base asset, usual price, tick and lot step in units of 10^-8."""

    base: str
    price: float
    tick: int
    step: int

    @property
    def symbol(self) -> str:
        return self.base + "USDT"


def profiles(count: int, seed: int) -> list[Profile]:
    """The first `count` made-up symbols: five well-known ones, then S006USDT and on."""
    made = []
    for number in range(1, count + 1):
        if number <= len(KNOWN):
            base = list(KNOWN)[number - 1]
            price, tick, step = KNOWN[base]
            made.append(Profile(base, price, round(float(tick) * SCALE), round(float(step) * SCALE)))
        else:
            made.append(_profile(f"S{number:03d}", seed))
    return made


def _profile(base: str, seed: int) -> Profile:
    price = 10 ** (-3 + 5.5 * (zlib.crc32(f"{seed}{base}".encode()) % 10_000) / 10_000)
    digits = math.floor(math.log10(price))
    return Profile(base, price, 10 ** max(8 + digits - 3, 0), 10 ** min(max(8 - 1 - digits, 3), 8))


_MOST = 9e18  # of units of 10^-8, in 64 bits


class GeneratedSeries:
    """A made-up symbol's candles, from `start` into any future."""

    def __init__(self, profile: Profile, seed: int, start: int):
        self.profile = profile
        self.symbol = profile.symbol
        self._seed = seed
        self._start = start - start % H4
        self._anchors: list[float] = [0.0]
        self.candle = lru_cache(256)(self._candle)  # type: ignore[method-assign]

    def count_until(self, time: int) -> int:
        return max(0, (time - self._start) // H4 + 1)

    def open_time(self, index: int) -> int:
        return self._start + index * H4

    def close_time(self, index: int) -> int:
        return self._start + (index + 1) * H4 - 1

    def end(self) -> int | None:
        return None

    def append(self, row: list[Any]) -> bool:
        return False  # there is no last candle to go on from

    def rows(self, first: int, stop: int) -> bytes:
        pieces = []
        while first < stop:
            number, inside = divmod(first, BLOCK)
            block = self._block(number)
            until = min(BLOCK, inside + stop - first)
            pieces.append(block.text[block.offsets[inside] : block.offsets[until] - 1])
            first += until - inside
        return pieces[0] if len(pieces) == 1 else b",".join(pieces)

    def candle(self, index: int) -> Candle:
        return self._candle(index)

    def _candle(self, index: int) -> Candle:
        return parse(self.rows(index, index + 1))

    def _block(self, number: int) -> Block:
        key = (self.symbol, self._seed, self._start, number)
        block = _blocks.get(key)
        if block is None:
            block = _blocks[key] = self._make(number)
            if len(_blocks) > BLOCKS_KEPT:
                _blocks.popitem(last=False)
        else:
            _blocks.move_to_end(key)
        return block

    def _random(self, number: int, purpose: int) -> np.random.Generator:
        name = zlib.crc32(self.symbol.encode())
        return np.random.Generator(np.random.Philox(key=[(self._seed << 32) | name, (number << 8) | purpose]))

    def _anchor(self, number: int) -> float:
        """Logarithm of the price at a block's start, relative to the usual price."""
        while len(self._anchors) <= number:
            drawn = float(self._random(len(self._anchors), 1).normal(0.0, 0.22))
            self._anchors.append(0.9 * self._anchors[-1] + drawn)
        return self._anchors[number]

    def _make(self, number: int) -> Block:
        chance = self._random(number, 2)
        start, goal = self._anchor(number), self._anchor(number + 1)
        walk = np.concatenate([[0.0], np.cumsum(chance.normal(0.0, 0.011, BLOCK))])
        logs = start + walk + (goal - start - walk[-1]) * np.arange(BLOCK + 1) / BLOCK
        prices = self._on_grid(self.profile.price * np.exp(logs))
        opens, closes = prices[:-1], prices[1:]
        wicks = 1.0 + np.abs(chance.normal(0.0, 0.004, (2, BLOCK)))
        highs = np.maximum(
            self._on_grid(np.maximum(opens, closes) / SCALE * wicks[0]), np.maximum(opens, closes)
        )
        lows = np.minimum(
            self._on_grid(np.minimum(opens, closes) / SCALE / wicks[1]), np.minimum(opens, closes)
        )
        turnover = 2e6 * np.exp(chance.normal(0.0, 0.8, BLOCK))
        ohlc = (opens, highs, lows, closes)
        return self._lay_out(number, ohlc, turnover, chance.uniform(0.4, 0.6, BLOCK))

    def _on_grid(self, prices: Numbers) -> Numbers:
        """Prices as integers of 10^-8 on the tick, at least one tick."""
        ticks = np.rint(prices * SCALE / self.profile.tick).astype(np.int64)
        return np.maximum(ticks, 1) * self.profile.tick

    def _lay_out(self, number: int, ohlc: tuple[Numbers, ...], turnover: Numbers, taken: Numbers) -> Block:
        step = self.profile.step
        middle = (ohlc[1] + ohlc[2]) / 2 / SCALE
        # a cheap coin's volume on a wild day is more than 64 bits hold
        volume = np.rint(np.minimum(turnover / middle * SCALE, _MOST) / step).astype(np.int64) * step
        taker = np.rint(volume * taken / step).astype(np.int64) * step
        columns = [*ohlc, volume, np.rint(volume * middle), taker, np.rint(taker * middle)]
        halves = [half for column in columns for half in np.divmod(column.astype(np.int64), SCALE)]
        times = self._start + (number * BLOCK + np.arange(BLOCK)) * H4
        trades = np.maximum(1, turnover / 900).astype(np.int64)
        rows = [
            b'[%d,"%d.%08d","%d.%08d","%d.%08d","%d.%08d","%d.%08d",%d,"%d.%08d",%d,"%d.%08d","%d.%08d","0"]'
            % row
            for row in zip(
                times.tolist(),
                *(half.tolist() for half in halves[:10]),
                (times + H4 - 1).tolist(),
                *(half.tolist() for half in halves[10:12]),
                trades.tolist(),
                *(half.tolist() for half in halves[12:]),
                strict=True,
            )
        ]
        return Block(times, b",".join(rows), np.cumsum([0, *(len(row) + 1 for row in rows)]))
