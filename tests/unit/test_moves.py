"""What a held position needs next, whatever its size and the price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eightbells.candles import grid
from eightbells.settings.sections import TradingSettings
from eightbells.trading.holdings import HeldPosition, Origin
from eightbells.trading.moves import Move, Unable, next_move
from eightbells.trading.outbox import Order
from eightbells.trading.states import State
from tests.unit.test_orders import RULES

D = Decimal
ENTRY, EXIT = Origin(1, "1", 0, D(20000)), Origin(2, "1", 0, D(19000))
WITH_STOPS = replace(RULES, order_types=RULES.order_types | {"STOP_LOSS"})
HELD = HeldPosition(
    "trend", "BTCUSDT", D("0.5"), WITH_STOPS, None, ENTRY, None, trigger=D(18000), last=D(20000)
)
SETTINGS = TradingSettings()
prices = st.decimals(min_value=1000, max_value=90000, places=2)


@example(D("0.00025396"), D("23625.78"), D("23625.77"), True)  # the exit's own price makes it dust
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
        assert quantity * min(last, trigger, *([EXIT.price] if out else [])) < 6


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


LISTING = replace(WITH_STOPS, takes_lists=True, order_types=WITH_STOPS.order_types | {"LIMIT_MAKER"})


def lying(quantity: str = "0.5", stop: str = "18000", **changed: Any) -> Order:
    """A stop that lies at the exchange."""
    given: dict[str, Any] = {
        "id": 7, "signal_id": 1, "leg": "stop", "attempt": 1, "account": "paper", "strategy": "trend",
        "symbol": "BTCUSDT", "open_time": grid.to_time(0), "side": "SELL", "type": "STOP_LOSS",
        "time_in_force": None, "quantity": D(quantity), "price": None, "stop_price": D(stop),
        "client_order_id": "eb-1", "state": State.OPEN, "exchange_order_id": 1, "request_time": None,
        "recv_window_ms": None, "executed_quantity": D(0), "booked_quantity": D(0), "planned_at": grid.to_time(0),
        "replaces": None, "yields": False, "command": None, "listed_with": None, "paired": False,
        "trailing_delta": None,
    }  # fmt: skip
    return Order(**given | changed)


def test_an_exit_that_the_rules_refuse_does_not_keep_the_stop_from_being_fitted() -> None:
    """The exit's limit is above the largest price of the symbol; the stop covers less than is held."""
    rules = replace(WITH_STOPS, max_price=D(18500))
    held = replace(HELD, rules=rules, exit=EXIT, wants_out=True, sale=lying("0.3"))
    settings = TradingSettings(exit_steps=["close"])
    move = next_move(held, settings, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    assert (move.sized.leg, move.sized.type, move.sized.quantity) == ("stop", "STOP_LOSS", D("0.5"))
    assert move.old == held.sale
    assert next_move(replace(held, sale=lying()), settings, 0) is None, "it fits already"


@given(prices, prices, prices)
def test_stop_and_target_go_as_one_list_only_around_the_price(
    last: Decimal, trigger: Decimal, target: Decimal
) -> None:
    move = next_move(replace(HELD, rules=LISTING, last=last, trigger=trigger, target=target), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    if last <= trigger:
        assert (move.sized.leg, move.sized.type) == ("stop", "MARKET")
    elif last >= target:
        assert (move.sized.leg, move.sized.type) == ("target", "MARKET")
    else:
        above = move.sized.above
        assert above is not None
        assert (above.type, above.price, above.quantity) == ("LIMIT_MAKER", target, move.sized.quantity)


@pytest.mark.parametrize(
    "changed",
    [{"rules": WITH_STOPS}, {"last": None}, {"failures": (1, 0)}],
    ids=["no lists", "no price", "refused before"],
)
def test_without_a_list_the_stop_goes_alone(changed: dict[str, Any]) -> None:
    held = replace(HELD, rules=LISTING, target=D(21000))
    move = next_move(replace(held, **changed), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    assert (move.sized.type, move.sized.above) == ("STOP_LOSS", None)


def test_a_stop_that_lies_there_is_kept_and_its_target_is_watched() -> None:
    held = replace(HELD, rules=LISTING, target=D(21000), sale=lying())
    assert next_move(held, SETTINGS, 0) is None
    move = next_move(replace(held, last=D(21000)), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    assert (move.sized.leg, move.sized.type, move.old) == ("target", "MARKET", held.sale)


TRAILS = replace(WITH_STOPS, trailing=(10, 2000))
FOLLOWING = replace(HELD, rules=TRAILS, floor=D(18000), trailing=500, trigger=D(19000))


@given(prices)
def test_a_stop_follows_the_price_only_where_it_begins_no_lower_than_it_should(last: Decimal) -> None:
    move = next_move(replace(FOLLOWING, last=last), SETTINGS, 0)
    assert isinstance(move, Move)
    assert move.sized is not None
    if last <= 19000:
        assert move.sized.type == "MARKET"
    elif move.sized.trailing_delta is None:
        assert move.sized.stop_price == 19000
        assert last * D("0.95") < 19000
    else:
        assert move.sized.stop_price is not None
        assert move.sized.stop_price >= D(19000) * D("0.999")


def test_a_stop_that_follows_the_price_is_left_alone_unless_another_one_lies_higher() -> None:
    sale = lying(stop="19000", trailing_delta=500)
    for last in (19100, 20000, 30000):
        assert next_move(replace(FOLLOWING, sale=sale, last=D(last)), SETTINGS, 0) is None
    higher = next_move(replace(FOLLOWING, sale=sale, floor=D(19500), trigger=D(19500)), SETTINGS, 0)
    assert isinstance(higher, Move)
    assert higher.sized is not None
    assert (higher.sized.stop_price, higher.sized.trailing_delta) == (D(19500), None)
    wider = next_move(replace(FOLLOWING, sale=sale, trailing=400), SETTINGS, 0)
    assert isinstance(wider, Move)


def test_a_symbol_that_takes_no_trailing_stop_has_one_that_is_moved_up_and_never_down() -> None:
    plain = replace(FOLLOWING, rules=WITH_STOPS)
    up = next_move(replace(plain, sale=lying(stop="18500")), SETTINGS, 0)
    assert isinstance(up, Move)
    assert up.sized is not None
    assert (up.sized.stop_price, up.sized.trailing_delta) == (D(19000), None)
    assert next_move(replace(plain, sale=lying(stop="19500")), SETTINGS, 0) is None
