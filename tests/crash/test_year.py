"""A year of cycles: profit, fees and equity equal an calculation from the exchange's trades, to the last digit."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from tests.crash.cells import CROSSING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy
from tests.exchange import STEP

D = Decimal
NONE = D(0)
CENT = D("1E-8")
BNB = "BNBUSDT"
CYCLES, CANDLES = 24, 91  # 24 cycles, 91 candles apart, are 364 days
STOP, ADOPTED, PRICE = 9, 15, D(50_000)


@dataclass
class Ledger:
    """The independent calculation: coins, their cost, what was earned, money paid and taken in, and fees in BNB."""

    coins: Decimal = NONE
    cost: Decimal = NONE
    earned: Decimal = NONE
    flow: Decimal = NONE
    fees: Decimal = NONE
    seen: set[int] = field(default_factory=set)

    def trade(self, fill: dict[str, Any], close: Decimal) -> None:
        """One of the exchange's trades; `close` is what a BNB was worth at the last close before it."""
        money, coins = D(fill["quoteQty"]), D(fill["qty"])
        fee, asset = D(fill["commission"]), fill["commissionAsset"]
        if asset == "BNB":
            self.fees += (fee * close).quantize(CENT, ROUND_HALF_UP)
        if fill["side"] == "BUY":
            self.buy(coins - (fee if asset == "BTC" else 0), money + (fee if asset == "USDT" else 0))
            return
        got = money - (fee if asset == "USDT" else 0)
        cost = (
            self.cost if coins >= self.coins else (self.cost * coins / self.coins).quantize(CENT, ROUND_DOWN)
        )
        self.coins, self.cost = self.coins - coins, self.cost - cost
        self.earned, self.flow = self.earned + got - cost, self.flow + got

    def buy(self, coins: Decimal, money: Decimal) -> None:
        self.coins, self.cost, self.flow = self.coins + coins, self.cost + money, self.flow - money


def test_a_year_of_books_equals_an_independent_calculation(world: World) -> None:
    chance = random.Random(14)
    settings = {"trading__limit_offset": CROSSING, "risk__max_jump_sigmas": 0, "risk__price_collar": "0"}
    capital = {at: "1000" if at < 6 else "1800" if at < 18 else "1300" for at in range(CYCLES)}
    with world.trial(symbols=[SYMBOL, BNB], **settings) as trial:
        trial.simulator.control(
            "settings", accounts={"paper": {"fees_in_bnb": True, "deposit": {"BNB": "0.008"}}}, fill_parts=3
        )
        books, stops = Ledger(), 0
        for at in range(CYCLES):
            target = "long" if at in (0, STOP, STOP + 1) else chance.choice(["long", "flat"])
            trial.change(strategies=[_wants(target, capital[at])])
            if at == 6:  # money comes in; later a part of the capital is taken out of the strategy only
                trial.deposit("800")
            clean(trial.run())
            if at == STOP:
                trial.hold(f"{D(trial.close()) * D('0.7'):.2f}")
                clean(trial.run("reconcile"))
                ((stops,),) = trial.rows(
                    "SELECT count(*) FROM orders WHERE leg = 'stop' AND state = 'FILLED'"
                )
            if at == ADOPTED:
                _take(trial, books)
                trial.simulator.control("settings", accounts={"paper": {"deposit": {"BTC": "0.0123"}}})
                given = {"symbol": SYMBOL, "strategy": "always", "reason": "a gift", "price": str(PRICE)}
                clean(trial.run("adopt", **given))
                books.buy(D("0.0123"), (D("0.0123") * PRICE).quantize(CENT, ROUND_DOWN))
            _compare(trial, books, D(capital[at]), rewritten=at not in (STOP, ADOPTED))
            trial.leap(CANDLES)
        assert stops >= 1
        assert {asset for (asset,) in trial.rows("SELECT commission_asset FROM fills")} >= {"BNB"}
        assert books.fees > 0
        assert len(books.seen) > 20


def _wants(target: str, capital: str) -> dict[str, Any]:
    return {**strategy(target, "0.2"), "capital": capital, "symbols": [SYMBOL], "cooldown": 0}


def _take(trial: Trial, books: Ledger) -> None:
    """What the exchange has traded since the last time."""
    for fill in trial.simulator.truth()["fills"]:
        if fill["tradeId"] not in books.seen:
            books.seen.add(fill["tradeId"])
            opened = fill["time"] - fill["time"] % STEP - STEP
            books.trade(fill, D(trial.simulator.klines(BNB, opened, opened)[0][4]))


def _compare(trial: Trial, books: Ledger, capital: Decimal, *, rewritten: bool) -> None:
    _take(trial, books)
    if not rewritten:  # what came after the cycle is in its next one
        return
    ((equity, put_in, standing),) = trial.rows(
        "SELECT equity, capital, positions -> 0 FROM cycles ORDER BY open_time DESC LIMIT 1"
    )
    worth = books.coins * D(trial.close())
    assert put_in == capital
    assert equity == capital + books.flow + worth - books.fees
    figures = {name: D(standing[name]) for name in ("quantity", "cost", "realised", "unrealised", "fees")}
    assert figures == {
        "quantity": books.coins,
        "cost": books.cost,
        "realised": books.earned,
        "unrealised": worth - books.cost,
        "fees": books.fees,
    }
    assert books.earned + worth - books.cost - books.fees == equity - capital
    assert trial.wrongs() == []
