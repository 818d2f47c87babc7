"""What came of the fills of a backtest: trades from purchase to sale, profits, and equity without any trading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eightbells.backtest.book import ZERO, Book, Place
from eightbells.backtest.history import History
from eightbells.backtest.result import Trade
from eightbells.candles import grid
from eightbells.candles.timeframe import Slots
from eightbells.settings import Settings
from eightbells.trading.outbox import Order

_REASONS = {
    "stop": "the stop was reached",
    "target": "the target was reached",
    "open": "still held at the last close",
}


def close_trade(book: Book, place: Place, slot: int, leg: str) -> None:
    """Note the trade that the place's fills since its first purchase make; `leg` is what ended it, or `open`."""
    entries, exits = place.entries, place.exits
    place.entries, place.exits = [], []
    if not entries:
        return
    bought = sum((it.quantity for it in entries), ZERO)
    paid = sum((it.quote for it in entries), ZERO)
    sold = sum((it.quantity for it in exits), ZERO)
    left = max(ZERO, place.held.quantity) * place.close if leg == "open" else ZERO
    brought = sum((it.quote for it in exits), ZERO) + left
    fees = sum((it.fee for it in [*entries, *exits]), ZERO)
    in_quote = [it.fee for it in [*entries, *exits] if not it.base_fee]
    reason_in = place.targets.opinion(_index(place.history, entries[0].order)).reason
    reason_out = _REASONS.get(leg)
    if reason_out is None:
        reason_out = place.targets.opinion(_index(place.history, exits[-1].order)).reason
    book.result.trades.append(
        Trade(
            place.entry.name,
            place.symbol,
            entries[0].at_ms,
            slot,
            bought,
            paid / bought,
            place.close if leg == "open" else brought / sold,
            paid,
            brought - sum(in_quote, ZERO),
            fees,
            leg,
            reason_in,
            reason_out,
        )
    )


def conclude(book: Book, histories: Sequence[History], slot: int) -> None:
    """Value what is still held, and note what each place has gained."""
    result = book.result
    for place in book.places:
        if place.entries:
            close_trade(book, place, slot, "open")
        result.profits[place.entry.name, place.symbol] = place.gain
    result.trades.sort(key=lambda trade: (trade.opened_ms, trade.strategy, trade.symbol))
    if book.both:
        result.notes.append(
            f"in {book.both} candles both the stop and the target were reached: the stop counts"
        )
    if any(it.trailing_stop for it in book.settings.strategies):
        result.notes.append(
            "a candle's low comes before its high: a trailing stop is met where it stood before it is moved up"
        )
    assumed = [history.symbol for history in histories if history.assumed]
    if assumed:
        result.notes.append(
            f"the exchange's rules of {', '.join(assumed)} are not known: eight decimal places are assumed"
        )


def benchmark(settings: Settings, places: Sequence[Place], slots: Slots) -> list[float]:
    """Equity of who buys each strategy's symbols with its capital as soon as there is a candle, and never sells."""
    total = np.zeros(len(slots))
    for place in places:
        money = float(place.entry.capital) / settings.shares(place.entry)
        opens, close = place.history.opens, place.history.shown["close"].to_numpy()
        at = np.searchsorted(opens, slots, side="right") - 1
        first = int(np.searchsorted(opens, slots[0]))
        price = float(place.history.column("open")[first]) if first < len(opens) else 0.0
        units = money * (1 - float(settings.backtest.taker_fee)) / price if price else 0.0
        total += np.where(at >= first, units * close[np.maximum(at, 0)], money)
    unused = float(sum((it.capital for it in settings.strategies), ZERO)) - sum(
        float(place.entry.capital) / settings.shares(place.entry) for place in places
    )
    found: list[float] = (total + unused).tolist()
    return found


def _index(history: History, order: Order) -> int:
    return int(np.searchsorted(history.opens, grid.to_ms(order.open_time)))
