"""`eightbells status`: what the tables say, what somebody must act on as a problem, all of it in 80 columns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from cli.status import Status, in_words, read_status
from eightbells.candles import gaps, grid
from eightbells.stream.sole_stream import SoleStream
from eightbells.trading.states import State
from eightbells.trading.switch import set_switch
from tests.books import bring, plan_order, planned_order, proven_signal
from tests.conftest import Configure
from tests.exchange import STEP
from tests.klines import FIRST, admitted, after, kline
from tests.surroundings import ROOT

Read = Callable[[], Status]
NOBODY = "http://127.0.0.1:9/api"


@pytest.fixture
def read(configure: Configure, database: URL, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)
    settings = configure(database=database)

    def reading() -> Status:
        with engine.connect() as connection:
            return read_status(settings, connection)

    return reading


def without_prefect(found: Status) -> list[str]:
    return [problem for problem in found.problems if "Prefect" not in problem]


def save_cycle(engine: Engine, opened: int, **summary: Any) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO cycles (account, open_time, finished_at, equity, summary) "
                "VALUES ('paper', :opened, :at, 12345.678, CAST(:summary AS jsonb))"
            ),
            {
                "opened": grid.to_time(opened),
                "at": grid.to_time(opened + STEP + 9000),
                "summary": json.dumps(summary),
            },
        )


def newest() -> int:
    from time import time

    return grid.last_closed(int(time() * 1000))


def test_a_fresh_installation_has_no_problem_but_that_nothing_runs(read: Read) -> None:
    found = read()
    assert (found.mode, found.trading, found.up, found.stream, found.last_cycle) == (
        "paper",
        True,
        None,
        False,
        None,
    )
    (problem,) = found.problems
    assert "no Prefect server answers" in problem


def test_a_cycle_its_equity_and_what_it_met(read: Read, engine: Engine) -> None:
    save_cycle(engine, newest(), problems=["BTCUSDT: no candle"])
    found = read()
    assert found.last_cycle
    assert found.last_cycle.candle == grid.to_time(newest())
    assert f"{found.equity}" == "12345.678"
    assert without_prefect(found) == ["the last cycle: BTCUSDT: no candle"]


def test_a_cycle_that_is_late_by_the_exchanges_clock(read: Read, engine: Engine) -> None:
    save_cycle(engine, FIRST)
    assert any("no cycle has served a candle" in problem for problem in read().problems)
    with engine.begin() as connection:  # an exchange that lives in the past: for it the cycle is in time
        offset = (grid.to_time(FIRST + STEP) - read().exchange_time) / timedelta(seconds=1)
        connection.execute(
            text("INSERT INTO metric_totals VALUES ('eightbells_clock_offset_seconds', '{}', :offset)"),
            {"offset": offset},
        )
    assert without_prefect(read()) == []


def test_trading_that_is_off(read: Read, engine: Engine) -> None:
    set_switch(engine, False, "looking into it")
    found = read()
    assert not found.trading
    assert "trading is off: looking into it" in found.problems[0]


def test_an_order_whose_fate_is_unknown_and_since_when(read: Read, engine: Engine) -> None:
    order = planned_order(engine, proven_signal(engine))
    with engine.begin() as connection:
        bring(connection, order, State.SENDING, State.UNKNOWN)
    (problem,) = without_prefect(read())
    assert order.client_order_id in problem
    (shown,) = read().open_orders
    assert (shown.id, shown.symbol, shown.left) == (order.client_order_id, "BTCUSDT", order.quantity)
    (words,) = [value for name, value in in_words(read()) if name == "  BTCUSDT"]
    assert re.fullmatch(rf"BUY \S+ LIMIT at \S+, UNKNOWN, {order.client_order_id}, .+ old", words)
    assert re.search(r"is UNKNOWN for \d+ s", problem)


def test_drift_gaps_quarantine_and_a_ban(read: Read, engine: Engine) -> None:
    bad = kline(1, high="0.5")  # its high lies below its low
    admitted(engine, [kline(0), bad], after(2))
    with engine.begin() as connection:
        gaps.record_asked(connection, "BTCUSDT", [FIRST + 5 * STEP], after(9))
        connection.execute(
            text(
                "INSERT INTO drifts (account, symbol, reason, facts, found_at) VALUES ('paper', 'ETHUSDT', 'balance', "
                "jsonb_build_object('asset', 'ETH', 'books', '2', 'exchange', '1'), now())"
            )
        )
        connection.execute(
            text("INSERT INTO budgets VALUES ('weight', now() + interval '1 minute', 'IP banned')")
        )
    problems = "\n".join(without_prefect(read()))
    assert (
        "ETHUSDT is not traded, the books and the exchange differ (drift 1): 2 ETH in the books" in problems
    )
    assert "1 candles of 1 symbols are missing" in problems
    assert "1 rows in quarantine have no sound candle in their place: BTCUSDT" in problems
    assert "IP banned" in problems
    admitted(engine, [kline(1)], after(3))  # the exchange has mended it
    assert "quarantine" not in "\n".join(read().problems)


def test_a_stream_is_known_by_its_lock(read: Read, engine: Engine) -> None:
    with SoleStream(engine, "paper"):
        assert read().stream
    assert not read().stream
    with SoleStream(engine, "live"):
        assert not read().stream


def test_a_stream_is_silent_since_its_last_frame_and_not_since_it_told_of_it(
    read: Read, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO metric_totals SELECT 'eightbells_stream_last_frame_timestamp_seconds', '{}', "
                "extract(EPOCH FROM clock_timestamp()) - 100"
            )
        )
    with SoleStream(engine, "paper"):
        assert read().stream_silence_seconds == pytest.approx(100, abs=20)
    assert read().stream_silence_seconds is None


def test_the_table_keeps_to_80_columns_and_json_is_whole(
    read: Read, configure: Configure, database: URL, engine: Engine
) -> None:
    assert read()
    configure(database=database)
    long = "a very long reason, " * 12
    set_switch(engine, False, long)
    order = planned_order(engine, proven_signal(engine))
    with engine.begin() as connection:
        bring(connection, order, State.SENDING, State.UNKNOWN)
    save_cycle(engine, newest(), problems=["x" * 200])
    run = [sys.executable, "-m", "cli", "status"]
    shown = subprocess.run(
        run,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    lines = shown.splitlines()
    assert {len(line) for line in lines} == {80}
    unwrapped = "".join(line[14:-1].strip() for line in lines)
    assert "x" * 200 in unwrapped
    assert order.client_order_id in unwrapped
    done = subprocess.run([*run, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert found["trading_reason"] == long
    assert found["equity"] == "12345.678"
    assert len(found["problems"]) == len(read().problems)


def test_positions_are_shown_with_their_value_and_profit_at_the_newest_close(
    read: Read, engine: Engine
) -> None:
    signal = proven_signal(engine)
    with engine.begin() as connection:
        order = bring(connection, plan_order(connection, signal), State.SENDING, State.FILLED)
        connection.execute(
            text(
                "INSERT INTO fills VALUES ('paper', 'BTCUSDT', 1, :order, 'BUY', 100, 0.5, 50, 0, 'BNB', now())"
            ),
            {"order": order.id},
        )
    (held,) = read().positions
    value = Decimal("0.5") * Decimal(kline(0)[4])
    assert (held.symbol, held.quantity, held.value) == ("BTCUSDT", Decimal("0.5"), value)
    assert held.profit == value - 50
    assert ("  BTCUSDT", f"0.5 of trend: {value:,.2f} USDT ({value - 50:+,.2f})") in in_words(read())
