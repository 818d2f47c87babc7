"""A candle in whole numbers, the price path inside it, and pieces of it.

Prices and volumes are integers of 10^-8, so that everything derived from one candle adds up exactly. Within
a candle the price runs from open over both extremes to close in straight lines; which extreme comes first,
and when, follows from a hash of symbol and open time. Tickers, matching, finer intervals and the unfinished
candle all read this one path, and so agree.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

SCALE = 10**8
H4 = 4 * 3600 * 1000

Vertices = tuple[tuple[int, int], ...]


class Candle(NamedTuple):
    """One candle; times in milliseconds, prices and volumes in units of 10^-8."""

    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    close_time: int
    quote_volume: int
    trades: int
    taker_base: int
    taker_quote: int


def scaled(text: str) -> int:
    """A decimal string as an integer of 10^-8; further digits are cut off."""
    whole, _, fraction = text.partition(".")
    if len(fraction) == 8 and whole.isdigit():
        return int(whole + fraction)
    return int(Decimal(text) * SCALE)


def plain(value: int) -> str:
    """An integer of 10^-8 as Binance writes it, with eight digits after the point."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    return f"{sign}{value // SCALE}.{value % SCALE:08d}"


def as_decimal(value: int) -> Decimal:
    return Decimal(value).scaleb(-8)


def parse(fragment: bytes) -> Candle:
    """The candle in one JSON row of twelve columns."""
    r = json.loads(fragment)
    o, h, lo, c, v = (scaled(text) for text in r[1:6])
    return Candle(r[0], o, h, lo, c, v, r[6], scaled(r[7]), int(r[8]), scaled(r[9]), scaled(r[10]))


def render(c: Candle, close_time: int | None = None) -> bytes:
    """The JSON row of twelve columns that klines answers with."""
    return (
        f'[{c.open_time},"{plain(c.open)}","{plain(c.high)}","{plain(c.low)}","{plain(c.close)}",'
        f'"{plain(c.volume)}",{c.close_time if close_time is None else close_time},"{plain(c.quote_volume)}",'
        f'{c.trades},"{plain(c.taker_base)}","{plain(c.taker_quote)}","0"]'
    ).encode()


def vertices(symbol: str, c: Candle) -> Vertices:
    """The corners of the price path: (time, price) at open, first extreme, second extreme, close."""
    chance = zlib.crc32(f"{symbol}{c.open_time}".encode())
    length = c.close_time - c.open_time
    first = c.open_time + length * (15 + chance % 30) // 100
    second = c.open_time + length * (55 + (chance >> 8) % 30) // 100
    a, b = (c.low, c.high) if chance >> 16 & 1 else (c.high, c.low)
    return ((c.open_time, c.open), (first, a), (second, b), (c.close_time, c.close))


def segments(corners: Vertices) -> Iterator[tuple[int, int, int, int]]:
    """The straight pieces of a path as (from time, from price, to time, to price)."""
    for (t0, p0), (t1, p1) in pairwise(corners):
        yield t0, p0, t1, p1


def price_at(corners: Vertices, time: int, tick: int) -> int:
    """The path's price at a time inside it: exact at the corners, between them the last tick that it has reached."""
    i = bisect_right(corners, time, key=lambda corner: corner[0]) - 1
    t0, p0 = corners[i]
    if time == t0 or i + 1 == len(corners):
        return p0
    t1, p1 = corners[i + 1]
    price = p0 + (p1 - p0) * (time - t0) // (t1 - t0)
    reached = price - price % tick if p1 >= p0 else price + -price % tick
    return min(max(reached, min(p0, p1)), max(p0, p1))


def first_touch(corners: Vertices, level: int, rising: bool, after: int) -> int | None:
    """The first millisecond at or after `after` at which the path is at or beyond a level, or None.

    `rising` means at or above the level, else at or below it.
    """
    side = 1 if rising else -1
    for t0, p0, t1, p1 in segments(corners):
        if t1 >= after:
            touched = _touch_of_segment(t0, p0 * side, t1, p1 * side, level * side, max(after, t0))
            if touched is not None:
                return touched
    return None


def _touch_of_segment(t0: int, p0: int, t1: int, p1: int, level: int, after: int) -> int | None:
    """The first time in [after, t1] at which one straight piece is at or above the level."""
    if t1 == t0:
        return after if max(p0, p1) >= level else None
    if (p0 - level) * (t1 - t0) + (p1 - p0) * (after - t0) >= 0:
        return after
    if p1 < level:
        return None
    return t0 - (-(level - p0) * (t1 - t0) // (p1 - p0))


def span(symbol: str, c: Candle, start: int, end: int, tick: int) -> Candle:
    """The part of a candle from one millisecond to another, both included; parts add up to the whole."""
    start, end = max(start, c.open_time), min(end, c.close_time)
    corners = vertices(symbol, c)
    opened = c.open if start == c.open_time else price_at(corners, start, tick)
    closed = price_at(corners, end, tick)
    seen = [opened, closed, *(price for time, price in corners if start <= time <= end)]
    length = c.close_time - c.open_time + 1
    before, until = start - c.open_time, end - c.open_time + 1

    def part(whole: int) -> int:
        return whole * until // length - whole * before // length

    return Candle(
        start,
        opened,
        max(seen),
        min(seen),
        closed,
        part(c.volume),
        end,
        part(c.quote_volume),
        part(c.trades),
        part(c.taker_base),
        part(c.taker_quote),
    )


def merge(parts: list[Candle], open_time: int, close_time: int) -> Candle:
    """Several pieces in order as one candle of its own open and close time."""
    return Candle(
        open_time,
        parts[0].open,
        max(p.high for p in parts),
        min(p.low for p in parts),
        parts[-1].close,
        sum(p.volume for p in parts),
        close_time,
        sum(p.quote_volume for p in parts),
        sum(p.trades for p in parts),
        sum(p.taker_base for p in parts),
        sum(p.taker_quote for p in parts),
    )
