"""Memberships over a span: the rule applied close after close, as the cycle applies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from eightbells.candles import grid
from eightbells.settings.sections import UniverseSettings
from eightbells.universe.candidates import Source
from eightbells.universe.rule import SILENT_MS, Choice, changes, choose, due, leavers


@dataclass(frozen=True)
class Membership:
    """A symbol's time in the universe: from the close `joined_ms` on, up to and without the close `left_ms`."""

    symbol: str
    joined_ms: int
    why_joined: str
    left_ms: int | None = None
    why_left: str | None = None

    def holds(self, at_ms: int) -> bool:
        """Whether the symbol is a member at a close."""
        return self.joined_ms <= at_ms and (self.left_ms is None or at_ms < self.left_ms)

    def until(self, end_ms: int) -> Membership:
        """The part of it that lies before a time."""
        if self.left_ms is not None and self.left_ms <= end_ms:
            return self
        return replace(self, left_ms=end_ms, why_left="from then on trading has chosen")


@dataclass
class Walk:
    """The members as the closes go by, and all memberships so far."""

    rule: UniverseSettings
    members: dict[str, Membership] = field(default_factory=dict)
    ended: list[Membership] = field(default_factory=list)
    choices: dict[int, Choice] = field(default_factory=dict)
    quiet_until: int = 0  # before this time nobody can have been silent for too long

    def choose(self, source: Source, at_ms: int) -> None:
        """Choose at a time."""
        choice = self.choices[at_ms] = choose(self.rule, source.candidates(at_ms, self.rule.days), at_ms)
        joining, leaving = changes(self.members, choice, self.rule)
        self._leave(leaving, at_ms)
        for symbol, why in joining.items():
            self.members[symbol] = Membership(symbol, at_ms, why)
        self.quiet_until = at_ms

    def look(self, source: Source, at_ms: int) -> None:
        """Let members leave that are delisted or have no candles any more."""
        known = source.newest(self.members, at_ms)
        self._leave(leavers(known, at_ms), at_ms)
        newest = [it.newest_ms for symbol, it in known.items() if symbol in self.members]
        closes = [grid.closes_at(opened) for opened in newest if opened is not None]
        self.quiet_until = min(closes, default=at_ms) + SILENT_MS

    def _leave(self, leaving: Mapping[str, str], at_ms: int) -> None:
        for symbol, why in leaving.items():
            it = self.members.pop(symbol)
            self.ended.append(Membership(symbol, it.joined_ms, it.why_joined, at_ms, why))

    @property
    def memberships(self) -> list[Membership]:
        """All of them, in the order in which they began."""
        return sorted([*self.ended, *self.members.values()], key=lambda it: (it.joined_ms, it.symbol))


def walk(source: Source, rule: UniverseSettings, first_ms: int, last_ms: int) -> Walk:
    """Choose and look at every close from that of the candle `first_ms` to that of the candle `last_ms`.

    The first choice is the newest that was due at the first close. A close is passed over where nobody can leave.
    """
    found, noticed = Walk(rule), np.array(source.notice_times(), dtype=np.int64)
    for at_ms in range(grid.closes_at(first_ms), grid.closes_at(last_ms) + 1, grid.STEP_MS):
        chosen_at = due(rule, at_ms)
        if chosen_at not in found.choices:
            found.choose(source, chosen_at)
        new = np.any((noticed <= at_ms) & (noticed > at_ms - grid.STEP_MS))
        if at_ms > chosen_at and (new or at_ms >= found.quiet_until):
            found.look(source, at_ms)
    return found


class Timeline:
    """Who is a member at which close.

    Args:
        memberships: of all symbols, in any order.
    """

    def __init__(self, memberships: Iterable[Membership]) -> None:
        self._by_symbol: dict[str, list[Membership]] = {}
        for it in memberships:
            self._by_symbol.setdefault(it.symbol, []).append(it)

    def __iter__(self) -> Iterator[str]:
        """The symbols that are members at any time, by name."""
        return iter(sorted(self._by_symbol))

    def holds(self, symbol: str, at_ms: int) -> bool:
        """Whether a symbol is a member at a close."""
        return any(it.holds(at_ms) for it in self._by_symbol.get(symbol, ()))
