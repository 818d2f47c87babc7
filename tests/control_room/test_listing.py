"""`eightbells positions`, `orders` and `trades`: what the books hold, for people and for scripts."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.candles import grid
from eightbells.trading.listing import ListedPosition, Wanted, list_orders, list_positions, list_trades
from eightbells.trading.states import LIVE, State
from tests.books import bring, evaluation, plan_order, proven_signal, signal
from tests.conftest import Configure
from tests.crash.command import command
from tests.klines import FIRST, admitted, after, klines, rows_of

TREND = {"name": "trend", "kind": "ma_cross", "capital": "1000", "stop_loss": "0.1"}
LATER = FIRST + 2 * grid.STEP_MS
_FILL = """
INSERT INTO fills (
    account, symbol, trade_id, order_id, side, price, quantity, quote_quantity, commission, commission_asset, traded_at
) VALUES ('paper', 'BTCUSDT', 7, :order, 'BUY', 99.5, 0.5, 49.75, 0.001, 'BNB', :at)
"""


@pytest.fixture
def kept(engine: Engine) -> Engine:
    """Books with a filled purchase and an order that is open."""
    first = proven_signal(engine)
    validation = admitted(engine, klines(3), after(3)).verdicts["BTCUSDT"].validation
    with engine.begin() as connection:
        bought = bring(connection, plan_order(connection, first), State.SENDING, State.FILLED)
        connection.execute(text(_FILL), {"order": bought.id, "at": grid.to_time(LATER)})
        again = signal(connection, evaluation(connection, validation, open_time=grid.to_time(LATER)))
        bring(connection, plan_order(connection, again, open_ms=LATER), State.SENDING, State.OPEN)
    return engine


def _held(engine: Engine, configure: Configure, **changed: str) -> ListedPosition:
    with engine.connect() as connection:
        (found,) = list_positions(connection, configure(strategies=[{**TREND, **changed}]))
    return found


def _command(*arguments: str, code: int = 0) -> str:
    said = command({"COLUMNS": "80"}, *arguments)
    assert said.code == code, said.complaint
    return said.answer if code == 0 else said.complaint


def test_a_position_has_its_cost_its_value_and_its_profit_at_the_newest_close(
    kept: Engine, configure: Configure
) -> None:
    held, close = _held(kept, configure), Decimal(klines(3)[2][4])
    assert (held.strategy, held.symbol, held.quantity) == ("trend", "BTCUSDT", Decimal("0.5"))
    assert (held.average_cost, held.value) == (Decimal("99.5"), close / 2)
    assert (held.unrealised, held.realised) == (close / 2 - Decimal("49.75"), 0)


def test_a_position_says_why_it_has_no_stop_and_whether_its_strategy_is_there(
    kept: Engine, configure: Configure
) -> None:
    assert "no stop_loss" in _held(kept, configure, stop_loss="0").unprotected
    gone = _held(kept, configure, name="other")
    assert "not in the settings" in gone.unprotected
    assert not gone.in_settings
    with kept.begin() as connection:
        connection.execute(
            text("INSERT INTO unprotected VALUES ('paper', 'trend', 'BTCUSDT', 'BTCUSDT is BREAK', now())")
        )
    held = _held(kept, configure)
    assert (held.unprotected, held.in_settings, held.stop_price) == ("BTCUSDT is BREAK", True, None)


def test_orders_and_trades_are_filtered_and_the_newest_come_first(kept: Engine) -> None:
    def orders(**wanted: Any) -> list[str]:
        with kept.connect() as connection:
            return [order.state for order in list_orders(connection, "paper", Wanted(**wanted))]

    def trades(**wanted: Any) -> list[int]:
        with kept.connect() as connection:
            return [trade.trade_id for trade in list_trades(connection, "paper", Wanted(**wanted))]

    assert orders() == ["OPEN", "FILLED"]
    assert (orders(limit=1), orders(states=LIVE), orders(states={State.FILLED})) == (
        ["OPEN"],
        ["OPEN"],
        ["FILLED"],
    )
    assert (orders(symbols=["ETHUSDT"]), orders(strategy="other")) == ([], [])
    assert orders(symbols=["BTCUSDT", "ETHUSDT"], strategy="trend") == ["OPEN", "FILLED"]
    assert orders(since=datetime(2999, 1, 1, tzinfo=UTC)) == []
    assert (trades(), trades(states=LIVE), trades(symbols=["ETHUSDT"])) == ([7], [], [])
    at = grid.to_time(LATER)
    assert (trades(since=at), trades(since=at + grid.STEP)) == ([7], [])


@pytest.mark.parametrize("name", ["positions", "orders", "trades"])
def test_people_read_it_at_80_columns_and_csv_is_what_json_is(
    kept: Engine, configure: Configure, database: URL, name: str
) -> None:
    configure(database=database, strategies=[TREND])
    shown = _command(name)
    assert max(map(len, shown.splitlines())) <= 80
    words = ["BTCUSDT", "trend"]
    if name != "positions":
        words.append(rows_of(kept, "SELECT client_order_id FROM orders WHERE state = 'FILLED'")[0][0])
    assert [word for word in words if word not in shown] == []
    (line,) = _command(name, "--json").splitlines()
    rows = [{key: "" if it is None else str(it) for key, it in row.items()} for row in json.loads(line)[name]]
    assert rows
    assert list(csv.DictReader(_command(name, "--csv").splitlines())) == rows


def test_what_contradicts_itself_is_one_line(configure: Configure, database: URL) -> None:
    configure(database=database)
    assert "choose one" in _command("orders", "--open", "--state", "filled", code=1)
    assert "choose one" in _command("trades", "--json", "--csv", code=1)
    assert "is not a time" in _command("trades", "--since", "yesterday", code=1)
