"""The cycle of a backtest at a candle's close: what is cancelled, what is ordered, and why something is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from eightbells.backtest.book import ZERO, Book, Place, of_strategy
from eightbells.backtest.exits import guard
from eightbells.backtest.fills import arrive
from eightbells.backtest.targets import FLAT, LONG, NOTHING
from eightbells.candles import grid
from eightbells.exchange.rules import RuleBroken
from eightbells.strategies.contract import Target
from eightbells.strategies.decision import Decision
from eightbells.trading import ledger, protections, risk
from eightbells.trading.holdings import Origin
from eightbells.trading.jumps import Close
from eightbells.trading.ledger import Position
from eightbells.trading.outbox import Order
from eightbells.trading.planning import size
from eightbells.trading.sizing import Purse, Sized, sellable, yearly_volatility

_VOLATILITY_CANDLES = 180  # thirty days
_MOST_ROUNDS = 3  # of planning and sending, as the cycle's


def plan(book: Book, places: Sequence[Place], slot: int) -> None:
    """Run the cycle of a candle: cancel what is over, guard, order what the strategies want, guard again.

    Orders arrive at the next candle's open. As the cycle does, it plans again once the first orders have arrived: a
    sale may have brought the money for a purchase, or have stood in its way.
    """
    now_ms, planned = grid.closes_at(slot), list[Order]()
    for place in places:
        _take_up(book, place, slot)
    for place in places:
        _cancel(book, place)
    for place in places:
        guard(book, place, now_ms, place.next_open)
    deciding = sorted((it for it in places if not it.decided), key=lambda it: it.wants == LONG)  # sales first
    refused: dict[int, tuple[Place, str, str]] = {}
    for _ in range(_MOST_ROUNDS):
        new = _round(book, deciding, slot, sum(it.side == "BUY" for it in planned), refused)
        planned += new
        if not new:
            break
    for place, stage, reason in refused.values():
        book.refuse(place, stage, reason)
    patience = int(book.settings.trading.exit_step_seconds * 1000)
    for place in places:
        guard(book, place, now_ms, place.next_open)
        if place.wants == FLAT and place.held.quantity > 0 and place.trades_at(now_ms):
            for step in range(1, len(book.settings.trading.exit_steps)):
                guard(book, place, now_ms, place.next_open, now_ms + step * patience)
    book.close(slot)


def _take_up(book: Book, place: Place, slot: int) -> None:
    """The place's decision on a candle; where nothing may be decided the one before stays.

    Of a symbol that is no member the strategy is not asked: what is held keeps its stop, as in the cycle.
    """
    if not place.is_traded(slot):
        place.decided = True
        return
    wanted = place.targets.wanted[place.index]
    place.decided = wanted == NOTHING
    if place.decided:
        if place.index >= place.targets.first:
            _refuse_window(book, place)
        return
    place.signal = Origin(0, place.targets.strategy.version, slot, place.close)
    place.wants, place.steps, place.refused = wanted, 0, False
    if wanted == FLAT:
        place.flat_ms, place.tried = slot, None
    else:
        place.stop, place.target = place.targets.levels(place.index)


def _cancel(book: Book, place: Place) -> None:
    """Cancel what is over, and a purchase that goes against the decision."""
    over = book.settings.trading.unfilled != "keep"
    if over and place.sale is not None and place.sale.leg not in ("stop", "target"):
        book.cancel(place, place.sale)
    opposed = place.wants == FLAT and not place.decided
    if place.buy is not None and (over or opposed):
        book.cancel(place, place.buy)
        if opposed:
            place.tried = None


def _round(
    book: Book,
    places: Sequence[Place],
    slot: int,
    bought: int,
    refused: dict[int, tuple[Place, str, str]],
) -> list[Order]:
    """Order what the decisions call for and have no order for yet, and let it arrive; returns the orders."""
    due = [it for it in places if _is_due(book, it)]
    if not due:
        return []
    exposure, planned, now_ms = (
        _exposure(book, slot, bought),
        list[tuple[Place, Order]](),
        grid.closes_at(slot),
    )
    for place in due:
        found = _order(book, place, slot, exposure)
        if isinstance(found, Order):
            planned.append((place, found))
            refused.pop(id(place), None)
        elif found is not None:
            refused[id(place)] = (place, *found)
            place.refused |= place.wants == FLAT and found[0] != "trim"
    for place, order in planned:
        if not place.trades_at(now_ms):
            place.waiting.add(order.client_order_id)
        else:
            arrive(book, place, order, now_ms, place.next_open)
    return [order for _, order in planned]


def _is_due(book: Book, place: Place) -> bool:
    """Whether the decision may call for an order that it does not have."""
    if place.decided:
        return False
    if place.wants == FLAT:
        selling = place.sale is not None and place.sale.leg not in ("stop", "target")
        waits = place.companion is not None and place.companion.leg == "exit"
        renewed = waits and book.settings.trading.unfilled != "keep" and place.steps == 0
        holds = place.held.quantity > 0 and not place.has_dust(place.close)
        return holds and not selling and (renewed or not waits)
    if place.buy is not None:
        return False
    entry, market = place.entry, book.settings.trading.order_type == "market"
    if entry.rebalance_band or place.bought < entry.scale_steps or place.held.quantity <= 0:
        return True
    return not sellable(place.held.quantity, place.close, place.history.rules, market)


def _refuse_window(book: Book, place: Place) -> None:
    reason = place.targets.objection(place.index)
    book.refuse(place, "quality", reason or "the window is not sound")


def _exposure(book: Book, slot: int, bought: int) -> risk.Exposure:
    """What is held and ordered, at the candles' closes, and what the day has lost."""
    by_symbol: dict[str, Decimal] = {}
    for place in book.places:
        value = place.held.quantity * place.close
        if place.buy is not None:
            value += place.buy.quantity * (place.buy.price or place.close)
        if value:
            by_symbol[place.symbol] = by_symbol.get(place.symbol, ZERO) + value
    equity = book.equity
    return risk.Exposure(by_symbol, book.lost_today(slot, equity), equity, bought)


def _order(book: Book, place: Place, slot: int, exposure: risk.Exposure) -> Order | tuple[str, str] | None:
    """The order that the place's decision calls for, or stage and reason for which there is none."""
    assert place.signal is not None
    now_ms, last, long = grid.closes_at(slot), place.next_open, place.wants == LONG
    version, weight = place.signal.version, place.targets.weight(place.index) if long else None
    target: Target = "long" if long else "flat"
    decision = Decision(
        0, place.entry.name, version, place.symbol, slot, target, place.close, "", weight=weight
    )
    rules, volatility = place.history.rules, _volatility(place) if long else None
    try:
        sized = size(decision, _purse(book, place), rules, last, volatility, place.entry, book.settings)
    except RuleBroken as error:
        return "sizing", str(error)
    if sized is None:
        return None
    if sized.side == "SELL":
        return _sell(book, place, sized, last, now_ms)
    if blocked := _blocked(book, place, decision, sized, last, exposure, now_ms):
        return blocked
    place.decided = True
    exposure.add(place.symbol, sized.quantity * (sized.price or decision.price))
    return book.out(place, sized, place.signal, now_ms)


def _sell(book: Book, place: Place, sized: Sized, last: Decimal, now_ms: int) -> Order:
    """Put a sale out in place of the stop; one that waits above the market lies in one list with it."""
    assert place.signal is not None
    stop, rules = place.sale, place.history.rules
    if stop is not None:
        book.cancel(place, stop)
    place.decided = sized.leg == "trim"
    beside = (
        sized.price is not None
        and stop is not None
        and stop.stop_price is not None
        and stop.stop_price < last < sized.price
        and rules.takes_lists
        and "LIMIT_MAKER" in rules.order_types
        and stop.quantity == sized.quantity
    )
    if not beside:
        return book.out(place, sized, place.signal, now_ms)
    assert stop is not None
    assert place.origin is not None
    again = Sized("stop", "SELL", stop.quantity, stop.price, stop.stop_price, "its stop, beside the exit")
    placed = book.out(place, again, place.origin, now_ms)
    book.beside(place, replace(sized, maker=True), place.signal, now_ms)
    return placed


def _purse(book: Book, place: Place) -> Purse:
    mine = of_strategy(book.places, place.entry)
    reserved = sum((it.buy.quantity * (it.buy.price or it.close) for it in mine if it.buy is not None), ZERO)
    held = [Position(it.entry.name, it.symbol, it.held.quantity, it.flow) for it in mine]
    shares = book.settings.shares(place.entry)
    buying_power = ledger.buying_power(held, place.symbol, place.entry.capital, 1, reserved)
    worth = place.entry.capital + sum((it.gain for it in mine), ZERO)
    parts = (place.bought, place.sold) if place.entry.scale_steps > 1 else (1, 0)
    return Purse(buying_power.owned, buying_power.spendable, worth, shares, *parts)


def _blocked(
    book: Book,
    place: Place,
    decision: Decision,
    sized: Sized,
    last: Decimal,
    exposure: risk.Exposure,
    now_ms: int,
) -> tuple[str, str] | None:
    """Stage and reason for which nothing is bought, asked in the cycle's order."""
    limits = book.settings.risk
    if place.sale is not None and place.sale.leg not in ("stop", "target"):
        return "risk", f"order {place.sale.client_order_id} is still {place.sale.state}"
    if book.settings.trading.unfilled == "cancel" and place.tried:
        return "risk", f"order {place.tried} was not filled, and the strategy has not been flat since"
    price = sized.price or decision.price
    proposal = risk.Proposal(place.symbol, "BUY", sized.quantity, price, last)
    if reason := risk.objection(proposal, exposure, limits):
        return "risk", reason
    if reason := protections.of_drawdown(exposure.equity, book.peak, limits):
        return "protection", reason
    since = now_ms - int(limits.stops_hours * 3_600_000)
    stops = sum(
        1
        for at, strategy, symbol in book.stops
        if at > since and (strategy == place.entry.name or symbol == place.symbol)
    )
    if reason := protections.of_stops(stops, place.entry.name, place.symbol, limits):
        return "protection", reason
    if reason := _cooldown(place, decision.open_ms):
        return "protection", reason
    return _meeting(book, place, sized)


def _cooldown(place: Place, open_ms: int) -> str | None:
    if place.stopped is None:
        return None
    (at, leg), flat = place.stopped, place.flat_ms
    has_been_flat = flat is not None and grid.closes_at(flat) > at
    return protections.of_cooldown(
        place.entry, open_ms, protections.LastStop(grid.to_time(at), has_been_flat, leg)
    )


def _meeting(book: Book, place: Place, sized: Sized) -> tuple[str, str] | None:
    """Why a purchase would meet a sale of our own."""
    sales = (sale for it in book.by_symbol[place.symbol] for sale in (it.sale, it.companion))
    for sale in sales:
        if sale is None or sale.stop_price is not None:
            continue
        if sale.price is None or sized.price is None or sale.price <= sized.price:
            return (
                "risk",
                f"order {sale.client_order_id} of {sale.strategy} sells at the price of this purchase",
            )
    return None


def _volatility(place: Place) -> Decimal | None:
    """Of the symbol per year, where the strategy's size depends on it."""
    if not place.entry.target_volatility:
        return None
    first = max(0, place.index - _VOLATILITY_CANDLES)
    opens = place.history.opens[first : place.index + 1]
    closes = place.history.column("close")[first : place.index + 1]
    return yearly_volatility([Close(int(at), price) for at, price in zip(opens, closes, strict=True)])
