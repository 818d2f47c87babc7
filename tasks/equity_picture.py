"""The equity picture, as SVG: a line over the cycles, with the loss since its peak shaded.

The colours are read on white and on black: the picture has no background and cannot know its page's theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import accumulate

from eightbells.trading.valuation import Worth

WIDTH, HEIGHT = 880, 260
_TOP, _RIGHT, _BOTTOM = 14, 16, 34
_DIGIT = 7.6  # pixels of a digit in the labels' type
_TEXT, _GRID, _LINE, _LOSS = "#808a9a", "#808a9a40", "#2f80ed", "#e5484d"


@dataclass(frozen=True)
class Frame:
    """Where a time and an amount lie in the picture; what never changes lies in the middle."""

    begin: datetime
    end: datetime
    lowest: Decimal
    highest: Decimal
    left: float

    def x(self, at: datetime) -> float:
        span = (self.end - self.begin).total_seconds()
        share = (at - self.begin).total_seconds() / span if span else 0.5
        return self.left + share * (WIDTH - _RIGHT - self.left)

    def y(self, amount: Decimal) -> float:
        span = self.highest - self.lowest
        share = float((amount - self.lowest) / span) if span else 0.5
        return HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP)


@dataclass(frozen=True)
class Point:
    """The equity at a time, and the highest until then: what was put in or taken out since moves that with it."""

    at: datetime
    equity: Decimal
    peak: Decimal


def points(history: Iterable[Worth]) -> list[Point]:
    """The cycles whose equity is known."""
    known = [(it.at, it.equity, it.capital) for it in history if it.equity is not None]
    profits = accumulate((equity - capital for _, equity, capital in known), max)
    return [
        Point(at, equity, profit + capital)
        for (at, equity, capital), profit in zip(known, profits, strict=True)
    ]


def draw(history: Sequence[Worth], asset: str) -> str:
    """An SVG of the equity over time.

    Args:
        history: cycles in rising order of time; one whose equity is not known is passed over by the line.
    """
    known = points(history)
    if not known:
        return _svg(
            "No equity is known yet", [_label(WIDTH / 2, HEIGHT / 2, "no equity is known yet", "middle")]
        )
    lowest, highest = min(it.equity for it in known), max(it.peak for it in known)
    left = _DIGIT * max(len(_money(it.equity)) for it in known) + 14
    frame = Frame(known[0].at, known[-1].at, lowest, highest, max(left, _DIGIT * len(_money(highest)) + 14))
    title = f"Equity from {_day(frame.begin)} to {_day(frame.end)} UTC: {_money(known[-1].equity)} {asset}"
    return _svg(title, [*_amounts(frame, asset), *_days(frame), *_curve(frame, known)])


def _curve(frame: Frame, known: list[Point]) -> list[str]:
    line = [f"{frame.x(it.at):.1f},{frame.y(it.equity):.1f}" for it in known]
    above = [f"{frame.x(it.at):.1f},{frame.y(it.peak):.1f}" for it in known]
    return [
        f'<polygon points="{" ".join(above + line[::-1])}" fill="{_LOSS}" fill-opacity="0.22"/>',
        f'<polyline points="{" ".join(line)}" fill="none" stroke="{_LINE}" stroke-width="2" '
        'stroke-linejoin="round"/>',
        '<circle cx="{}" cy="{}" r="3.5" fill="{}"/>'.format(*line[-1].split(","), _LINE),
    ]


def _amounts(frame: Frame, asset: str) -> list[str]:
    """The highest, the middle and the lowest amount, each with its line across; of a flat line the one there is."""
    middle = (frame.lowest + frame.highest) / 2
    labels = {_money(amount): amount for amount in (middle, frame.lowest, frame.highest)}
    drawn = []
    for words, amount in labels.items():
        y = frame.y(amount)
        drawn.append(f'<path d="M{frame.left:.1f} {y:.1f}H{WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        drawn.append(_label(frame.left - 8, y + 4, words, "end"))
    return [*drawn, _label(frame.left - 8, HEIGHT - 12, asset, "end")]


def _days(frame: Frame) -> list[str]:
    """The first and the last time, and the one between."""
    if frame.begin == frame.end:
        return [_label(frame.x(frame.begin), HEIGHT - 12, _day(frame.begin), "middle")]
    middle = frame.begin + (frame.end - frame.begin) / 2
    return [
        _label(frame.x(at), HEIGHT - 12, _day(at), anchor)
        for at, anchor in ((frame.begin, "start"), (middle, "middle"), (frame.end, "end"))
    ]


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(title: str, drawn: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" font-size="13" fill="{_TEXT}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
