"""The report of a backtest in a browser: drawn from the one file alone, and within the window."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from eightbells.backtest.engine import run
from eightbells.backtest.history import read_folder
from eightbells.backtest.report import write
from tests.backtest.past import given, walk

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
STRATEGIES = [
    {"name": "trend", "kind": "ma_cross", "capital": "10000", "stop_loss": "0.08"},
    {"name": "breakout", "kind": "donchian", "capital": "10000", "stop_loss": "0.05"},
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on real klines where there are any, else on random walks."""
    place = os.environ.get("EIGHTBELLS_MARKET_DATA")
    first = 1_672_531_200_000 if place else 0
    histories = (
        read_folder(Path(place), SYMBOLS)
        if place
        else [walk(seed, 2500, symbol) for seed, symbol in enumerate(SYMBOLS)]
    )
    fees = {"taker_fee": "0.001", "maker_fee": "0.001", "slippage": "0.0005"}
    result = run(given(STRATEGIES, symbols=SYMBOLS, backtest=fees), histories, first, 2**42)
    result.notes.append("a side costs < 0.2 %: a fee of 0.1 % & slippage of 0.05 %")
    path = tmp_path_factory.mktemp("report") / "report.html"
    write(path, result, histories)
    return path


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Page]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"this machine has no browser: none of {', '.join(BROWSERS)} is on its path")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
        window = playwright.chromium.launch(executable_path=browser, args=sandbox)
        page = window.new_page(viewport={"width": 1280, "height": 1000})
        page.asked, page.said = [], []  # type: ignore[attr-defined]
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(report.as_uri())
        page.wait_for_selector("#candles .main-svg")
        page.wait_for_selector("#equity .main-svg")
        yield page
        window.close()


def test_it_needs_nothing_but_itself_and_says_no_error(page: Page, report: Path) -> None:
    assert page.asked == [report.as_uri()]
    assert page.said == []
    assert report.read_text().count("plotly.js v") >= 1
    assert report.stat().st_size < 12_000_000


def test_all_of_it_is_drawn(page: Page) -> None:
    assert page.locator("#equity .scatterlayer .trace").count() == 3
    for name in ("entry", "exit", "stop"):
        assert page.locator("#candles .legendtext", has_text=re.compile(f"^{name}$")).count() == 1
    assert page.locator("#candles .scatterlayer .point").count() > 10
    assert page.locator("#months tr").count() > 1
    for words in (
        "Sharpe",
        "Sortino",
        "Calmar",
        "worst day",
        "buy and hold",
        "a side costs < 0.2 %: a fee of 0.1 % & slippage of 0.05 %",
    ):
        assert page.get_by_text(words).first.is_visible(), words
    assert page.get_by_text(re.compile("the stop was reached")).count() > 0


def test_another_symbol_is_chosen_from_the_list(page: Page) -> None:
    before = page.locator("#candles .scatterlayer .point").count()
    page.locator("#candles .updatemenu-header").click()
    page.locator("#candles .updatemenu-dropdown-button", has_text="ETHUSDT").click()
    page.wait_for_function(
        "before => document.querySelector('#candles .legendtext').textContent == 'ETHUSDT'", arg=before
    )
    page.locator("#candles .updatemenu-header").click()
    page.locator("#candles .updatemenu-dropdown-button", has_text="BTCUSDT").click()


@pytest.mark.parametrize("width", [1280, 720, 390])
def test_it_fits_the_window(page: Page, width: int, tmp_path: Path) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.locator(".js-plotly-plot")
    for at in range(charts.count()):
        box = charts.nth(at).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
        assert box["height"] > 300
    page.evaluate("window.scrollTo(0, 0)")
    pictures = os.environ.get("PICTURES")
    file = Path(pictures) / "backtest-report.png" if pictures and width == 1280 else tmp_path / "shot.png"
    page.screenshot(path=file)
    assert file.stat().st_size > 20_000  # a page without charts is smaller
