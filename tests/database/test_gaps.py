"""Slots without a candle: asked for twice, then absent for good, unless the exchange delivers after all."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from eightbells.candles import gaps, grid
from tests.klines import FIRST, STEP, admitted, after, kline, klines, one, rows_of

LATER = after(20)


def slot(number: int) -> int:
    return FIRST + number * STEP


def ask(engine: Engine, slots: Collection[int], now_ms: int = LATER) -> int:
    with engine.begin() as connection:
        return gaps.record_asked(connection, "BTCUSDT", [slot(number) for number in slots], now_ms)


def states(engine: Engine) -> dict[int, str]:
    rows = rows_of(engine, "SELECT open_time, state FROM candle_gaps ORDER BY open_time")
    return {(grid.to_ms(opened) - FIRST) // STEP: state for opened, state in rows}


def missing(engine: Engine, first: int, last: int) -> list[int]:
    with engine.connect() as connection:
        found = gaps.missing(connection, ["BTCUSDT"], slot(first), slot(last))["BTCUSDT"]
    return [(int(opened) - FIRST) // STEP for opened in found]


def test_a_slot_asked_for_once_is_open_and_twice_is_absent(engine: Engine) -> None:
    assert ask(engine, [3, 4]) == 0
    assert states(engine) == {3: "open", 4: "open"}
    assert ask(engine, [4]) == 1
    assert states(engine) == {3: "open", 4: "absent"}


def test_asking_again_for_what_is_absent_changes_nothing(engine: Engine) -> None:
    for _ in range(2):
        ask(engine, [3])
    before = rows_of(engine, "SELECT * FROM candle_gaps")
    assert ask(engine, [3]) == 0
    assert rows_of(engine, "SELECT * FROM candle_gaps") == before


def test_a_young_slot_is_not_given_up_however_often_it_was_asked_for(engine: Engine) -> None:
    """The exchange may still deliver it: its absence counts one candle later."""
    for _ in range(5):
        assert ask(engine, [3], after(5) - 2001) == 0
    assert states(engine) == {3: "open"}
    assert ask(engine, [3], after(5)) == 1


def test_a_slot_with_a_bad_row_in_quarantine_is_never_absent(engine: Engine) -> None:
    admitted(engine, [kline(3, low="200")], LATER)
    for _ in range(4):
        assert ask(engine, [3, 5]) in (0, 1)
    assert states(engine) == {3: "open", 5: "absent"}


def test_a_late_delivery_repairs_a_gap(engine: Engine) -> None:
    ask(engine, [3, 4])
    ask(engine, [4])
    admitted(engine, klines(2, first=3), LATER)
    assert states(engine) == {3: "repaired", 4: "repaired"}
    assert missing(engine, 3, 4) == []


def test_missing_is_what_is_neither_stored_nor_absent(engine: Engine) -> None:
    admitted(engine, [kline(0), kline(2), kline(5)], LATER)
    ask(engine, [1, 3])
    ask(engine, [3])
    assert missing(engine, 0, 6) == [1, 4, 6]
    assert missing(engine, 2, 3) == []
    assert missing(engine, 3, 2) == []


def test_another_symbols_candles_fill_no_gap(engine: Engine) -> None:
    admitted(engine, klines(3), LATER, symbol="ETHUSDT")
    assert missing(engine, 0, 2) == [0, 1, 2]


def test_open_slots_are_those_of_the_span_that_may_yet_be_settled(engine: Engine) -> None:
    admitted(engine, [kline(4, low="200")], LATER)
    ask(engine, [1, 2, 3, 4, 8])
    ask(engine, [2])
    with engine.connect() as connection:
        found = gaps.open_slots(connection, ["BTCUSDT"], slot(0), slot(5))["BTCUSDT"]
        assert found.tolist() == [slot(1), slot(3)]


def test_the_stored_span_ends_with_the_newest_candle_up_to_a_slot(engine: Engine) -> None:
    with engine.connect() as connection:
        assert gaps.stored_span(connection, "BTCUSDT", slot(9)) == (None, None)
    admitted(engine, [kline(1), kline(2), kline(7)], LATER)
    with engine.connect() as connection:
        assert gaps.stored_span(connection, "BTCUSDT", slot(9)) == (slot(1), slot(7))
        assert gaps.stored_span(connection, "BTCUSDT", slot(5)) == (slot(1), slot(2))


def test_the_database_refuses_an_absence_that_was_asked_for_once(engine: Engine) -> None:
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO candle_gaps VALUES ('BTCUSDT', '4h', '2021-03-01Z', 'absent', 1, now(), now())"
        )
    assert one(engine, "SELECT count(*) FROM candle_gaps") == 0
