"""The spool: what a process fetched and did not store is there for the next one, and for nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from eightbells.candles.timeframe import TIMEFRAMES
from eightbells.exchange.history import Page
from eightbells.exchange.spool import Spool
from tests.surroundings import ROOT

HOURS = TIMEFRAMES["1h"]
ANSWERED, UNANSWERED, STORED = (Page("BTCUSDT", first, first + 10, HOURS) for first in (0, 100, 200))
ROWS: list[Any] = [[0, "1.10", None]]
_KILLED = """
import os, signal, sys
from pathlib import Path
from eightbells.exchange.spool import Spool
from tests.unit.test_spool import ANSWERED, ROWS, STORED, UNANSWERED
spool = Spool(Path(sys.argv[1]))
for page in (ANSWERED, UNANSWERED, STORED):
    spool.asked(page)
for page in (ANSWERED, STORED):
    spool.answered(page, ROWS)
spool.done([STORED])
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path) -> None:
    """A process that is killed with one page answered, one not, and one stored."""
    assert (
        subprocess.run([sys.executable, "-c", _KILLED, str(folder)], cwd=ROOT, check=False).returncode == -9
    )


def test_what_a_killed_process_fetched_is_taken_over_and_what_it_asked_for_is_doubtful(
    tmp_path: Path,
) -> None:
    killed(tmp_path)
    spool = Spool(tmp_path)
    assert spool.adopt(["BTCUSDT"], HOURS) == [ANSWERED]
    assert spool.rows(ANSWERED) == ROWS
    assert spool.doubtful == {UNANSWERED}
    assert UNANSWERED not in spool
    assert STORED not in spool
    spool.close()


def test_what_is_not_stored_is_left_to_the_next_one_and_nothing_else(tmp_path: Path) -> None:
    killed(tmp_path)
    first = Spool(tmp_path)
    first.adopt(["BTCUSDT"], HOURS)
    first.close()
    second = Spool(tmp_path)
    assert second.adopt(["BTCUSDT"], HOURS) == [ANSWERED]
    second.failed(UNANSWERED)
    second.done([ANSWERED])
    second.close()
    assert not tmp_path.exists()


def test_other_symbols_and_intervals_stay_where_they_are(tmp_path: Path) -> None:
    killed(tmp_path)
    spool = Spool(tmp_path)
    assert spool.adopt(["ETHUSDT"], HOURS) == spool.adopt(["BTCUSDT"], TIMEFRAMES["4h"]) == []
    assert spool.adopt(["BTCUSDT"], HOURS) == [ANSWERED]
    spool.close()


def test_a_process_that_lives_keeps_its_own(tmp_path: Path) -> None:
    living, other = Spool(tmp_path), Spool(tmp_path)
    living.answered(ANSWERED, ROWS)
    assert other.adopt(["BTCUSDT"], HOURS) == []
    other.close()
    assert living.rows(ANSWERED) == ROWS
    living.close()


def test_what_is_old_or_torn_is_fetched_again(tmp_path: Path) -> None:
    killed(tmp_path)
    (file,) = tmp_path.glob("*/*.rows")
    os.utime(file, (0, 0))
    spool = Spool(tmp_path)
    assert spool.adopt(["BTCUSDT"], HOURS) == []
    spool.answered(ANSWERED, ROWS)
    (file,) = tmp_path.glob("*/*.rows")
    file.write_bytes(b"[[0, ")
    assert spool.rows(ANSWERED) is None
    assert ANSWERED not in spool
    spool.close()


def test_a_doubt_outlives_another_kill_and_ends_after_an_hour(tmp_path: Path) -> None:
    killed(tmp_path)
    (asked,) = tmp_path.glob("*/asked")
    with asked.open("a") as torn:
        torn.write("+ 17")
    others, second, third = Spool(tmp_path), Spool(tmp_path), Spool(tmp_path)
    others.adopt(["ETHUSDT"], HOURS)
    second.adopt(["BTCUSDT"], HOURS)
    second.close()
    third.adopt(["BTCUSDT"], HOURS)
    assert third.doubtful == {UNANSWERED}
    third.close()
    (asked,) = (it for it in tmp_path.glob("*/asked") if it.stat().st_size)
    sign, moment, name = asked.read_text().splitlines()[-1].split()
    asked.write_text(f"{sign} {int(moment) - 3601} {name}\n")
    last = Spool(tmp_path)
    last.adopt(["BTCUSDT"], HOURS)
    assert last.doubtful == set()
    last.close()
    others.close()


def test_without_a_place_for_files_there_is_no_spool(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "below")
    spool.asked(ANSWERED)
    spool.answered(ANSWERED, ROWS)
    assert spool.adopt(["BTCUSDT"], HOURS) == []
    assert ANSWERED not in spool
    spool.close()
