"""The rule of the universe: from what is known of each symbol at a time to the members, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from eightbells.candles import grid
from eightbells.settings.sections import UniverseSettings

DAY_MS = 86_400_000
# A symbol without a candle for so long is traded no more. Shorter pauses are the exchange's maintenance.
SILENT_MS = DAY_MS
# The exchange's schedule has no entry any more once a symbol is gone; one that comes back later is another matter.
NOTICE_MS = 30 * DAY_MS


@dataclass(frozen=True)
class Candidate:
    """What is known of a symbol at a time.

    Args:
        first_ms: open time of its first candle; None where no candle is known.
        newest_ms: open time of its newest candle that has closed; None where the rule's span has none.
        quote_volume: what was traded in the rule's span, in the quote asset.
        delist_ms: when the exchange stops trading it, where its schedule says so.
    """

    symbol: str
    base_asset: str
    first_ms: int | None
    newest_ms: int | None
    quote_volume: Decimal = Decimal(0)
    delist_ms: int | None = None


@dataclass(frozen=True)
class Choice:
    """The members in the order of the rule, each with the reason; and why other symbols were not ranked."""

    members: dict[str, str]
    left_out: dict[str, str]


def due(rule: UniverseSettings, at_ms: int) -> int:
    """The newest time (ms) up to `at_ms` at which the rule chooses."""
    first = datetime.combine(rule.counted_from, datetime.min.time(), UTC)
    start, step = grid.to_ms(first), rule.every_days * DAY_MS
    return start + (at_ms - start) // step * step


def choose(rule: UniverseSettings, candidates: Iterable[Candidate], at_ms: int) -> Choice:
    """The members at a time, by what was known then. Of two with equal volume the first by name goes before.

    Args:
        candidates: all symbols of the quote asset. Those whose first candle came later are passed over.
    """
    known = [it for it in candidates if it.first_ms is None or it.first_ms < at_ms]
    bases = {it.base_asset for it in known if it.first_ms is not None}
    left_out: dict[str, str] = {}
    ranked: list[Candidate] = []
    included: dict[str, str] = {}
    for candidate in sorted(known, key=lambda it: (-it.quote_volume, it.symbol)):
        is_included = candidate.symbol in rule.include
        reason = unfit(candidate, at_ms, f"in the last {rule.days} days")
        reason = reason or ("" if is_included else _objection(rule, candidate, bases, at_ms))
        if reason:
            left_out[candidate.symbol] = reason
        elif is_included:
            included[candidate.symbol] = "universe.include names it"
        else:
            ranked.append(candidate)
    names = {it.symbol for it in known}
    left_out |= {
        it: "it has no candle, and universe.include names it" for it in rule.include if it not in names
    }
    places = rule.top - len(included)
    members = {
        it.symbol: f"number {rank} by quote volume of {rule.days} days: {it.quote_volume:.0f}"
        for rank, it in enumerate(ranked[:places], 1)
    }
    return Choice(included | members, left_out)


def unfit(candidate: Candidate, at_ms: int, when: str = "") -> str:
    """Why a symbol is no member at any time, chosen or not; empty where nothing is wrong."""
    if candidate.delist_ms is not None and at_ms < candidate.delist_ms + NOTICE_MS:
        return f"the exchange stops trading it at {grid.label(candidate.delist_ms)} UTC"
    if candidate.newest_ms is None:
        return f"it has no candle {when}".rstrip()
    if at_ms - grid.closes_at(candidate.newest_ms) >= SILENT_MS:
        return f"it has had no candle since that of {grid.label(candidate.newest_ms)}"
    return ""


def _objection(rule: UniverseSettings, candidate: Candidate, bases: Collection[str], at_ms: int) -> str:
    """Why the rule does not rank a symbol that is traded; empty where it does."""
    if candidate.symbol in rule.exclude:
        return "universe.exclude names it"
    for ending in rule.leveraged:
        of = candidate.base_asset.removesuffix(ending)
        if of != candidate.base_asset and of in bases:
            return f"{candidate.base_asset} is a leveraged token of {of}"
    days = 0 if candidate.first_ms is None else (at_ms - candidate.first_ms) // DAY_MS
    if days < rule.older_than_days:
        return f"it is {days} days old, {rule.older_than_days} are needed"
    return ""


def changes(
    members: Collection[str], choice: Choice, rule: UniverseSettings
) -> tuple[dict[str, str], dict[str, str]]:
    """Who joins and who leaves with a choice, each with the reason."""
    joining = {symbol: why for symbol, why in choice.members.items() if symbol not in members}
    leaving = {
        symbol: choice.left_out.get(symbol, f"it is not among the first {rule.top} any more")
        for symbol in sorted(members)
        if symbol not in choice.members
    }
    return joining, leaving


def leavers(members: Mapping[str, Candidate], at_ms: int) -> dict[str, str]:
    """Members that leave between two choices, each with the reason: they are delisted, or have no candles any more."""
    found = {symbol: unfit(candidate, at_ms) for symbol, candidate in sorted(members.items())}
    return {symbol: reason for symbol, reason in found.items() if reason}
