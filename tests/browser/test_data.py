"""What a person sees of the data in a browser: a load under way, the Data Docs, the coverage map, the quarantine.

The tests share one installation and stand in the order of a day on which the exchange serves a bad row.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from cli.processes import free_port
from eightbells.candles import grid
from tests.browser.person import Person
from tests.control_room.installation import PATIENCE, Installation, standing
from tests.exchange import Simulator
from tests.klines import one, rows_of

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
BAD = grid.to_ms(datetime(2025, 3, 10, 4, tzinfo=UTC))
ABSENT = grid.to_ms(datetime(2025, 6, 2, 8, tzinfo=UTC))
PACE = re.compile(r"[\d,]+ of [\d,]+ candles, [\d,]+ a second, [\d,]+ (s|min) left")
WHY = "the exchange has served a low above all prices"


@pytest.fixture(scope="module")
def up(folder: Path, market: Simulator) -> Iterator[Installation]:
    market.begin()
    market.control("candles", symbol="BTCUSDT", restate=[{"at": BAD, "low": "999999999"}])
    market.control("candles", symbol="ETHUSDT", remove=[ABSENT])
    try:
        with standing(
            folder / "up-browsed-data", market, symbols=SYMBOLS, strategies=[], metrics__port=free_port()
        ) as it:
            yield it
    finally:
        for symbol in SYMBOLS:
            market.control("candles", symbol=symbol, reset=True)


def _progress(up: Installation, run: str) -> dict[str, Any]:
    """The progress artifact of a run, once a fifth is loaded."""
    chosen = {
        "artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["backfill-progress"]}},
        "limit": 1,
    }
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for found in up.ask("/artifacts/filter", chosen):
            if PACE.search(found["description"] or "") and float(found["data"]) >= 20:
                return dict(found)
        time.sleep(0.3)
    raise AssertionError("no rate was shown")


def test_a_load_under_way_shows_its_rate_and_the_time_left(
    person: Person, up: Installation, market: Simulator, books: Engine
) -> None:
    person.open_form("backfill")
    person.list_of("symbols", *SYMBOLS)
    person.day("start", "2021-01-01")
    slow = market.fault("GET /api/v3/klines", {"delay": 6}, times=1000)
    run = person.submit()
    artifact = _progress(up, run)
    assert float(artifact["data"]) < 100
    person.open_artifact_itself(artifact["id"])
    expect(person.page.get_by_text(PACE).first).to_be_visible()
    person.picture("backfill-progress", height=520)
    market.ask(f"/simulator/faults?id={slow}", method="DELETE")
    person.open_run(run)
    assert person.follow() == "Completed"
    assert one(books, "SELECT count(*) FROM quarantine WHERE state = 'open'") == 1


def test_the_link_of_the_run_opens_the_data_docs(person: Person) -> None:
    person.open_artifact("data-docs")
    said = list[str]()
    person.page.on("console", lambda message: said.append(message.text))
    link = person.page.get_by_role("link", name="Data Docs", exact=True)
    person.page.goto(str(link.get_attribute("href")))
    expect(person.page.get_by_role("heading", name="Data Docs")).to_be_visible()
    rows = person.page.get_by_role("row").filter(has=person.page.locator(".failed"))
    expect(rows.first).to_contain_text("reject")
    rows.filter(has_text="reject").first.get_by_role("link").click()
    expect(person.page.get_by_text("BTCUSDT 2025-03-10 04:00: low above open")).to_be_visible()
    expect(person.page.get_by_text("1 unexpected values found").first).to_be_visible()
    person.picture("data-docs", height=860)
    assert said == []
    person.page.get_by_role("link", name="All validations").click()
    expect(person.page.get_by_role("heading", name="Data Docs")).to_be_visible()


def test_the_coverage_map_has_a_row_per_symbol_and_year(person: Person, market: Simulator) -> None:
    person.home()
    person.open_form("backfill")  # asked a second time, what the exchange lacks is absent
    person.list_of("symbols", *SYMBOLS)
    person.submit()
    assert person.follow() == "Completed"
    person.open_form("certify")
    person.submit()
    assert person.follow() == "Completed"
    person.open_artifact("coverage")
    expect(person.page.get_by_role("heading", name="Coverage", exact=True)).to_be_visible()
    rows = {(row[0], row[1]): row[2:] for row in person.table("Coverage")}
    assert {symbol for symbol, _ in rows} == set(SYMBOLS)
    assert {year for _, year in rows} >= {"2021", "2022", "2023", "2024", "2025"}
    bitcoin, ether = rows["BTCUSDT", "2025"], rows["ETHUSDT", "2025"]
    assert (bitcoin[2], bitcoin[-1]) == ("✗ 99", "1")  # March: a row in quarantine
    assert (ether[5], ether[-1]) == ("99", "1")  # June: the exchange has no such candle
    assert rows["BTCUSDT", "2024"] == ["✓"] * 12 + [""]
    table = person.page.get_by_role("table").first
    assert table.evaluate("it => it.scrollWidth <= it.parentElement.clientWidth")  # all months are in sight
    person.picture("coverage", height=960)


def test_a_row_in_quarantine_is_dismissed_from_the_form(person: Person, books: Engine) -> None:
    ((number,),) = rows_of(books, "SELECT id FROM quarantine WHERE state = 'open'")
    person.open_form("quarantine")
    assert person.choices("action") == ["release", "dismiss"]
    person.choice("action", "dismiss")
    person.numbers("numbers", number)
    person.words("reason", WHY)
    person.picture("quarantine-form", height=900)
    person.submit()
    assert person.follow() == "Completed"
    expect(person.page.get_by_text(f"dismiss: {WHY}").first).to_be_visible()
    assert rows_of(books, "SELECT state, why FROM quarantine") == [("dismissed", WHY)]
