"""What a held position needs next, whatever its size and the price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from eightbells.settings.sections import TradingSettings
from eightbells.trading.holdings import HeldPosition, Origin
from eightbells.trading.moves import Move, Unable, next_move
from tests.unit.test_orders import RULES

D = Decimal
ENTRY, EXIT = Origin(1, "1", 0, D(20000)), Origin(2, "1", 0, D(19000))
WITH_STOPS = replace(RULES, order_types=RULES.order_types | {"STOP_LOSS"})
HELD = HeldPosition(
    "trend", "BTCUSDT", D("0.5"), WITH_STOPS, None, ENTRY, None, trigger=D(18000), last=D(20000)
)
SETTINGS = TradingSettings()
prices = st.decimals(min_value=1000, max_value=90000, places=2)


@given(st.decimals(min_value=D("0.00001"), max_value=D(5), places=8), prices, prices, st.booleans())
def test_no_move_sells_more_than_is_held(
    quantity: Decimal, last: Decimal, trigger: Decimal, out: bool
) -> None:
    held = replace(
        HELD, quantity=quantity, last=last, trigger=trigger, exit=EXIT if out else None, wants_out=out
    )
    move = next_move(held, SETTINGS, 0)
    if isinstance(move, Move):
        assert move.sized is not None
        assert D(0) < move.sized.quantity <= quantity
        assert quantity - move.sized.quantity < D("0.00001")
        assert move.sized.stop_price is None or move.sized.stop_price < last or out
    else:
        assert move is None, "it is dust"
        assert quantity * min(last, trigger) < 6


@given(prices)
def test_a_position_without_a_sale_gets_its_stop_or_is_sold_where_the_price_has_passed_it(
    last: Decimal,
) -> None:
    move = next_move(replace(HELD, last=last), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    assert move.sized.type == ("MARKET" if last <= 18000 else "STOP_LOSS")


def test_without_a_price_it_gets_its_stop() -> None:
    move = next_move(replace(HELD, last=None), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    assert (move.sized.type, move.sized.stop_price) == ("STOP_LOSS", D(18000))


def test_a_symbol_that_takes_no_stop_at_market_gets_one_with_a_limit() -> None:
    move = next_move(
        replace(HELD, rules=replace(RULES, order_types=frozenset({"STOP_LOSS_LIMIT"}))), SETTINGS, 0
    )
    assert isinstance(move, Move)
    assert move.sized is not None
    assert (move.sized.type, move.sized.price) == ("STOP_LOSS_LIMIT", D(17820))


def test_what_stands_in_the_way_is_told_and_nothing_is_sent() -> None:
    assert next_move(replace(HELD, blocked="it is held"), SETTINGS, 0) == Unable("it is held")
    assert next_move(replace(HELD, rules=None), SETTINGS, 0) == Unable("its rules cannot be read")
    assert next_move(replace(HELD, trigger=None, blocked="it is held"), SETTINGS, 0) is None


def test_after_refusals_the_next_attempt_waits_longer_and_longer() -> None:
    for times, seconds in ((1, 0), (2, 10), (10, 60), (30, 600)):
        refused = replace(HELD, failures=(times, 1_000_000))
        if seconds:
            assert isinstance(next_move(refused, SETTINGS, 1_000_000 + seconds * 1000 - 1), Unable)
        assert isinstance(next_move(refused, SETTINGS, 1_000_000 + seconds * 1000), Move)
