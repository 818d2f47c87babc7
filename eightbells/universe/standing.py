"""The universe at a time, as it is shown: members, who left lately, and why others were left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from eightbells.candles import grid
from eightbells.settings import Settings
from eightbells.universe.members import Maker, fingerprint, newest_choice, read
from eightbells.universe.rule import DAY_MS
from eightbells.universe.walk import Membership

_LATELY_MS = 30 * DAY_MS


@dataclass(frozen=True)
class Member:
    """A membership with its times as text, UTC; `left_at` and `why_left` are None while it lasts."""

    symbol: str
    joined_at: str
    why_joined: str
    left_at: str | None
    why_left: str | None


@dataclass(frozen=True)
class Standing:
    """Who is a member at a time by which rule, and who left in the thirty days before.

    Args:
        chosen_at: the newest choice by then, and `made_by` who made it; None where there is none.
        left_out: by symbol why that choice did not rank it.
    """

    rule: str
    chosen_at: str | None = None
    made_by: str = ""
    wanted: int = 0
    found: int = 0
    members: list[Member] = field(default_factory=list)
    left: list[Member] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def standing_at(connection: Connection, settings: Settings, at_ms: int) -> Standing:
    """The universe at a time, by the cycle's rows; where the cycle had not chosen yet, by those of a backtest."""
    makers: tuple[Maker, Maker] = ("cycle", "backtest")
    for maker in makers:
        chosen = newest_choice(connection, settings, at_ms, maker)
        if chosen is None:
            continue
        memberships = [it for it in read(connection, settings, maker) if it.joined_ms <= at_ms]
        ended = [
            it for it in memberships if it.left_ms is not None and at_ms - _LATELY_MS < it.left_ms <= at_ms
        ]
        return Standing(
            fingerprint(settings),
            f"{chosen.chosen_at:%Y-%m-%d %H:%M}",
            maker,
            chosen.wanted,
            chosen.found,
            [_shown(it, at_ms) for it in memberships if it.holds(at_ms)],
            [_shown(it, at_ms) for it in sorted(ended, key=lambda it: -(it.left_ms or 0))],
            chosen.left_out,
        )
    return Standing(fingerprint(settings))


def _shown(it: Membership, at_ms: int) -> Member:
    """As it was known at the time: what ended later had not ended."""
    ended = it.left_ms is not None and it.left_ms <= at_ms
    return Member(
        it.symbol,
        grid.label(it.joined_ms),
        it.why_joined,
        grid.label(it.left_ms) if ended and it.left_ms is not None else None,
        it.why_left if ended else None,
    )
