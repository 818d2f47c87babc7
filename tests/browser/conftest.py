"""A person in a browser at the UI of the installation that a module of tests calls `up`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from sqlalchemy import Engine

from eightbells.database.engine import connect
from tests.browser.person import HEIGHT, WIDTH, Person
from tests.control_room.installation import Installation

PICTURES = os.environ.get("PICTURES")  # the folder that is to keep what the tests see
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Without a graphics card each picture of a moving spinner is drawn by the processor, sixty in a second.
MOTIONLESS = """
document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style")
    style.textContent = "*, ::before, ::after { animation: none !important; transition: none !important }"
    document.head.append(style)
})
"""


@pytest.fixture(scope="module")
def books(up: Installation) -> Iterator[Engine]:
    engine = connect(up.database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"this machine has no browser: none of {', '.join(BROWSERS)} is on its path")
    return found


@pytest.fixture(scope="module")
def person(browser: str, up: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    expect.set_options(timeout=30_000)  # machines are slow at times
    pictures = Path(PICTURES or tmp_path_factory.mktemp("pictures"))
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
        window = playwright.chromium.launch(executable_path=browser, args=sandbox)
        page = window.new_page(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC", locale="en-GB")
        page.add_init_script(MOTIONLESS)
        yield Person(page, up.note.prefect_api.removesuffix("/api"), pictures)
        window.close()
