"""What a person does in Prefect's UI, in a browser: load history, run a cycle and read its report, halt and resume.

The tests share one installation and stand in the order of an afternoon. `make pictures` keeps what they see.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import expect
from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine

from eightbells.candles import grid
from eightbells.candles.timeframe import Interval
from orchestration.declared import declared
from tasks.archive import Source
from tests.browser.conftest import PICTURES
from tests.browser.person import Person
from tests.control_room.installation import PATIENCE, Installation, eightbells, standing
from tests.exchange import STEP, Simulator
from tests.klines import one, rows_of
from tests.surroundings import ROOT

SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT"]
LAST_SYMBOL = "XRPUSDT"  # no cycle has traded it when trading is halted: then there is something to refuse
STRATEGIES = [
    {"name": "trend", "kind": "ma_cross", "capital": "10000", "parameters": {"fast": 20, "slow": 100}},
    {"name": "breakout", "kind": "donchian", "capital": "10000", "parameters": {"entry": 55, "exit": 20}},
    {"name": "hold", "kind": "tests.always:Always", "capital": "5000", "symbols": [LAST_SYMBOL, "BNBUSDT"]},
]
WHY = "looking into a strange candle"


@pytest.fixture(scope="module")
def up(folder: Path, market: Simulator) -> Iterator[Installation]:
    market.begin()
    settings = {"symbols": [*SYMBOLS, LAST_SYMBOL], "strategies": STRATEGIES}
    with standing(folder / "up-browsed", market, **settings) as installation:
        yield installation


def as_svg(said: str, title: str, width: int) -> str:
    """A picture of a terminal that has said this; its type is the reader's own."""
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(Text.from_ansi(said))
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)


@pytest.fixture(scope="module")
def past(up: Installation, market: Simulator) -> None:
    """For pictures, ten days of cycles that have been; the tests need none."""
    if not PICTURES:
        return
    subprocess.run(
        [sys.executable, "-m", "tests.browser.past_cycles", market.url, "60", *SYMBOLS],
        cwd=ROOT,
        env=up.given | {"PREFECT_API_URL": up.note.prefect_api},
        timeout=10 * PATIENCE,
        check=True,
    )


def test_every_deployment_is_listed_and_says_what_it_does(person: Person, past: None) -> None:
    for entry in declared():
        person.open_deployment(entry["name"])
        person.describes(entry["description"].replace("`", ""))


def test_a_backfill_is_started_from_its_form_and_reports_what_it_brought(
    person: Person, books: Engine
) -> None:
    person.open_form("backfill")
    person.list_of("symbols", "BTCUSDT", "ETHUSDT")
    person.day("start", "2025-03-01")
    person.day("end", "2025-03-31")
    assert person.choices("interval") == list(get_args(Interval))
    assert person.choices("source") == list(get_args(Source))
    person.picture("backfill-form", height=1310)
    person.submit()
    assert person.follow() == "Completed"
    expect(person.page.get_by_text("BTCUSDT, ETHUSDT from 2025-03-01").first).to_be_visible()
    person.open_artifact("backfill-progress")
    expect(person.page.get_by_text("100%").first).to_be_visible()
    person.page.go_back()
    person.open_artifact("backfill-report")
    assert person.row("symbols") == ["BTCUSDT, ETHUSDT"]
    assert person.row("span") == ["2025-03-01 00:00 to 2025-03-31 20:00 UTC"]
    assert person.row("stored") == ["372"]
    loaded = one(
        books, "SELECT count(*) FROM candles WHERE open_time >= '2025-03-01' AND open_time < '2025-04-01'"
    )
    assert loaded == 372


def test_a_cycle_is_started_from_its_form_and_its_report_is_what_the_books_say(
    person: Person, books: Engine, market: Simulator
) -> None:
    candle = grid.last_closed(market.now)
    person.open_form("four-hour-cycle")
    person.list_of("symbols", *SYMBOLS)
    person.submit()
    assert person.follow() == "Completed"
    person.open_artifact("cycle-report")
    expect(
        person.page.get_by_role("heading", name=f"Candle {grid.label(candle)} UTC: complete")
    ).to_be_visible()
    ((equity, positions),) = rows_of(
        books, "SELECT equity, positions FROM cycles ORDER BY open_time DESC LIMIT 1"
    )
    expect(person.page.get_by_text(f"{equity:,.2f} USDT").first).to_be_visible()
    held = [[it["symbol"], it["strategy"]] for it in positions]
    assert held
    assert sorted(row[:2] for row in person.table("Positions")[:-1]) == sorted(held)
    picture = person.page.get_by_role("img", name="Equity over the last cycles")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 880
    person.picture("equity", height=520)
    person.picture("cycle-report", height=1290)


def test_a_halt_from_its_form_stops_the_next_cycle(person: Person, books: Engine, market: Simulator) -> None:
    person.open_form("halt")
    person.words("reason", WHY)
    person.picture("halt-form")
    person.submit()
    assert person.follow() == "Completed"
    assert rows_of(books, "SELECT is_on, reason FROM switches") == [(False, WHY)]
    before = one(books, "SELECT count(*) FROM orders")
    market.leap(grid.closes_at(grid.last_closed(market.now)) + STEP)
    person.open_form("four-hour-cycle")
    person.submit()
    assert person.follow() == "Completed"
    assert one(books, "SELECT count(*) FROM orders") == before
    refused = rows_of(
        books, "SELECT symbol, strategy, stage, reason FROM refusals ORDER BY open_time DESC, id LIMIT 1"
    )
    person.open_artifact("cycle-report")
    shown = person.table("Not traded")
    assert [LAST_SYMBOL, "hold", "switch", f"trading is switched off: {WHY}"] in shown
    assert list(map(str, refused[0])) in shown
    person.picture("not-traded", heading="Not traded")


def test_trading_is_resumed_from_the_same_form(person: Person, books: Engine) -> None:
    person.open_form("halt")
    person.choice("action", "resume")
    person.words("reason", "the candle is sound")
    person.submit()
    assert person.follow() == "Completed"
    assert rows_of(books, "SELECT is_on, reason FROM switches") == [(True, "the candle is sound")]
    expect(person.page.get_by_text("resume: the candle is sound").first).to_be_visible()
    person.open_deployments()
    person.picture("deployments")


def test_the_terminal_says_what_the_report_says(person: Person, up: Installation, books: Engine) -> None:
    said = eightbells("status", given=up.given | {"COLUMNS": "92", "FORCE_COLOR": "1"}).stdout
    person.keep("status.svg", as_svg(said, "eightbells status", 92))
    plain = Text.from_ansi(said).plain
    (equity,) = rows_of(books, "SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1")[0]
    assert f"{equity:,.2f} USDT" in plain
    for symbol in rows_of(books, "SELECT symbol FROM positions WHERE quantity > 0"):
        assert symbol[0] in plain
