"""`eightbells.data`: what a notebook reads is what the database holds."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from eightbells import data
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.trading.states import State
from tests.books import bring, plan_order, proven_signal
from tests.conftest import Configure
from tests.klines import FIRST, admitted, after, kline, klines, one, rows_of
from tests.surroundings import ROOT

MARCH = grid.to_time(FIRST)  # a Monday


@pytest.fixture
def opened(engine: Engine, database: URL, configure: Configure) -> Engine:
    """The database that the settings of this process name."""
    configure(database=database, mode="paper")
    return engine


def _rising(count: int) -> list[list[object]]:
    return [
        kline(
            slot,
            open=str(100 + slot),
            high=str(200 + slot),
            low=str(50 + slot),
            close=str(101 + slot),
            trades=slot,
        )
        for slot in range(count)
    ]


def test_candles_of_one_symbol_are_floats_by_open_time(opened: Engine) -> None:
    admitted(opened, klines(3), after(3))
    found = data.candles("btc/usdt")
    assert list(found.columns) == [
        "close_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_base",
        "taker_buy_quote",
    ]
    assert found.index.name == "open_time"
    assert list(found.index) == [MARCH + slot * grid.STEP for slot in range(3)]
    assert found["open"].dtype == np.float64
    assert (found["open"].iloc[0], found["trades"].iloc[0]) == (100.0, 42)
    assert found["close_time"].iloc[0] == MARCH + grid.STEP - timedelta(milliseconds=1)


def test_exact_candles_have_every_digit_that_is_stored(opened: Engine) -> None:
    admitted(opened, [kline(volume="98765432109876543210.00000001")], after(1))
    assert data.candles("BTCUSDT", exact=True)["volume"].tolist() == [
        Decimal("98765432109876543210.00000001")
    ]


def test_several_symbols_and_a_span_with_its_end_left_out(opened: Engine) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        admitted(opened, klines(12), after(12), symbol)
    found = data.candles(["ETHUSDT", "BTCUSDT"], "2021-03-01T04:00", date(2021, 3, 2))
    slots = [MARCH + slot * grid.STEP for slot in range(1, 6)]
    assert list(found.index) == [(symbol, slot) for symbol in ("BTCUSDT", "ETHUSDT") for slot in slots]
    assert data.candles("BTCUSDT", start=datetime(2030, 1, 1, tzinfo=UTC)).empty


@pytest.mark.parametrize(("interval", "parts"), [("8h", 2), ("12h", 3), ("1d", 6), ("1w", 42)])
def test_a_longer_interval_is_what_its_four_hour_candles_say(
    opened: Engine, interval: str, parts: int
) -> None:
    admitted(opened, _rising(86), after(86))
    found = data.candles("BTCUSDT", interval=interval, exact=True)
    assert len(found) == 86 // parts, "what is not complete is left out"
    second = found.iloc[1]
    assert found.index[1] == MARCH + parts * grid.STEP
    last = 2 * parts - 1
    assert (second["open"], second["close"]) == (100 + parts, 101 + last)
    assert (second["low"], second["high"]) == (50 + parts, 200 + last)
    assert second["volume"] == Decimal("12.5") * parts
    assert second["trades"] == sum(range(parts, 2 * parts))
    assert second["close_time"] == MARCH + 2 * parts * grid.STEP - timedelta(milliseconds=1)


def test_a_derived_candle_with_a_hole_is_left_out_and_so_is_one_the_span_cuts(opened: Engine) -> None:
    admitted(opened, [*klines(8), *klines(9, 9)], after(18))
    days = data.candles("BTCUSDT", interval="1d")
    assert list(days.index) == [MARCH, MARCH + timedelta(days=2)]
    cut = data.candles("BTCUSDT", "2021-03-01T04:00", "2021-03-03T04:00", "1d")
    assert list(cut.index) == [MARCH + timedelta(days=2)]


def test_the_candles_as_they_were_known_at_a_time(opened: Engine) -> None:
    admitted(opened, klines(6), after(6))
    admitted(opened, [kline(0, volume="13")], after(12))
    assert data.candles("BTCUSDT")["volume"].iloc[0] == 13
    before = data.candles("BTCUSDT", as_of=grid.to_time(after(11)))
    assert (before["volume"].tolist(), len(before)) == ([12.5] * 6, 6)
    day = data.candles("BTCUSDT", interval="1d", as_of=grid.to_time(after(11)))
    assert day["volume"].tolist() == [75.0]
    assert data.candles("BTCUSDT", as_of="2020-01-01").empty
    assert data.candles("BTCUSDT", as_of=grid.to_time(after(12)))["volume"].iloc[0] == 13


def test_orders_trades_and_equity_are_those_of_the_account(opened: Engine) -> None:
    signal = proven_signal(opened)
    with opened.begin() as connection:
        order = bring(connection, plan_order(connection, signal), State.SENDING, State.FILLED)
        for number, (asset, worth) in enumerate((("USDT", Decimal("0.1")), ("XYZ", None))):
            connection.execute(
                text(
                    "INSERT INTO fills VALUES ('paper', 'BTCUSDT', :number, :order, 'BUY', 99.5, 0.25, 24.875, 0.1, "
                    ":asset, :at, 'run', :worth)"
                ),
                {
                    "number": number,
                    "order": order.id,
                    "asset": asset,
                    "at": MARCH + grid.STEP,
                    "worth": worth,
                },
            )
        connection.execute(
            text(
                "INSERT INTO cycles (account, open_time, finished_at, equity, summary, capital) "
                "VALUES ('paper', :at, :at, 1010.5, '{}', 1000), ('other', :at, :at, 5, '{}', 1)"
            ),
            {"at": MARCH},
        )
    placed = data.orders("BTCUSDT")
    assert placed[["state", "quantity", "price", "leg"]].to_dict("records") == [
        {"state": "FILLED", "quantity": 0.5, "price": 100.0, "leg": "entry"}
    ]
    assert np.isnan(placed["stop_price"].iloc[0])
    filled = data.trades(strategy="trend")
    assert filled["price"].tolist() == [99.5, 99.5]
    assert filled["commission_quote"].iloc[0] == 0.1
    assert np.isnan(filled["commission_quote"].iloc[1])
    assert data.trades(exact=True)["commission_quote"].tolist()[0] == Decimal("0.1")
    assert data.trades("ETHUSDT").empty
    assert data.orders(strategy="other").empty
    assert data.trades(start=MARCH + 2 * grid.STEP).empty
    assert data.equity().to_dict("records") == [{"equity": 1010.5, "capital": 1000.0, "profit": 10.5}]


def test_frames_without_a_row_have_the_types_of_those_with_rows(opened: Engine) -> None:
    admitted(opened, klines(1), after(1))
    empty = data.candles("BTCUSDT", start="2030-01-01")
    assert dict(empty.dtypes) == dict(data.candles("BTCUSDT").dtypes)
    assert isinstance(empty.index, pd.DatetimeIndex)
    assert data.equity()["equity"].dtype == np.float64


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"symbols": "NOPEUSDT"},
            "no candle of NOPEUSDT is stored: run `eightbells backfill --symbols NOPEUSDT`",
        ),
        ({"symbols": "BTCUSDT", "interval": "7h"}, "in '7h' is stored; stored: 4h; derived from 4h: 8h"),
        ({"symbols": []}, "no symbol is named"),
        ({"symbols": "BTCUSDT", "start": "yesterday"}, "start='yesterday' is not a time"),
        ({"symbols": "BTCUSDT", "as_of": "soon"}, "as_of='soon' is not a time"),
        ({"symbols": "BTCUSDT", "start": "2022-01-01", "end": "2021-01-01"}, "lies after the end"),
    ],
)
def test_a_mistake_is_one_line(opened: Engine, asked: dict[str, object], words: str) -> None:
    admitted(opened, klines(1), after(1))
    with pytest.raises(EightbellsError) as raised:
        data.candles(**asked)  # type: ignore[arg-type]
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_there_is_no_database_none_is_made(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("EIGHTBELLS_DATABASE__DIRECTORY", str(tmp_path / "nothing"))
    with pytest.raises(EightbellsError, match="there is no database in"):
        data.equity()
    assert not (tmp_path / "nothing").exists()


def test_reading_changes_nothing_not_even_whose_the_database_is(opened: Engine) -> None:
    assert data.equity().empty
    assert one(opened, "SELECT count(*) FROM mode") == 0
    with data._opened() as (connection, _), pytest.raises(DBAPIError, match="read-only"):
        connection.execute(text("DELETE FROM balances"))


def test_a_database_of_another_mode_is_refused(opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(text("INSERT INTO mode (mode) VALUES ('live')"))
    with pytest.raises(EightbellsError, match="mode 'live', not of 'paper'"):
        data.equity()


def test_a_notebook_does_not_load_prefect() -> None:
    program = (
        "import sys, eightbells.data; sys.exit(any(name.split('.')[0] == 'prefect' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_the_page_shows_runs(opened: Engine) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        admitted(opened, klines(6), after(6), symbol)
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(shown, names)
    assert list(names["day"].index) == [MARCH]
    assert (len(names["both"]), len(names["then"]), len(names["digits"])) == (12, 6, 6)
    assert (names["fees"], len(names["profit"])) == (0, 0)


def test_the_candles_as_of_a_time_are_found_by_the_key_and_not_by_reading_all(opened: Engine) -> None:
    admitted(opened, klines(6), after(6))
    plan = rows_of(
        opened,
        "EXPLAIN SELECT * FROM candles_as_of('2021-04-01Z') WHERE symbol = 'BTCUSDT' AND \"interval\" = '4h'",
    )
    lines = [line for (line,) in plan]
    assert not [line for line in lines if "Function Scan" in line]
    assert len([line for line in lines if "Index Cond: ((symbol = 'BTCUSDT'::text)" in line]) == 2
