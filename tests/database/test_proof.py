"""No order without proven data: the chain of foreign keys from an order to the validation that passed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from eightbells.candles import grid
from tests import books
from tests.klines import FIRST, STEP, admitted, after, kline, klines, one


def test_no_evaluation_rests_on_a_validation_that_failed(engine: Engine) -> None:
    rows = [kline(0), kline(1, trades=-1)]
    verdict = admitted(engine, [*rows, kline(2)], after(3)).verdicts["BTCUSDT"]
    with pytest.raises(IntegrityError, match="foreign key"), engine.begin() as connection:
        books.evaluation(connection, verdict.validation, open_time=slot(2))
    with pytest.raises(IntegrityError, match="violates check constraint"), engine.begin() as connection:
        books.evaluation(connection, verdict.validation, open_time=slot(2), proven=False)


def test_no_evaluation_rests_on_another_candles_validation(engine: Engine) -> None:
    older = admitted(engine, klines(1), after(1)).verdicts["BTCUSDT"]
    admitted(engine, klines(1, first=1), after(2))
    with pytest.raises(IntegrityError, match="foreign key"), engine.begin() as connection:
        books.evaluation(connection, older.validation, open_time=slot(1))


def test_no_evaluation_rests_on_another_symbols_validation(engine: Engine) -> None:
    other = admitted(engine, klines(1), after(1), symbol="ETHUSDT").verdicts["ETHUSDT"]
    admitted(engine, klines(1), after(1))
    with pytest.raises(IntegrityError, match="foreign key"), engine.begin() as connection:
        books.evaluation(connection, other.validation)


def test_a_validation_cannot_turn_from_failed_to_passed(engine: Engine) -> None:
    admitted(engine, [kline(0, trades=-1)], after(1))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE validations SET success = TRUE"))


def test_a_validation_that_was_decided_on_cannot_be_undone(decided: Engine) -> None:
    with pytest.raises(IntegrityError), decided.begin() as connection:
        connection.execute(text("UPDATE validations SET success = FALSE, failed = 1"))


def test_no_order_without_a_signal(engine: Engine) -> None:
    with engine.begin() as connection:
        books.list_symbol(connection)
    with pytest.raises(IntegrityError, match="foreign key"), engine.begin() as connection:
        books.plan_order(connection, of=12345)


def test_no_second_evaluation_of_the_same_decision(decided: Engine) -> None:
    validation = one(decided, "SELECT min(id) FROM validations")
    with pytest.raises(IntegrityError, match="unique"), decided.begin() as connection:
        books.evaluation(connection, validation)


def slot(number: int) -> object:
    return grid.to_time(FIRST + number * STEP)
