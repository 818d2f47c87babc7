"""Orders of every size and shape over an exchange's filters, what our rules make of them, and what the exchange says.

The reference values are exact fractions, so that no rounding of ours can agree with itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from eightbells.exchange.rules import RuleBroken, Side, Situation, SymbolRules, wire
from tests.exchange import Simulator

ACCOUNT = "paper"
_BATCH = 2000
Shown = dict[str, str]


@dataclass(frozen=True)
class Wanted:
    """An order as a strategy might want it; `price` is None for MARKET."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None


@dataclass(frozen=True)
class Market:
    """What our rules are told of the exchange; `rare` are the symbols with filters that few have."""

    rules: Mapping[str, SymbolRules]
    situations: Mapping[str, Situation]
    rare: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """An order, what became of it with us (`fitted` or `broken`), and the exchange's answer to what was sent."""

    wanted: Wanted
    broken: str | None
    sent: Shown
    answer: dict[str, Any] | None

    @property
    def kind(self) -> str:
        return f"{self.sent['type']} {self.sent['side']}"

    @property
    def agreed(self) -> bool:
        return (self.broken is None) == (self.answer is None)

    def __str__(self) -> str:
        return f"{self.wanted}\n  ours: {self.broken or 'accepted'}\n  sent: {self.sent}\n  exchange: {self.answer}"


def judge(simulator: Simulator, market: Market, orders: Iterable[Wanted]) -> Iterator[Judged]:
    """Both sides' verdicts. What our rules refuse is sent as the nearest values on the steps."""
    waiting = [_prepare(market, wanted) for wanted in orders]
    for start in range(0, len(waiting), _BATCH):
        batch = waiting[start : start + _BATCH]
        sent = [shown for _, _, shown in batch]
        answers = simulator.control("check", account=ACCOUNT, orders=sent)["answers"]
        for (wanted, broken, shown), answer in zip(batch, answers, strict=True):
            yield Judged(wanted, broken, shown, answer)


def _prepare(market: Market, wanted: Wanted) -> tuple[Wanted, str | None, Shown]:
    rules = market.rules[wanted.symbol]
    quantity, price = nearest(rules, wanted)
    try:
        fitted = rules.fit(wanted.side, wanted.quantity, wanted.price, market.situations[wanted.symbol])
    except RuleBroken as broken:
        return wanted, str(broken), _shown(wanted, plain(quantity), None if price is None else plain(price))
    assert Fraction(fitted[0]) == quantity, (
        f"{wanted}: quantity {fitted[0]}, the nearest is {plain(quantity)}"
    )
    assert (None if fitted[1] is None else Fraction(fitted[1])) == price, f"{wanted}: price {fitted[1]}"
    return wanted, None, _shown(wanted, wire(fitted[0]), None if fitted[1] is None else wire(fitted[1]))


def _shown(wanted: Wanted, quantity: str, price: str | None) -> Shown:
    shown = {"symbol": wanted.symbol, "side": wanted.side, "type": "MARKET", "quantity": quantity}
    return shown if price is None else {**shown, "type": "LIMIT", "timeInForce": "GTC", "price": price}


def nearest(rules: SymbolRules, wanted: Wanted) -> tuple[Fraction, Fraction | None]:
    """The largest quantity on the step that is neither more than wanted nor than allowed, the price never worse."""
    quantity = Fraction(wanted.quantity)
    steps = [rules.lot] if wanted.price is not None else [rules.market_lot, rules.lot]
    for step in steps:
        capped = min(quantity, Fraction(step.most)) if step.most else quantity
        quantity = _on_step(capped, step.step, math.floor)
    if wanted.price is None:
        return quantity, None
    towards = math.floor if wanted.side == "BUY" else math.ceil
    return quantity, _on_step(Fraction(wanted.price), rules.tick, towards)


def _on_step(value: Fraction, step: Decimal, towards: Any) -> Fraction:
    return towards(value / Fraction(step)) * Fraction(step) if step else value


def plain(value: Fraction) -> str:
    """A fraction with a finite decimal expansion, in plain digits."""
    places = next(places for places in range(80) if (value * 10**places).denominator == 1)
    digits = str(abs(value * 10**places).numerator).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :]
    return ("-" if value < 0 else "") + (f"{whole}.{part}" if part else whole)


class OrderFuzzer:
    """Draws orders: mostly near the edges of the filters, where the two sides may come to disagree."""

    def __init__(self, market: Market, random: Random) -> None:
        self._market, self._random = market, random
        self._symbols = sorted(market.rules)

    def order(self, symbol: str | None = None) -> Wanted:
        rules = self._market.rules[symbol or self._random.choice(self._symbols)]
        average = self._market.situations[rules.symbol].average
        assert average is not None
        side: Side = self._random.choice(("BUY", "SELL"))
        price = self._price(rules, side, average) if self._random.random() < 0.6 else None
        quantity = self._quantity(rules, price or average)
        return Wanted(rules.symbol, side, self._roughened(quantity), price and self._roughened(price))

    def _price(self, rules: SymbolRules, side: Side, average: Decimal) -> Decimal:
        low, high = rules.bid_bounds if side == "BUY" else rules.ask_bounds
        edges = [average * low, average * high, rules.min_price, rules.max_price, rules.tick]
        return self._near(
            self._random.choice([*[average] * 8, *(edge for edge in edges if edge)]), rules.tick
        )

    def _quantity(self, rules: SymbolRules, price: Decimal) -> Decimal:
        situation, lots = self._market.situations[rules.symbol], (rules.lot, rules.market_lot)
        edges = [bound for lot in lots for bound in (lot.least, lot.most, lot.step)]
        edges += [rules.min_notional / price] * 4 + [rules.max_notional / price]
        edges += [rules.max_position - situation.held] * 4
        chosen = [edge for edge in edges if edge > 0]
        if self._random.random() < 0.3 or not chosen:
            return Decimal(10) ** self._random.randint(-12, 14) * self._random.randint(1, 999)
        return self._near(self._random.choice(chosen), max(lot.step for lot in lots))

    def _near(self, value: Decimal, step: Decimal) -> Decimal:
        """The value, or one a few steps or a share of it away."""
        away = self._random.choice((0, 0, 1, 2, 3))
        if away == 1:
            return abs(value + step * self._random.randint(-3, 3)) or value
        if away == 2:
            return value * Decimal(self._random.randint(900, 1100)) / 1000
        if away == 3:
            return value * (1 + Decimal(self._random.choice((-1, 1))).scaleb(-self._random.randint(4, 12)))
        return value

    def _roughened(self, value: Decimal) -> Decimal:
        """Now and then with as many digits as a division leaves, or with an exponent."""
        whim = self._random.random()
        if whim < 0.2:
            return value + value * Decimal(self._random.randint(1, 10**9)).scaleb(-20)
        return value.normalize() if whim < 0.4 else value
