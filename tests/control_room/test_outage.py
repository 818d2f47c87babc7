"""Server and worker away for two boundaries: one run catches up, nothing is missing, and nothing is traded late.

Boundaries are four hours apart; here they are two seconds. Everything else is as it happens: the server's own scheduler
plans the runs, both are killed, the due times pass, and the same two start again. The exchange's clock leaps the eight
hours meanwhile. The tests share the two processes and stand in the order of their life.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.settings import Settings
from tests.conftest import administer
from tests.control_room.installation import PATIENCE, environment
from tests.control_room.server_and_worker import ServerAndWorker, whole_second
from tests.exchange import LAST, START, STEP, Simulator
from tests.klines import one, rows_of, wait_until

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TOO_OLD = 31 * 60 * 1000  # ms; a candle is traded on for thirty minutes
BETWEEN = 2.0  # seconds from one boundary to the next
AHEAD = 8.0  # seconds in which the scheduler plans them


@pytest.fixture(scope="module")
def books(postgres: embedded.EmbeddedServer, template: str) -> Iterator[URL]:
    name = "outage"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def engine(books: URL) -> Iterator[Engine]:
    engine = connect(books)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def room(
    folder: Path, postgres: embedded.EmbeddedServer, books: URL, market: Simulator
) -> Iterator[ServerAndWorker]:
    market.begin()
    place = folder / "outage"
    given = environment(
        place,
        market,
        symbols=SYMBOLS,
        trading__order_type="market",
        candles__settle_seconds=0,
        budgets__account="exchange",
        strategies=[_wanting("long")],
    ) | {"DATABASE_URL": books.render_as_string(hide_password=False)}
    settings = Settings(database={"directory": str(place)})  # type: ignore[arg-type]
    room = ServerAndWorker(place, given, settings, postgres, "prefect_outage")
    room.start()
    yield room
    room.kill()
    postgres.drop_database("prefect_outage")


def _wanting(target: str, name: str = "always") -> dict[str, object]:
    return {
        "name": name,
        "kind": "tests.always:Always",
        "capital": "1000",
        "parameters": {"target": target},
    }


def test_one_run_catches_up_on_two_boundaries_and_nothing_is_bought_late(
    room: ServerAndWorker, market: Simulator, engine: Engine
) -> None:
    first = room.begin()
    wait_until(lambda: room.state_of(first) == "Completed", PATIENCE)
    bought = rows_of(engine, "SELECT symbol, open_time, side FROM orders ORDER BY symbol")
    assert bought == [(symbol, grid.to_time(LAST), "BUY") for symbol in SYMBOLS]

    boundaries = _planned(room)
    room.kill()
    market.leap(START + 2 * STEP)
    market.advance(TOO_OLD)
    newest = START + STEP
    time.sleep(max(0.0, (boundaries[-1] - datetime.now(UTC)).total_seconds()) + 0.2)
    room.start(EIGHTBELLS_STRATEGIES=json.dumps([_wanting("flat"), _wanting("long", "late")]))
    wait_until(lambda: all(run["state"]["type"] == "COMPLETED" for run in room.runs(*boundaries)), PATIENCE)

    stale, worked = room.runs(*boundaries)
    assert (stale["state"]["name"], worked["state"]["name"]) == ("SkippedStale", "Completed")
    served = rows_of(engine, "SELECT open_time, flow_run FROM cycles ORDER BY open_time")
    assert [opened for opened, _ in served] == [grid.to_time(LAST), grid.to_time(newest)]
    assert served[-1][1] == worked["id"]
    for symbol in SYMBOLS:
        assert _stored(engine, symbol) == _served(market, symbol, newest)
    assert one(engine, "SELECT count(*) FROM candle_revisions") == 0
    # on a candle of half an hour ago nothing is bought; who wants out is let out
    assert rows_of(engine, "SELECT strategy, symbol, open_time, stage FROM refusals ORDER BY symbol") == [
        ("late", symbol, grid.to_time(newest), "age") for symbol in SYMBOLS
    ]
    sold = rows_of(engine, "SELECT symbol, open_time FROM orders WHERE side = 'SELL' ORDER BY symbol")
    assert sold == [(symbol, grid.to_time(newest)) for symbol in SYMBOLS]
    assert len(market.orders()) == 2 * len(SYMBOLS)


def test_of_two_runs_at_once_one_waits_for_the_other_and_the_next_candle_is_traded_once(
    room: ServerAndWorker, market: Simulator, engine: Engine
) -> None:
    market.leap(START + 3 * STEP)
    held_up = market.fault("GET /api/v3/klines", {"delay": 4})
    running = room.begin()
    wait_until(lambda: market.fired()[held_up] == 1, PATIENCE)
    waiting = room.begin()
    wait_until(lambda: room.state_of(waiting) == "AwaitingConcurrencySlot", PATIENCE)
    assert room.state_of(running) == "Running"
    wait_until(lambda: room.state_of(waiting) == "Completed", PATIENCE)
    assert room.state_of(running) == "Completed"
    assert room.read(running)["end_time"] <= room.read(waiting)["start_time"]
    bought = rows_of(engine, "SELECT symbol, open_time FROM orders WHERE strategy = 'late' ORDER BY symbol")
    assert bought == [(symbol, grid.to_time(START + 2 * STEP)) for symbol in SYMBOLS]
    assert len(market.orders()) == 3 * len(SYMBOLS)


def _planned(room: ServerAndWorker) -> tuple[datetime, datetime]:
    """Two boundaries that lie ahead and that the server's scheduler has planned runs for."""
    while True:
        now = datetime.now(UTC)
        boundaries = whole_second(now, AHEAD), whole_second(now, AHEAD + BETWEEN)
        room.add_schedules(list(boundaries))
        while datetime.now(UTC) < boundaries[0] - timedelta(seconds=1):
            if len(room.runs(*boundaries)) == len(boundaries):
                return boundaries


def _stored(engine: Engine, symbol: str) -> list[tuple[object, ...]]:
    return rows_of(
        engine,
        "SELECT open_time, open::text, close::text, volume::text FROM candles WHERE symbol = :symbol "
        "ORDER BY open_time",
        symbol=symbol,
    )


def _served(market: Simulator, symbol: str, newest: int) -> list[tuple[object, ...]]:
    """From the window of the first cycle to the newest closed candle."""
    rows = market.klines(symbol, LAST - 4 * STEP, newest)
    return [(grid.to_time(row[0]), row[1], row[4], row[5]) for row in rows]
