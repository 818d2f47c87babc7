"""The event engine: candle by candle, what the cycle would have decided, ordered and paid, in exact decimals.

Decisions become orders through the functions that the cycle plans with (`size`, the risk objection, the protections),
holdings get their stops through the guardian's `next_move`. What is its own is the exchange: a candle's open, high, low
and close instead of a book. A candle's open first meets what was out before, as at the exchange; then the orders that
were planned at the close before it arrive, at that open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eightbells.backtest import candle, closes, trades
from eightbells.backtest.book import ZERO, Book, Place
from eightbells.backtest.history import History
from eightbells.backtest.result import Result
from eightbells.backtest.targets import Targets, Wishes
from eightbells.backtest.universe import OfUniverse, Universe
from eightbells.candles import grid
from eightbells.candles.timeframe import Slots
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.strategies.contract import build, needs_of, sees_all
from eightbells.universe.walk import Timeline


def run(
    settings: Settings,
    histories: Sequence[History],
    first_ms: int,
    last_ms: int,
    *,
    decide_only: bool = False,
    members: Timeline | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Trade the settings' strategies on the histories, from the candle that opens at `first_ms` to that at `last_ms`.

    Earlier candles only fill the first windows.

    Args:
        decide_only: ask `decide` for every candle, also where a strategy can tell all at once.
        members: who is a member of the universe by rule when; strategies with symbols of their own do not go by it.
        progress: called after each slot.

    Raises:
        EightbellsError: a strategy cannot be built or fails, or there is no candle in the span.
    """
    capital = sum((entry.capital for entry in settings.strategies), ZERO)
    places = _places(settings, histories, (first_ms, last_ms), decide_only, members)
    book = Book(settings, places, Result(settings.quote_asset, capital))
    slots = _slots(histories, first_ms, last_ms)
    index_of = {it.symbol: {int(opened): index for index, opened in enumerate(it.opens)} for it in histories}
    before: list[Place] = []
    last = -1
    for slot in map(int, slots):
        here = [
            place for symbol, places in book.by_symbol.items() if slot in index_of[symbol] for place in places
        ]
        for place in here:
            candle.at_open(book, place, slot)
        if before:
            closes.plan(book, before, last)
        for place in here:
            place.index = index_of[place.symbol][slot]
            candle.within(book, place, slot)
        book.value(slot)
        before, last = here, slot
        progress()
    bought = [place for place in book.places if place.is_traded(int(slots[0]))]
    book.result.benchmark = trades.benchmark(settings, bought, slots)
    trades.conclude(book, histories, int(slots[-1]))
    if members is not None:
        book.result.notes.append(
            f"by the rule of the universe {len([*members])} symbols were members at some time; "
            "buy and hold is of those that were at the start"
        )
    return book.result


def _slots(histories: Sequence[History], first_ms: int, last_ms: int) -> Slots:
    """Open times (ms) of the span's candles, of all symbols together."""
    opens = [it.opens[(it.opens >= first_ms) & (it.opens <= last_ms)] for it in histories]
    slots = np.unique(np.concatenate(opens)) if opens else np.array([], dtype=np.int64)
    if not slots.size:
        raise EightbellsError(f"there are no candles from {grid.label(first_ms)} to {grid.label(last_ms)}")
    return slots


def _places(
    settings: Settings,
    histories: Sequence[History],
    span: tuple[int, int],
    decide_only: bool,
    members: Timeline | None,
) -> list[Place]:
    found, pause = [], settings.candles.max_pause
    for entry in settings.strategies:
        strategy, universe = build(entry), None
        by_rule, sells_left = None if entry.members is None else members, settings.universe.sell_left
        mine = [it for it in histories if entry.trades(it.symbol)]
        if sees_all(strategy) and mine:
            looked_at = {*needs_of(strategy), *(it.symbol for it in mine)}
            shown = [it for it in histories if it.symbol in looked_at]
            universe = Universe(
                entry, strategy, shown, pause, *span, decide_only=decide_only, by_rule=by_rule
            )
        for history in mine:
            first = int(np.searchsorted(history.opens, span[0]))
            targets: Wishes
            if universe is not None:
                targets = OfUniverse(entry, universe.strategy, history, pause, first, universe=universe)
            else:
                assert not sees_all(strategy)
                targets = Targets(entry, strategy, history, pause, first, decide_only=decide_only)
            found.append(Place(entry, history, targets, first - 1, members=by_rule, sells_left=sells_left))
    return found
