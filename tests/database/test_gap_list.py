"""`eightbells gaps`: every slot that was ever missing, a line a stretch, and each by itself for scripts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.candles import gaps
from tests.conftest import Configure
from tests.klines import FIRST, STEP, after
from tests.surroundings import ROOT

LONG = "1000LONGNAMEUSDT"


@pytest.fixture
def known(engine: Engine, database: URL, configure: Configure) -> None:
    """Of one symbol three slots that are absent and one that is open; of another one that is open."""
    configure(database=database)
    with engine.begin() as connection:
        for slots in ([1, 2], [1, 2, 3], [3]):
            gaps.record_asked(connection, LONG, [FIRST + slot * STEP for slot in slots], after(10))
        gaps.record_asked(connection, LONG, [FIRST + 4 * STEP], after(11))
        gaps.record_asked(connection, "BTCUSDT", [FIRST], after(12))


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "gaps", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_consecutive_slots_in_one_state_are_one_line_of_at_most_eighty_columns(known: None) -> None:
    head, *lines, last = told().splitlines()
    assert [line.split()[:5] for line in lines] == [
        [LONG, "2021-03-01", "04:00", "3", "absent"],
        [LONG, "2021-03-01", "16:00", "1", "open"],
        ["BTCUSDT", "2021-03-01", "00:00", "1", "open"],
    ]
    assert last == "2 open, 3 absent"
    assert max(len(line) for line in [head, *lines]) <= 80


def test_scripts_get_every_slot(known: None) -> None:
    found = json.loads(told("--json", "--symbols", LONG.lower(), "--state", "absent"))["gaps"]
    assert [(gap["open_time"], gap["asked"]) for gap in found] == [
        ("2021-03-01T04:00:00+00:00", 2),
        ("2021-03-01T08:00:00+00:00", 2),
        ("2021-03-01T12:00:00+00:00", 2),
    ]
    assert all(gap["settled_at"] for gap in found)


def test_where_nothing_was_missing_that_is_what_it_says(database: URL, configure: Configure) -> None:
    configure(database=database)
    assert "no slot without a candle" in told()
    assert json.loads(told("--json")) == {"gaps": []}
