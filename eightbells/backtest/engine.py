"""The event engine: candle by candle, what the cycle would have decided, ordered and paid, in exact decimals.

Decisions become orders through the functions that the cycle plans with (`size`, the risk objection, the protections),
holdings get their stops through the guardian's `next_move`. What is its own is the exchange: a candle's open, high, low
and close instead of a book. An order that is planned at a candle's close arrives at the next candle's open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal

import numpy as np

from eightbells.backtest.history import History
from eightbells.backtest.result import Filled, Liquidity, Result, Trade
from eightbells.backtest.targets import FLAT, LONG, Targets
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.rules import RuleBroken
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.contract import build
from eightbells.strategies.evaluation import Decision
from eightbells.trading import ledger, outbox, protections, risk
from eightbells.trading.holdings import HeldPosition, Origin
from eightbells.trading.jumps import Close
from eightbells.trading.ledger import SMALLEST, Position
from eightbells.trading.moves import Move, next_move
from eightbells.trading.outbox import Order
from eightbells.trading.planning import size
from eightbells.trading.sizing import Purse, Sized, sellable, yearly_volatility
from eightbells.trading.states import State

_ZERO = Decimal(0)
_BNB_SHARE = Decimal("0.75")  # of the fee, where it is paid in BNB
_VOLATILITY_CANDLES = 180  # thirty days
_MOST_STEPS = 5  # of one sale at one candle's open


@dataclass
class Place:
    """A strategy on a symbol: what it wants, owns and has out. `index` is that of the candle last seen, -1 before any.

    Args:
        fees: those that were taken in a third asset, in the quote asset.
        tried: the order that was not filled since the strategy was last flat, for `unfilled = "cancel"`.
    """

    entry: StrategySettings
    history: History
    targets: Targets
    index: int = -1
    held: ledger.Holding = field(default_factory=ledger.Holding)
    flow: Decimal = _ZERO
    fees: Decimal = _ZERO
    buy: Order | None = None
    sale: Order | None = None
    origin: Origin | None = None
    exit: Origin | None = None
    steps: int = 0
    stopped_ms: int | None = None
    flat_ms: int | None = None
    tried: str | None = None
    attempts: dict[tuple[int, str], int] = field(default_factory=dict)
    entries: list[Filled] = field(default_factory=list)
    exits: list[Filled] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        return self.history.symbol

    @property
    def close(self) -> Decimal:
        return self.history.column("close")[self.index] if self.index >= 0 else _ZERO


def run(
    settings: Settings,
    histories: Sequence[History],
    first_ms: int,
    last_ms: int,
    *,
    decide_only: bool = False,
) -> Result:
    """Trade the settings' strategies on the histories, from the candle that opens at `first_ms` to that at `last_ms`.

    Earlier candles only fill the first windows.

    Args:
        decide_only: ask `decide` for every candle, also where a strategy can tell all at once.

    Raises:
        EightbellsError: a strategy cannot be built or fails, or there is no candle in the span.
    """
    return _Backtest(settings, histories, first_ms, last_ms, decide_only).run()


class _Backtest:
    def __init__(
        self, settings: Settings, histories: Sequence[History], first_ms: int, last_ms: int, decide_only: bool
    ) -> None:
        self._settings, self._histories = settings, histories
        self._first, self._last = first_ms, last_ms
        capital = sum((entry.capital for entry in settings.strategies), _ZERO)
        self._result = Result(settings.quote_asset, capital)
        self._places: list[Place] = []
        pause = settings.candles.max_pause
        for entry in settings.strategies:
            _refuse_what_is_not_simulated(entry)
            strategy = build(entry)
            for history in histories:
                if entry.symbols and history.symbol not in entry.symbols:
                    continue
                first = int(np.searchsorted(history.opens, first_ms))
                targets = Targets(entry, strategy, history, pause, first, decide_only)
                self._places.append(Place(entry, history, targets))
        self._by_symbol: dict[str, list[Place]] = {}
        for place in self._places:
            self._by_symbol.setdefault(place.symbol, []).append(place)
        self._peak = capital
        self._day: tuple[int, Decimal] = (-1, _ZERO)
        self._stops: list[tuple[int, str, str]] = []

    def run(self) -> Result:
        opens = [it.opens[(it.opens >= self._first) & (it.opens <= self._last)] for it in self._histories]
        slots = np.unique(np.concatenate(opens)) if opens else np.array([], dtype=np.int64)
        if not slots.size:
            raise EightbellsError(
                f"there are no candles from {grid.label(self._first)} to {grid.label(self._last)}"
            )
        index_of = {
            it.symbol: {int(opened): index for index, opened in enumerate(it.opens)} for it in self._histories
        }
        for slot in map(int, slots):
            here = [places for symbol, places in self._by_symbol.items() if slot in index_of[symbol]]
            for places in here:
                for place in places:
                    place.index = index_of[place.symbol][slot]
                    self._trade(place, slot)
            self._value(slot)
            if slot < slots[-1]:
                self._plan([place for places in here for place in places], slot)
        self._result.benchmark = _benchmark(self._settings, self._places, slots)
        self._conclude(int(slots[-1]))
        return self._result

    # What happens within a candle

    def _trade(self, place: Place, slot: int) -> None:
        """Fill what is out by the candle's range."""
        if place.buy is None and place.sale is None:
            return
        at = place.index
        high, low = (place.history.column(name)[at] for name in ("high", "low"))
        opened = place.history.arrival(at)
        if place.sale is not None:
            self._sell_at_open(place, slot, opened)
        if place.buy is not None:
            self._buy(place, slot, opened, low)
        if place.sale is not None:
            self._sell_within(place, slot, opened, high, low)

    def _buy(self, place: Place, slot: int, opened: Decimal, low: Decimal) -> None:
        order = place.buy
        assert order is not None
        limit = order.price
        if limit is None or opened <= limit:
            price = self._worse(place, "BUY", opened)
            self._fill(place, order, slot, price if limit is None else min(price, limit), "taker")
        elif low <= limit:
            self._fill(place, order, slot, limit, "maker")
        else:
            return
        self._guard(place, slot, opened if limit is None else min(opened, limit))

    def _sell_at_open(self, place: Place, slot: int, opened: Decimal) -> None:
        """What a sale does at once: fill, be triggered by a gap, or go on to its next step."""
        for _ in range(_MOST_STEPS):
            order = place.sale
            if order is None:
                return
            if order.stop_price is not None:
                if opened <= order.stop_price:
                    self._fill(place, order, slot, self._worse(place, "SELL", opened), "taker")
                return
            if order.price is None or opened >= order.price:
                price = self._worse(place, "SELL", opened)
                self._fill(place, order, slot, max(price, order.price or _ZERO), "taker")
                return
            patience = int(self._settings.trading.exit_step_seconds * 1000)
            move = next_move(self._held(place, opened), self._settings.trading, slot + patience)
            if not isinstance(move, Move) or move.sized is None:
                return
            origin = place.exit
            self._cancel(place, order)
            place.exit, place.steps = origin, place.steps + 1
            self._place(place, move, slot)

    def _sell_within(self, place: Place, slot: int, opened: Decimal, high: Decimal, low: Decimal) -> None:
        """What the candle's range does to a sale; where stop and limit are both reached, the stop comes first."""
        order = place.sale
        assert order is not None
        if order.stop_price is not None:
            if low <= order.stop_price:
                price = min(opened, order.stop_price)
                self._fill(place, order, slot, self._worse(place, "SELL", price), "taker")
            return
        trigger = self._held(place, opened).trigger
        if trigger is not None and low <= trigger:
            move = next_move(self._held(place, min(opened, trigger)), self._settings.trading, slot)
            if isinstance(move, Move) and move.sized is not None:
                self._cancel(place, order)
                self._place(place, move, slot)
                assert place.sale is not None
                self._fill(place, place.sale, slot, self._worse(place, "SELL", min(opened, trigger)), "taker")
        elif order.price is not None and high >= order.price:
            self._fill(place, order, slot, order.price, "maker")

    def _worse(self, place: Place, side: str, price: Decimal) -> Decimal:
        """What an order at market pays or brings, on the tick."""
        share = self._settings.backtest.slippage
        if not share:
            return price
        tick = place.history.rules.tick or SMALLEST
        steps = price * (1 + share if side == "BUY" else 1 - share) / tick
        whole = int(steps)
        return max(tick, (whole + (side == "BUY" and whole != steps)) * tick)

    def _fill(self, place: Place, order: Order, slot: int, price: Decimal, liquidity: Liquidity) -> None:
        """Fill an order wholly, and book it as the exchange and the ledger do."""
        given = self._settings.backtest
        quantity = order.quantity
        quote = (quantity * price).quantize(SMALLEST, ROUND_DOWN)
        rate = given.maker_fee if liquidity == "maker" else given.taker_fee
        base_fee = quote_fee = _ZERO
        if given.fees_in == "bnb":
            fee = (quote * rate * _BNB_SHARE).quantize(SMALLEST, ROUND_DOWN)
            place.fees += fee
        elif given.fees_in == "received" and order.side == "BUY":
            base_fee = (quantity * rate).quantize(SMALLEST, ROUND_DOWN)
            fee = (base_fee * price).quantize(SMALLEST)
        else:
            fee = quote_fee = (quote * rate).quantize(SMALLEST, ROUND_DOWN)
        place.held = place.held.after(order.side, quantity, quote, base_fee, quote_fee)
        done = replace(order, state=State.FILLED, executed_quantity=quantity, booked_quantity=quantity)
        self._result.orders[order.client_order_id] = done
        fill = Filled(done, slot, price, quantity, quote, fee, base_fee, liquidity)
        self._result.fills.append(fill)
        if order.side == "BUY":
            place.flow -= quote + quote_fee
            place.buy = None
            place.entries.append(fill)
            return
        place.flow += quote - quote_fee
        place.sale = place.exit = None
        place.exits.append(fill)
        if order.leg == "stop":
            place.stopped_ms = slot
            self._stops.append((slot, place.entry.name, place.symbol))
        if not sellable(place.held.quantity, price, place.history.rules, market=False):
            self._close_trade(place, slot, order.leg)

    # The guardian

    def _held(self, place: Place, last: Decimal) -> HeldPosition:
        """The holding as the guardian sees it."""
        stop, trigger, basis = place.entry.stop_loss, None, ""
        if stop and place.held.quantity > 0:
            cost = place.held.cost / place.held.quantity
            trigger, basis = cost * (1 - stop), f"{stop} below its cost of {cost:f}"
        return HeldPosition(
            place.entry.name,
            place.symbol,
            place.held.quantity,
            place.history.rules,
            place.sale,
            place.origin,
            place.exit,
            place.exit is not None,
            place.steps,
            trigger,
            basis,
            last,
        )

    def _guard(self, place: Place, slot: int, last: Decimal) -> None:
        """Place the stop of a holding that has none."""
        if place.sale is not None or not place.entry.stop_loss or place.held.quantity <= 0:
            return
        move = next_move(self._held(place, last), self._settings.trading, slot)
        if isinstance(move, Move) and move.sized is not None:
            self._place(place, move, slot)

    def _place(self, place: Place, move: Move, slot: int) -> None:
        assert move.sized is not None
        assert move.origin is not None
        self._out(place, move.sized, move.origin, slot)

    def _out(self, place: Place, sized: Sized, origin: Origin, planned_ms: int) -> Order:
        """Put an order out, under the id that the cycle would give it."""
        version = place.targets.strategy.version
        key = (origin.open_ms, sized.leg)
        attempt = place.attempts[key] = place.attempts.get(key, 0) + 1
        identity = outbox.client_order_id(
            self._settings.account,
            place.entry.name,
            version,
            place.symbol,
            origin.open_ms,
            sized.leg,
            attempt,
        )
        order = Order(
            len(self._result.orders) + 1,
            origin.signal,
            sized.leg,
            attempt,
            self._settings.account,
            place.entry.name,
            place.symbol,
            grid.to_time(origin.open_ms),
            sized.side,
            sized.type,
            "GTC" if sized.price is not None else None,
            sized.quantity,
            sized.price,
            sized.stop_price,
            identity,
            State.OPEN,
            None,
            None,
            None,
            _ZERO,
            _ZERO,
            grid.to_time(planned_ms),
            None,
            False,
            None,
            None,
            False,
            None,
        )
        self._result.orders[identity] = order
        if sized.side == "BUY":
            place.buy = order
        else:
            place.sale = order
        return order

    def _cancel(self, place: Place, order: Order) -> None:
        self._result.orders[order.client_order_id] = replace(order, state=State.CANCELED)
        if place.buy is order:
            place.buy, place.tried = None, order.client_order_id
        if place.sale is order:
            place.sale = place.exit = None

    # The cycle at a candle's close

    def _value(self, slot: int) -> None:
        result = self._result
        held = sum(
            (place.held.quantity * place.close for place in self._places if place.held.quantity), _ZERO
        )
        equity = result.capital + held + sum((place.flow - place.fees for place in self._places), _ZERO)
        result.times.append(slot)
        result.held.append(held)
        result.equity.append(equity)
        day = slot // 86_400_000
        if day != self._day[0]:
            self._day = (day, equity)

    def _plan(self, places: list[Place], slot: int) -> None:
        """Cancel what is over, and order what the strategies want: sales first, as the cycle does."""
        closes_ms, due = grid.closes_at(slot), list[tuple[Place, bool]]()
        keep = self._settings.trading.unfilled == "keep"
        for place in places:
            wanted = place.targets.wanted[place.index]
            if wanted == FLAT:
                place.flat_ms, place.tried = slot, None
            if not keep and place.sale is not None and place.sale.leg != "stop":
                self._cancel(place, place.sale)
            if place.buy is not None and (not keep or wanted == FLAT):
                self._cancel(place, place.buy)
                if wanted == FLAT:
                    place.tried = None
            if wanted == LONG:
                if not self._owns(place) and place.buy is None:
                    due.append((place, True))
            elif wanted == FLAT:
                if place.held.quantity > 0 and (place.sale is None or place.sale.leg == "stop"):
                    due.append((place, False))
            elif place.index >= place.targets.first:
                self._refuse_window(place)
        if due:
            due.sort(key=lambda it: it[1])
            exposure = self._exposure()
            for place, long in due:
                self._order(place, long, slot, closes_ms, exposure)
        for place in places:
            self._guard(place, closes_ms, self._next_open(place))
        self._peak = max(self._peak, self._result.equity[-1])

    def _owns(self, place: Place) -> bool:
        return place.held.quantity > 0 and bool(
            sellable(place.held.quantity, place.close, place.history.rules, market=False)
        )

    def _next_open(self, place: Place) -> Decimal:
        """The last price when the order arrives: the next candle's open; where there is none, this one's close."""
        following = place.index + 1
        return place.history.arrival(following) if following < len(place.history.opens) else place.close

    def _refuse_window(self, place: Place) -> None:
        reason = place.history.objection(
            place.index, place.targets.strategy.window, self._settings.candles.max_pause
        )
        self._refuse(place, "quality", reason or "the window is not sound")

    def _refuse(self, place: Place, stage: str, reason: str) -> None:
        self._result.refused[place.entry.name, place.symbol, stage, reason] += 1

    def _exposure(self) -> risk.Exposure:
        """What is held and ordered, at the candles' closes, and what the day has lost."""
        by_symbol: dict[str, Decimal] = {}
        for place in self._places:
            value = place.held.quantity * place.close
            if place.buy is not None:
                value += place.buy.quantity * (place.buy.price or place.close)
            if value:
                by_symbol[place.symbol] = by_symbol.get(place.symbol, _ZERO) + value
        equity = self._result.equity[-1]
        return risk.Exposure(by_symbol, max(_ZERO, self._day[1] - equity), equity)

    @staticmethod
    def _gain(place: Place) -> Decimal:
        return place.flow - place.fees + place.held.quantity * place.close

    def _order(self, place: Place, long: bool, slot: int, now_ms: int, exposure: risk.Exposure) -> None:
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
        of_strategy = [it for it in self._places if it.entry is place.entry]
        reserved = sum(
            (it.buy.quantity * (it.buy.price or it.close) for it in of_strategy if it.buy is not None), _ZERO
        )
        held = [Position(it.entry.name, it.symbol, it.held.quantity, it.flow) for it in of_strategy]
        shares = len(place.entry.symbols) or len(self._settings.symbols) or 1
        buying_power = ledger.buying_power(held, place.symbol, place.entry.capital, 1, reserved)
        worth = place.entry.capital + sum((self._gain(it) for it in of_strategy), _ZERO)
        purse = Purse(buying_power.owned, buying_power.spendable, worth, shares)
        last = self._next_open(place)
        try:
            sized = size(
                decision, purse, place.history.rules, last, _volatility(place), place.entry, self._settings
            )
        except RuleBroken as error:
            self._refuse(place, "sizing", str(error))
            return
        if sized is None:
            return
        origin = Origin(0, version, slot, decision.price)
        if not long:
            if place.sale is not None:
                self._cancel(place, place.sale)
            place.exit, place.steps = origin, 1
            self._out(place, sized, origin, now_ms)
            return
        if refused := self._blocked(place, decision, sized, last, exposure, now_ms):
            self._refuse(place, *refused)
            return
        place.origin = origin
        self._out(place, sized, origin, now_ms)
        exposure.add(place.symbol, sized.quantity * (sized.price or decision.price))

    def _blocked(
        self,
        place: Place,
        decision: Decision,
        sized: Sized,
        last: Decimal,
        exposure: risk.Exposure,
        now_ms: int,
    ) -> tuple[str, str] | None:
        """Stage and reason for which nothing is bought, asked in the cycle's order."""
        limits = self._settings.risk
        if place.sale is not None:
            return "risk", f"order {place.sale.client_order_id} is still {place.sale.state}"
        if self._settings.trading.unfilled == "cancel" and place.tried:
            return "risk", f"order {place.tried} was not filled, and the strategy has not been flat since"
        price = sized.price or decision.price
        if reason := risk.objection(
            risk.Proposal(place.symbol, "BUY", sized.quantity, price, last), exposure, limits
        ):
            return "risk", reason
        if reason := protections.of_drawdown(exposure.equity, self._peak, limits):
            return "protection", reason
        since = now_ms - int(limits.stops_hours * 3_600_000)
        stops = sum(
            1
            for at, strategy, symbol in self._stops
            if at > since and (strategy == place.entry.name or symbol == place.symbol)
        )
        if reason := protections.of_stops(stops, place.entry.name, place.symbol, limits):
            return "protection", reason
        stopped, flat = place.stopped_ms, place.flat_ms
        if stopped is not None:
            has_been_flat = flat is not None and grid.closes_at(flat) > stopped
            stop = protections.LastStop(grid.to_time(stopped), has_been_flat)
            if reason := protections.of_cooldown(place.entry, decision.open_ms, stop):
                return "protection", reason
        for it in self._by_symbol[place.symbol]:
            sale = it.sale
            if sale is None or sale.stop_price is not None:
                continue
            if sale.price is None or sized.price is None or sale.price <= sized.price:
                return (
                    "risk",
                    f"order {sale.client_order_id} of {sale.strategy} sells at the price of this purchase",
                )
        return None

    # The reckoning

    def _close_trade(self, place: Place, slot: int, leg: str) -> None:
        entries, exits = place.entries, place.exits
        place.entries, place.exits = [], []
        if not entries:
            return
        bought = sum((it.quantity for it in entries), _ZERO)
        paid = sum((it.quote for it in entries), _ZERO)
        sold = sum((it.quantity for it in exits), _ZERO)
        left = max(_ZERO, place.held.quantity) * place.close if leg == "open" else _ZERO
        brought = sum((it.quote for it in exits), _ZERO) + left
        fees = sum((it.fee for it in [*entries, *exits]), _ZERO)
        in_quote = [it.fee for it in [*entries, *exits] if not it.base_fee]
        reason_in = place.targets.opinion(_index(place.history, entries[0].order)).reason
        if leg == "exit":
            reason_out = place.targets.opinion(_index(place.history, exits[-1].order)).reason
        else:
            reason_out = "the stop was reached" if leg == "stop" else "still held at the last close"
        self._result.trades.append(
            Trade(
                place.entry.name,
                place.symbol,
                entries[0].at_ms,
                slot,
                bought,
                paid / bought,
                place.close if leg == "open" else brought / sold,
                paid,
                brought - sum(in_quote, _ZERO),
                fees,
                leg,
                reason_in,
                reason_out,
            )
        )

    def _conclude(self, slot: int) -> None:
        result = self._result
        for place in self._places:
            if place.entries:
                self._close_trade(place, slot, "open")
            result.profits[place.entry.name, place.symbol] = self._gain(place)
        result.trades.sort(key=lambda trade: (trade.opened_ms, trade.strategy, trade.symbol))
        assumed = [history.symbol for history in self._histories if history.assumed]
        if assumed:
            result.notes.append(
                f"the exchange's rules of {', '.join(assumed)} are not known: eight decimal places are assumed"
            )


def _refuse_what_is_not_simulated(entry: StrategySettings) -> None:
    named = [
        name
        for name, usual in (("rebalance_band", 0), ("scale_steps", 1), ("trailing_stop", 0))
        if getattr(entry, name, usual) != usual
    ]
    if named:
        raise EightbellsError(f"strategy '{entry.name}': a backtest does not simulate {', '.join(named)} yet")


def _volatility(place: Place) -> Decimal | None:
    """Of the symbol per year, where the strategy's size depends on it."""
    if not place.entry.target_volatility:
        return None
    first = max(0, place.index - _VOLATILITY_CANDLES)
    opens = place.history.opens[first : place.index + 1]
    closes = place.history.column("close")[first : place.index + 1]
    return yearly_volatility([Close(int(at), price) for at, price in zip(opens, closes, strict=True)])


def _index(history: History, order: Order) -> int:
    return int(np.searchsorted(history.opens, grid.to_ms(order.open_time)))


def _benchmark(
    settings: Settings, places: list[Place], slots: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[float]:
    """Equity of who buys each strategy's symbols with its capital as soon as there is a candle, and never sells."""
    total = np.zeros(len(slots))
    for place in places:
        shares = len(place.entry.symbols) or len(settings.symbols) or 1
        money = float(place.entry.capital) / shares
        opens, close = place.history.opens, place.history.shown["close"].to_numpy()
        at = np.searchsorted(opens, slots, side="right") - 1
        first = int(np.searchsorted(opens, slots[0]))
        price = float(place.history.column("open")[first]) if first < len(opens) else 0.0
        units = money * (1 - float(settings.backtest.taker_fee)) / price if price else 0.0
        total += np.where(at >= first, units * close[np.maximum(at, 0)], money)
    unused = float(sum((it.capital for it in settings.strategies), _ZERO)) - sum(
        float(place.entry.capital) / (len(place.entry.symbols) or len(settings.symbols) or 1)
        for place in places
    )
    found: list[float] = (total + unused).tolist()
    return found
