"""The cycle of a backtest at a candle's close: what is cancelled, what is ordered, and why something is not."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from eightbells.backtest.book import ZERO, Book, Place, of_strategy
from eightbells.backtest.exits import guard
from eightbells.backtest.targets import FLAT, LONG
from eightbells.candles import grid
from eightbells.exchange.rules import RuleBroken
from eightbells.strategies.evaluation import Decision
from eightbells.trading import ledger, protections, risk
from eightbells.trading.holdings import Origin
from eightbells.trading.jumps import Close
from eightbells.trading.ledger import Position
from eightbells.trading.planning import size
from eightbells.trading.sizing import Purse, Sized, sellable, yearly_volatility

_VOLATILITY_CANDLES = 180  # thirty days


def plan(book: Book, places: Sequence[Place], slot: int) -> None:
    """Cancel what is over, and order what the strategies want: sales first, as the cycle does."""
    closes_ms, due = grid.closes_at(slot), list[tuple[Place, bool]]()
    keep = book.settings.trading.unfilled == "keep"
    for place in places:
        wanted = place.targets.wanted[place.index]
        if wanted == FLAT:
            place.flat_ms, place.tried = slot, None
        if not keep and place.sale is not None and place.sale.leg != "stop":
            book.cancel(place, place.sale)
        if place.buy is not None and (not keep or wanted == FLAT):
            book.cancel(place, place.buy)
            if wanted == FLAT:
                place.tried = None
        if wanted == LONG:
            if not _owns(place) and place.buy is None:
                due.append((place, True))
        elif wanted == FLAT:
            if place.held.quantity > 0 and (place.sale is None or place.sale.leg == "stop"):
                due.append((place, False))
        elif place.index >= place.targets.first:
            _refuse_window(book, place)
    if due:
        due.sort(key=lambda it: it[1])
        exposure = _exposure(book)
        for place, long in due:
            _order(book, place, long, slot, closes_ms, exposure)
    for place in places:
        guard(book, place, closes_ms, place.next_open)
    book.peak = max(book.peak, book.result.equity[-1])


def _owns(place: Place) -> bool:
    return place.held.quantity > 0 and bool(
        sellable(place.held.quantity, place.close, place.history.rules, market=False)
    )


def _refuse_window(book: Book, place: Place) -> None:
    window = place.targets.strategy.window
    reason = place.history.objection(place.index, window, book.settings.candles.max_pause)
    book.refuse(place, "quality", reason or "the window is not sound")


def _exposure(book: Book) -> risk.Exposure:
    """What is held and ordered, at the candles' closes, and what the day has lost."""
    by_symbol: dict[str, Decimal] = {}
    for place in book.places:
        value = place.held.quantity * place.close
        if place.buy is not None:
            value += place.buy.quantity * (place.buy.price or place.close)
        if value:
            by_symbol[place.symbol] = by_symbol.get(place.symbol, ZERO) + value
    equity = book.result.equity[-1]
    return risk.Exposure(by_symbol, max(ZERO, book.day[1] - equity), equity)


def _order(book: Book, place: Place, long: bool, slot: int, now_ms: int, exposure: risk.Exposure) -> None:
    version = place.targets.strategy.version
    decision = Decision(
        0,
        place.entry.name,
        version,
        place.symbol,
        slot,
        "long" if long else "flat",
        place.close,
        "",
        weight=place.targets.weight(place.index) if long else None,
    )
    last, purse = place.next_open, _purse(book, place)
    rules, volatility = place.history.rules, _volatility(place)
    try:
        sized = size(decision, purse, rules, last, volatility, place.entry, book.settings)
    except RuleBroken as error:
        book.refuse(place, "sizing", str(error))
        return
    if sized is None:
        return
    origin = Origin(0, version, slot, decision.price)
    if not long:
        if place.sale is not None:
            book.cancel(place, place.sale)
        place.exit, place.steps = origin, 1
        book.out(place, sized, origin, now_ms)
        return
    if refused := _blocked(book, place, decision, sized, last, exposure, now_ms):
        book.refuse(place, *refused)
        return
    place.origin = origin
    book.out(place, sized, origin, now_ms)
    exposure.add(place.symbol, sized.quantity * (sized.price or decision.price))


def _purse(book: Book, place: Place) -> Purse:
    mine = of_strategy(book.places, place.entry)
    reserved = sum((it.buy.quantity * (it.buy.price or it.close) for it in mine if it.buy is not None), ZERO)
    held = [Position(it.entry.name, it.symbol, it.held.quantity, it.flow) for it in mine]
    shares = len(place.entry.symbols) or len(book.settings.symbols) or 1
    buying_power = ledger.buying_power(held, place.symbol, place.entry.capital, 1, reserved)
    worth = place.entry.capital + sum((it.gain for it in mine), ZERO)
    return Purse(buying_power.owned, buying_power.spendable, worth, shares)


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
    if place.sale is not None:
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
    stopped, flat = place.stopped_ms, place.flat_ms
    if stopped is None:
        return None
    has_been_flat = flat is not None and grid.closes_at(flat) > stopped
    stop = protections.LastStop(grid.to_time(stopped), has_been_flat)
    return protections.of_cooldown(place.entry, open_ms, stop)


def _meeting(book: Book, place: Place, sized: Sized) -> tuple[str, str] | None:
    """Why a purchase would meet a sale of our own."""
    for it in book.by_symbol[place.symbol]:
        sale = it.sale
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
