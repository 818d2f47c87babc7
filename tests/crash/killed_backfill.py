"""A backfill in processes of its own that are killed again and again, and how often each slot was asked for."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Engine, text

from tests.exchange import STEP, Simulator
from tests.surroundings import ROOT

_BACKFILL = "import asyncio; from flows.backfill import backfill; asyncio.run(backfill())"
_A_LOOK = 10  # candles: the first one of a symbol, and the newest


@dataclass(frozen=True)
class Outcome:
    """How often the process was killed, and how many slots were fetched once, though it was."""

    kills: int
    fetched_once: int


def killed_backfill(engine: Engine, simulator: Simulator, kills: int, chance: random.Random) -> Outcome:
    """Load all symbols of the settings in processes of their own, all but the last one killed on the way."""
    done = 0
    while done < kills and not _ends_before(engine, chance.uniform(0, 1)):
        done += 1
    assert _start().wait(600) == 0
    return Outcome(done, sum(times == 1 for times in _fetched(simulator).values()))


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _BACKFILL],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ends_before(engine: Engine, seconds: float) -> bool:
    """Start it and kill it so long after it has stored something; whether it ended before that."""
    before, process = _stored(engine), _start()
    while process.poll() is None and _stored(engine) == before:
        time.sleep(0.02)
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def _stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM batches")).scalar_one())


def _fetched(simulator: Simulator) -> Counter[tuple[str, int]]:
    """How often each slot of a symbol was asked for with its page; looks at a few candles are left out."""
    slots: Counter[tuple[str, int]] = Counter()
    for entry in simulator.ask("/simulator/truth?log=100000")["requests"]["log"]:
        if entry["path"].endswith("/klines") and int(entry["limit"] or 0) > _A_LOOK:
            first = int(entry["start"]) // STEP
            slots.update((entry["symbol"], slot) for slot in range(first, first + int(entry["limit"])))
    return slots
