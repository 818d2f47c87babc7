"""A backfill in processes of its own that are killed again and again, and how often each page was asked for.

python -m tests.crash.killed_backfill [--kills N] [--seed S]

An undisturbed backfill of five symbols' full history is run first, then one that is killed at random moments. Both
tables must be equal, and no page may have been asked for more than twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, text

from tests.exchange import Simulator
from tests.surroundings import ROOT

_BACKFILL = "import asyncio; from flows.backfill import backfill; asyncio.run(backfill())"
_A_LOOK = 10  # candles: the first one of a symbol, and the newest
_SYMBOLS = 5
_LATENCY = 0.75  # seconds of each answer, as over the internet: at a kill there are pages under way
_MOST = 2
_TABLE = "SELECT count(*), md5(string_agg(c::text, '' ORDER BY symbol, open_time)) FROM (SELECT {}) AS c"
_STORED = _TABLE.format(
    'symbol, "interval", open_time, close_time, open, high, low, close, volume, quote_volume, trades, '
    "taker_buy_base, taker_buy_quote FROM candles"
)

Page = tuple[str, str, str]


@dataclass(frozen=True)
class Outcome:
    """How often the process was killed, and how often each page was asked for."""

    kills: int
    asked: Counter[Page]

    @property
    def fetched_once(self) -> int:
        """How many pages were asked for once, though the process was killed."""
        return sum(times == 1 for times in self.asked.values())

    @property
    def most(self) -> int:
        """How often the page was asked for that was asked for most often."""
        return max(self.asked.values())


def killed_backfill(engine: Engine, simulator: Simulator, kills: int, chance: random.Random) -> Outcome:
    """Load all symbols of the settings in processes of their own, all but the last one killed on the way."""
    done = 0
    while done < kills and not _ends_before(engine, chance.uniform(0, 1)):
        done += 1
    assert _start().wait(600) == 0
    return Outcome(done, asked_pages(simulator))


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
    return _is_over(process, seconds)


def _is_over(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ends within the time; else it is killed."""
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


def asked_pages(simulator: Simulator) -> Counter[Page]:
    """How often each page of a symbol was asked for; looks at a few candles are left out."""
    return Counter(
        (entry["symbol"], entry["start"], entry["limit"])
        for entry in simulator.ask("/simulator/truth?log=100000")["requests"]["log"]
        if entry["path"].endswith("/klines") and int(entry["limit"] or 0) > _A_LOOK
    )


@contextmanager
def _world() -> Iterator[tuple[Simulator, Engine]]:
    from tests.benchmarks.surroundings import fresh_database, simulator

    generated = ("--generate", str(_SYMBOLS), "--clock", "2026-01-01T00:00:00Z")
    with simulator(*generated) as exchange, fresh_database() as engine:
        exchange.fault("GET /api/v3/klines", {"delay": _LATENCY}, times=10**6)
        yield exchange, engine


def main() -> int:
    from tests.benchmarks.surroundings import recorder
    from tests.exchange import SYMBOLS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--concurrency", type=int, default=2, help="the more, the fewer kills it takes")
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    os.environ["EIGHTBELLS_EXCHANGE__CONCURRENCY"] = str(chosen.concurrency)
    os.environ["EIGHTBELLS_SYMBOLS"] = ",".join(SYMBOLS)
    with recorder():
        with _world() as (_, engine):
            started = time.monotonic()
            assert _start().wait(600) == 0
            length, whole = time.monotonic() - started, _table(engine)
        with _world() as (exchange, engine):
            killed = killed_backfill(engine, exchange, chosen.kills, chance)
            table = _table(engine)
    counts = dict(sorted(Counter(killed.asked.values()).items()))
    print(f"seed {chosen.seed}: killed {killed.kills} times; an undisturbed run takes {length:.1f} s")
    print(f"  pages by how often they were asked for: {counts}")
    print(
        f"  {table[0]:,} candles, {'equal to' if table == whole else 'NOT'} an undisturbed run's {whole[0]:,}"
    )
    return int(table != whole or killed.most > _MOST)


def _table(engine: Engine) -> tuple[int, str]:
    with engine.connect() as connection:
        count, checksum = connection.execute(text(_STORED)).one()
    return int(count), str(checksum)


if __name__ == "__main__":
    sys.exit(main())
