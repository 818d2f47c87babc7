"""An order's states and attempts, and the facts about it that are kept for ever: enforced by the database."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from eightbells.trading import ledger, outbox
from eightbells.trading.ledger import Fill
from eightbells.trading.sizing import Sized
from eightbells.trading.states import IN_FLIGHT, LIVE, TRANSITIONS, State
from tests import books
from tests.books import ACCOUNT, OPENED
from tests.klines import FIRST, after, one, rows_of

# the way from PLANNED to each state
PATHS: dict[State, tuple[State, ...]] = {
    State.PLANNED: (),
    State.SENDING: (State.SENDING,),
    State.DENIED: (State.DENIED,),
    State.REJECTED: (State.SENDING, State.REJECTED),
    State.UNKNOWN: (State.SENDING, State.UNKNOWN),
    State.ABSENT: (State.SENDING, State.UNKNOWN, State.ABSENT),
    State.OPEN: (State.SENDING, State.OPEN),
    State.PARTIALLY_FILLED: (State.SENDING, State.PARTIALLY_FILLED),
    State.FILLED: (State.SENDING, State.FILLED),
    State.CANCELED: (State.SENDING, State.CANCELED),
    State.EXPIRED: (State.SENDING, State.EXPIRED),
}
# attempts that certainly do not exist at the exchange
GONE = [State.ABSENT, State.DENIED, State.REJECTED]


def test_the_transitions_in_the_code_are_those_of_the_database(decided: Engine) -> None:
    found = set(rows_of(decided, "SELECT from_state, to_state FROM order_transitions"))
    assert found == {(str(state), str(to)) for state, targets in TRANSITIONS.items() for to in targets}
    assert PATHS.keys() == set(State)


def test_every_illegal_transition_is_refused_and_every_legal_one_taken(
    decided: Engine, decision: int
) -> None:
    for state, to in product(State, State):
        with decided.connect() as connection:  # nothing is committed: every pair begins again
            order = books.bring(connection, books.plan_order(connection, decision), *PATHS[state])
            assert order.state is state
            if to in TRANSITIONS.get(state, ()):
                assert books.bring(connection, order, to).state is to
            else:
                with pytest.raises(IntegrityError, match="cannot go from"):
                    books.bring(connection, order, to)


def test_a_state_changes_only_by_an_event(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    with pytest.raises(IntegrityError, match="changes only by an event"), decided.begin() as connection:
        connection.execute(text("UPDATE orders SET state = 'DENIED' WHERE id = :id"), {"id": order.id})
    assert one(decided, "SELECT state FROM orders") == "PLANNED"


def test_every_state_leaves_its_event(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    with decided.begin() as connection:
        books.bring(connection, order, State.SENDING, State.OPEN, State.FILLED)
    assert rows_of(decided, "SELECT from_state, to_state FROM order_events ORDER BY id") == [
        (None, "PLANNED"),
        ("PLANNED", "SENDING"),
        ("SENDING", "OPEN"),
        ("OPEN", "FILLED"),
    ]


def test_an_order_begins_as_planned(decided: Engine, decision: int) -> None:
    with pytest.raises(IntegrityError, match="begins as PLANNED"), decided.begin() as connection:
        books.insert(connection, "orders", {**_row(decision), "state": "OPEN", "request_time": OPENED})


def test_nothing_counts_as_sent_without_the_time_of_its_request(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    with pytest.raises(IntegrityError, match="check constraint"), decided.begin() as connection:
        outbox.move(connection, order, State.SENDING, OPENED, {}, None)


# One decision, one order


@pytest.mark.parametrize("state", [state for state in State if state not in GONE])
def test_a_second_attempt_beside_one_that_may_exist_is_refused(
    decided: Engine, decision: int, state: State
) -> None:
    with decided.begin() as connection:
        order = books.bring(connection, books.plan_order(connection, decision), *PATHS[state])
        assert outbox.plan_again(connection, order, order.quantity, order.price, after(1), None) is None
    with pytest.raises(IntegrityError, match="orders_one_live_attempt"), decided.begin() as connection:
        books.insert(
            connection, "orders", {**_row(decision), "attempt": 2, "client_order_id": "eb-by-hand-2"}
        )


@pytest.mark.parametrize("state", GONE)
def test_after_one_that_certainly_does_not_exist_another_attempt_is_taken_once(
    decided: Engine, decision: int, state: State
) -> None:
    with decided.begin() as connection:
        order = books.bring(connection, books.plan_order(connection, decision), *PATHS[state])
        second = outbox.plan_again(connection, order, Decimal("0.4"), order.price, after(1), None)
        assert outbox.plan_again(connection, order, Decimal("0.3"), order.price, after(1), None) is None
    assert second is not None
    assert rows_of(decided, "SELECT attempt, state, quantity FROM orders ORDER BY id") == [
        (1, str(state), Decimal("0.5")),
        (2, "PLANNED", Decimal("0.4")),
    ]
    ids = [name for (name,) in rows_of(decided, "SELECT client_order_id FROM orders ORDER BY id")]
    assert ids[0][:-1] == ids[1][:-1]
    assert ids[1].endswith("-2")


def test_planning_the_same_decision_again_adds_nothing(decided: Engine, decision: int) -> None:
    with decided.begin() as connection:
        order = books.plan_order(connection, decision)
        sized = Sized("entry", "BUY", Decimal("0.7"), Decimal(101))
        identity = (order.strategy, "1", order.symbol, FIRST)
        assert not outbox.plan(connection, outbox.Intent(ACCOUNT, decision, identity, sized, after(1), None))
    assert one(decided, "SELECT count(*) FROM orders") == 1


def test_an_order_never_has_executed_more_than_was_ordered(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    with pytest.raises(IntegrityError, match="check constraint"), decided.begin() as connection:
        outbox.note_exchange(connection, order, 1, Decimal("0.50000001"))


def test_final_is_what_no_transition_leads_out_of() -> None:
    final = {state for state in State if state not in TRANSITIONS}
    assert set(State) - LIVE == final
    assert IN_FLIGHT < LIVE


# What is kept for ever


@pytest.mark.parametrize("table", ["candles", "candle_revisions", "order_events", "fills"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_facts_cannot_be_removed(decided: Engine, decision: int, table: str, statement: str) -> None:
    _one_of_each(decided, decision)
    with pytest.raises(IntegrityError, match="never changed or removed"), decided.begin() as connection:
        connection.execute(text(statement.format(table)))
    assert one(decided, f"SELECT count(*) FROM {table}") > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fills SET quantity = 1",
        "UPDATE order_events SET at = now()",
        "UPDATE candle_revisions SET close = 100",
    ],
)
def test_facts_cannot_be_changed(decided: Engine, decision: int, statement: str) -> None:
    _one_of_each(decided, decision)
    with pytest.raises(DatabaseError, match="never changed or removed"), decided.begin() as connection:
        connection.execute(text(statement))


def test_a_fill_is_booked_once(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    fills = [_fill(7), _fill(8)]
    with decided.begin() as connection:
        assert ledger.book(connection, order, fills) == 2
        assert ledger.book(connection, order, fills) == 0
    assert one(decided, "SELECT count(*) FROM fills") == 2


def _one_of_each(decided: Engine, decision: int) -> None:
    order = books.planned_order(decided, decision)
    with decided.begin() as connection:
        ledger.book(connection, order, [_fill(1)])


def _fill(number: int) -> Fill:
    return Fill(number, Decimal(100), Decimal("0.1"), Decimal(10), Decimal("0.0001"), "BTC", OPENED)


def _row(of: int) -> dict[str, object]:
    return {
        "signal_id": of,
        "leg": "entry",
        "account": ACCOUNT,
        "strategy": "trend",
        "symbol": "BTCUSDT",
        "open_time": OPENED,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "quantity": Decimal("0.5"),
        "price": Decimal(100),
        "client_order_id": "eb-by-hand-1",
        "planned_at": OPENED,
    }


def test_nothing_is_sold_while_fills_of_its_position_are_not_booked(decided: Engine, decision: int) -> None:
    sale = Sized("exit", "SELL", Decimal("0.5"), Decimal(100))
    identity = ("trend", "1", "BTCUSDT", FIRST)
    with decided.begin() as connection:
        order = books.bring(connection, books.plan_order(connection, decision), *PATHS[State.FILLED])
        outbox.note_exchange(connection, order, 7, Decimal("0.5"))
        assert (
            outbox.plan(connection, outbox.Intent(ACCOUNT, decision, identity, sale, after(1), None)) is None
        )
    by_hand = {**_row(decision), "side": "SELL", "leg": "exit", "client_order_id": "eb-by-hand-3"}
    with pytest.raises(IntegrityError, match="not booked yet"), decided.begin() as connection:
        books.insert(connection, "orders", by_hand)
    with decided.begin() as connection:
        ledger.book(
            connection,
            order,
            [Fill(1, Decimal(100), Decimal("0.5"), Decimal(50), Decimal(0), "USDT", OPENED)],
        )
        assert (
            outbox.plan(connection, outbox.Intent(ACCOUNT, decision, identity, sale, after(1), None))
            is not None
        )
