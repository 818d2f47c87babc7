"""A redenomination: one coin becomes many, or many become one, under the same symbol.

Prices are divided by the ratio and balances multiplied; what is worth the same before and after. Candles that have
closed stay as they were, as on the real exchange.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from simulator.accounts import floor8
from simulator.candles import H4, Candle, render, span
from simulator.series import Series

if TYPE_CHECKING:
    from simulator.exchange import Exchange

MOST = 10**12


class Redenominated:
    """A symbol's candles with those from a moment on in the new denomination.

    Without a pause the running candle is in the new one from its beginning. With a pause it ends at the moment, and
    the next candles open when the pause is over.
    """

    def __init__(self, before: Series, at: int, ratio: Fraction, resume: int, tick: int):
        self.symbol = before.symbol
        self._before = before
        self._ratio = ratio
        self._tick = tick
        self._kept = before.count_until(at - at % H4 - 1)  # candles of the old denomination
        self._last: Candle | None = None  # the one that the pause cuts off
        self._from = self._kept
        if resume > at:
            self._from = before.count_until(resume - 1)
            running = before.candle(self._kept) if before.count_until(at) > self._kept else None
            if running is not None and running.open_time < at:
                self._last = span(self.symbol, running, running.open_time, at, tick)
                self._kept += 1

    def _source(self, index: int) -> int:
        return index if index < self._kept else index - self._kept + self._from

    def _cut(self, index: int) -> Candle | None:
        return self._last if index == self._kept - 1 else None

    def count_until(self, time: int) -> int:
        count = self._before.count_until(time)
        return min(count, self._kept) + max(0, count - max(self._from, self._kept))

    def open_time(self, index: int) -> int:
        return self._before.open_time(self._source(index))

    def close_time(self, index: int) -> int:
        cut = self._cut(index)
        return cut.close_time if cut is not None else self._before.close_time(self._source(index))

    def end(self) -> int | None:
        return self._before.end()

    def rows(self, first: int, stop: int) -> bytes:
        whole = max(first, min(stop, self._kept - (self._last is not None)))
        kept = [self._before.rows(first, whole)] if whole > first else []
        return b",".join([*kept, *(render(self.candle(index)) for index in range(whole, stop))])

    def candle(self, index: int) -> Candle:
        cut = self._cut(index)
        if cut is not None:
            return cut
        candle = self._before.candle(self._source(index))
        return candle if index < self._kept else self._changed(candle)

    def _changed(self, c: Candle) -> Candle:
        prices = {name: self._price(getattr(c, name)) for name in ("open", "high", "low", "close")}
        amounts = {name: int(getattr(c, name) * self._ratio) for name in ("volume", "taker_base")}
        return c._replace(**prices, **amounts)

    def _price(self, price: int) -> int:
        return max(int(price / self._ratio) // self._tick, 1) * self._tick

    def append(self, row: list[Any]) -> bool:
        """Go on with a candle in the new denomination."""
        try:
            old = [Decimal(str(value)) for value in row]
        except ArithmeticError:
            return False
        share = Decimal(self._ratio.numerator) / Decimal(self._ratio.denominator)
        changed = [value * share if i in (1, 2, 3, 4) else value for i, value in enumerate(old)]
        for i in (5, 9):
            changed[i] = floor8(changed[i] / share)
        times = {i: int(changed[i]) for i in (0, 6, 8)}
        return self._before.append([times.get(i, f"{value:f}") for i, value in enumerate(changed)])


class Redenominations:
    """Carries redenominations out, ends their pauses, and undoes them."""

    def __init__(self, exchange: Exchange):
        self._exchange = exchange
        self._original: dict[str, Series] = {}
        self._pauses: list[tuple[int, str]] = []

    def carry_out(self, symbol: str, ratio: Fraction, pause: int, now: int) -> dict[str, Any]:
        """Change a symbol's coin into `ratio` of them, with a pause of so many slots.

        The orders of every symbol that has to do with the coin expire. During the pause the symbols that trade it
        are in BREAK.
        """
        exchange = self._exchange
        coin = exchange.symbols.get(symbol).base
        listed = exchange.symbols.listed
        traded = [rules.symbol for rules in listed if rules.base == coin]
        expired = [
            number
            for rules in listed
            if coin in (rules.base, rules.quote)
            for number in exchange.engine.expire(rules.symbol, set(), now)
        ]
        resume = now - now % H4 + pause * H4 if pause else now
        for each in traded:
            self._change_prices(each, ratio, now, resume)
        for account in exchange.accounts:
            if coin in account.balances:
                held = account.of(coin)
                held.free = floor8(held.free * ratio.numerator / ratio.denominator)
                account.updated = now
        exchange.deposited = True
        exchange.market.revision += 1
        if pause:
            self._pauses = sorted([*self._pauses, *((resume, each) for each in traded)])
            for each in traded:
                exchange.symbols.amend(each, {"status": "BREAK"})
        return {"coin": coin, "symbols": traded, "expired": expired, "resumes": resume}

    def _change_prices(self, symbol: str, ratio: Fraction, now: int, resume: int) -> None:
        market = self._exchange.market
        if symbol in market.fixed:
            market.fixed[symbol] = max(int(market.fixed[symbol] / ratio), 1)
        series = market.series.get(symbol)
        if series is not None:
            self._original.setdefault(symbol, series)
            market.since[symbol] = resume if resume > now else now - now % H4
            market.series[symbol] = Redenominated(series, now, ratio, resume, market.tick(symbol))

    def end_pauses(self, now: int) -> None:
        """Let symbols trade again whose pause is over."""
        due = bisect_right(self._pauses, now, key=lambda pause: pause[0])
        for _, symbol in self._pauses[:due]:
            if self._exchange.symbols.rules[symbol].listed:
                self._exchange.symbols.amend(symbol, {"status": "TRADING"})
        del self._pauses[:due]

    def undo(self) -> None:
        """The candles as they were at the start."""
        self._exchange.market.series.update(self._original)
        self._exchange.market.since.clear()
        self._original.clear()
        self._pauses.clear()


def read_ratio(value: Any) -> Fraction:
    """A ratio above 0: a number, or text such as 1000, 0.01 or 3/2; ValueError for anything else."""
    try:
        ratio = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        ratio = Fraction(0)
    if isinstance(value, bool) or not Fraction(1, MOST) <= ratio <= MOST:
        raise ValueError(f"a ratio is a number above 0, how many coins one becomes, not {value!r}")
    return ratio
