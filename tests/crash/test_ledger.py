"""The ledger under any sequence of fills, fees and cancels: no position below nothing, no money made or lost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.settings import Settings
from eightbells.trading import costs, fees, ledger, outbox, valuation
from eightbells.trading.fees import Shortage
from eightbells.trading.ledger import Fill, Holding
from eightbells.trading.outbox import Order
from eightbells.trading.states import State
from tests import books
from tests.crash.cells import clean
from tests.crash.world import World
from tests.exchange import START

_ZERO = Decimal(0)
_PLACES = 8
# Everything the exchange states has at most eight places.
amounts = st.decimals("0.00000001", "100000", places=_PLACES)
prices = st.decimals("0.00000001", "200000", places=_PLACES)
rates = st.sampled_from([_ZERO, Decimal("0.00075"), Decimal("0.001"), Decimal("0.0033333")])
shares = st.decimals("0", "1", places=4)


_BNB = Decimal("612.34567891")  # what it is worth where no close says so
_SETTINGS = Settings(mode="paper")


def _even(value: Decimal) -> Decimal:
    return value.quantize(Decimal("1E-8"), rounding="ROUND_HALF_UP")


def _cut(value: Decimal) -> Decimal:
    return value.quantize(Decimal("1E-8"), rounding="ROUND_DOWN")


# The pure ledger


@given(st.lists(st.tuples(st.booleans(), amounts, prices, shares, rates, st.booleans()), max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_what_is_held_never_falls_below_nothing_and_every_digit_is_accounted_for(steps: list[Any]) -> None:
    held, paid = Holding(), _ZERO
    for buys, amount, price, share, rate, fee_in_base in steps:
        quantity = amount if buys else _cut(held.quantity * share)
        quote = _cut(quantity * price)
        base_fee = _cut(quantity * rate) if fee_in_base else _ZERO
        if not buys and quantity + base_fee > held.quantity:  # the exchange takes no fee that is not there
            base_fee = _ZERO
        quote_fee = _ZERO if base_fee else min(_cut(quote * rate), quote)
        held = held.after("BUY" if buys else "SELL", quantity, quote, base_fee, quote_fee)
        paid += (-quote if buys else quote) - quote_fee
        assert held.quantity >= 0
        assert held.cost >= 0
        assert held.realised - held.cost == paid
    if held.quantity:
        sold = held.after("SELL", held.quantity, _ZERO, _ZERO, _ZERO)
        assert (sold.quantity, sold.cost, sold.realised) == (0, 0, paid)


# The books in Postgres


class Books(RuleBasedStateMachine):
    """Fills of a buy and of a sale, booked once or more often, beside what they should come to."""

    engine: ClassVar[Engine]
    orders: ClassVar[dict[str, Order]]
    base: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.connection = self.engine.connect()
        self.quantity, self.flow, self.count, self.fees = _ZERO, _ZERO, 0, _ZERO
        self.booked: list[tuple[str, Fill]] = []

    def teardown(self) -> None:
        self.connection.rollback()
        self.connection.close()

    @rule(amount=amounts, price=prices, rate=rates, asset=st.sampled_from(["base", "quote", "BNB"]))
    def buy(self, amount: Decimal, price: Decimal, rate: Decimal, asset: str) -> None:
        self._fill("BUY", amount, price, rate, asset)

    @precondition(lambda self: self.quantity > 0)
    @rule(share=shares, price=prices, rate=rates, asset=st.sampled_from(["base", "quote", "BNB"]))
    def sell(self, share: Decimal, price: Decimal, rate: Decimal, asset: str) -> None:
        amount = _cut(self.quantity * share)
        assume(amount > 0)
        self._fill("SELL", amount, price, rate, asset)

    @precondition(lambda self: self.booked)
    @rule(number=st.integers(0, 100))
    def report_again(self, number: int) -> None:
        """Answer, stream and list of trades may all bring the same fill."""
        side, fill = self.booked[number % len(self.booked)]
        assert ledger.book(self.connection, self.orders[side], [fill], "again") == 0

    @precondition(lambda self: self.quantity > 0)
    @rule(share=shares)
    def charge(self, share: Decimal) -> None:
        """The exchange took the fee of another trade in what is held here."""
        gone = _cut(self.quantity * share)
        assume(gone > 0)
        self.count += 1
        symbol, at = self.orders["BUY"].symbol, grid.to_time(START + self.count)
        fees.charge(
            self.connection, "paper", Shortage(self.base, [symbol], self.quantity, self.quantity - gone), at
        )
        self.quantity -= gone
        ((credited,),) = self.connection.execute(
            text("SELECT quote_value FROM fee_charges ORDER BY id DESC LIMIT 1")
        ).all()
        assert credited > 0 or gone < Decimal("0.00001")
        self.fees -= credited

    @rule()
    def keep_costs(self) -> None:
        """What is kept, and what is booked on top of it, comes to the same as all bookings."""
        costs.keep_costs(self.connection, "paper", few=1)

    @rule(amount=amounts, price=prices)
    def buy_late(self, amount: Decimal, price: Decimal) -> None:
        """A fill is booked that is older than all that are booked."""
        quote = _cut(amount * price)
        self.count += 1
        fill = Fill(-self.count, price, amount, quote, _ZERO, "USDT", grid.to_time(START - self.count))
        assert ledger.book(self.connection, self.orders["BUY"], [fill]) == 1
        self.booked.append(("BUY", fill))
        self.quantity += amount
        self.flow -= quote

    @rule(side=st.sampled_from(["BUY", "SELL"]))
    def cancel(self, side: str) -> None:
        """A cancel changes nothing of what was filled; what is reported after it is booked all the same."""
        order = outbox.load(self.connection, self.orders[side].id)
        if order.state is State.PLANNED:
            books.bring(self.connection, order, State.SENDING, State.OPEN, State.CANCELED)

    def _fill(self, side: str, amount: Decimal, price: Decimal, rate: Decimal, asset: str) -> None:
        quote = _cut(amount * price)
        name = {"base": self.base, "quote": "USDT"}.get(asset, asset)
        fee = _cut((quote if name == "USDT" else amount) * rate)
        if side == "SELL" and name == self.base and amount + fee > self.quantity:
            name, fee = "USDT", _cut(quote * rate)
        self.count += 1
        fill = Fill(self.count, price, amount, quote, fee, name, grid.to_time(START + self.count))
        assert ledger.book(self.connection, self.orders[side], [fill], None, {"BNB": _BNB}) == 1
        self.fees += _even(fee * _BNB) if name == "BNB" != self.base else _ZERO
        self.booked.append((side, fill))
        sign = 1 if side == "BUY" else -1
        self.quantity += sign * amount - (fee if name == self.base else 0)
        self.flow += -sign * quote - (fee if name == "USDT" else 0)

    def _replayed(self, place: tuple[str, str]) -> Holding:
        """The holding that all bookings come to, without the cost that is kept."""
        with self.connection.begin_nested() as undone:
            self.connection.execute(text("DELETE FROM position_costs"))
            found = costs.holdings(self.connection, "paper", [place])
            undone.rollback()
        return found.get(place, Holding())

    @invariant()
    def position_and_holding_are_what_the_fills_come_to(self) -> None:
        found = ledger.positions(self.connection, "paper")
        assert [(position.quantity, position.quote_flow) for position in found] == (
            [(self.quantity, self.flow)] if self.count else []
        )
        order = self.orders["BUY"]
        place = order.strategy, order.symbol
        held = costs.holdings(self.connection, "paper", [place]).get(place, Holding())
        assert held == self._replayed(place)
        assert self.quantity >= 0
        assert held.quantity == self.quantity
        assert held.realised - held.cost == self.flow
        position_reports = valuation.position_reports(self.connection, _SETTINGS)
        assert [it.fees for it in position_reports] == ([self.fees] if self.count else [])
        gained = sum((it.realised + it.unrealised - it.fees for it in position_reports), _ZERO)
        capital = ledger.capital(self.connection, "paper")
        assert capital == 1000
        assert gained + capital == valuation.equity(self.connection, _SETTINGS, START - grid.STEP_MS)
        buying_power = ledger.buying_power(found, order.symbol, Decimal(10), 1, Decimal(0))
        assert buying_power.owned == self.quantity


@pytest.fixture(params=["BTCUSDT", "BNBUSDT"])
def machine(world: World, request: pytest.FixtureRequest) -> Iterator[type[Books]]:
    """The books of a symbol on which a decision was made; of one, BNB is the asset itself."""
    symbol = request.param
    with world.trial(symbols=[symbol]) as trial:
        clean(trial.run(trade=False))
        ((signal,),) = trial.rows("SELECT id FROM signals")
        with trial.engine.begin() as connection:
            orders = {}
            for side, leg in (("BUY", "entry"), ("SELL", "exit")):
                number = books.insert(connection, "orders", _order(signal, symbol, side, leg))
                orders[side] = outbox.load(connection, number)
        base = symbol.removesuffix("USDT")
        yield type("Machine", (Books,), {"engine": trial.engine, "orders": orders, "base": base})


def _order(signal: int, symbol: str, side: str, leg: str) -> dict[str, Any]:
    opened = grid.to_time(START)
    return {
        "signal_id": signal,
        "leg": leg,
        "account": "paper",
        "strategy": "always",
        "symbol": symbol,
        "open_time": opened,
        "side": side,
        "type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": Decimal(10**9),
        "price": Decimal(1),
        "client_order_id": f"eb-{leg}",
        "planned_at": opened,
    }


def test_the_positions_in_the_books_are_what_any_sequence_of_fills_comes_to(machine: type[Books]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, derandomize=True, database=None
        ),
    )
