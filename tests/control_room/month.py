"""Thirty compressed days of `eightbells up`: Prefect's database stays as large as it is, and no process grows.

Everything runs as a user starts it, against an exchange whose clock runs thousands of times as fast; the schedules of
prefect.yaml are compressed with it. At the end of each day every table of Prefect's is counted and every process that
lives on is weighed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
from sqlalchemy import Engine, text

from eightbells.database.engine import connect
from tests import surroundings
from tests.control_room.installation import Installation, command_of, environment
from tests.control_room.scale import CYCLES_A_DAY, DAY_MS, Scale
from tests.exchange import START, STEP, SYMBOLS, Simulator, running
from tests.klines import rows_of
from tests.stream.soaked import stored, wrong_rows

PARTS = {
    "server": "prefect server",
    "worker": "cli serve",
    "stream": "cli stream",
    "metrics": "cli metrics",
}
MOST_MEMORY = 1.15  # of what a process takes in the first days after which nothing new happens
MOST_ROWS = 1.25  # of what a table holds in the first days after which as much is forgotten as is added
FEW = 100  # rows that a table may have more, whatever it has
LEAST_CYCLES = (
    0.9  # share of the cycles that did their work: else the machine was too slow for what was asked
)
JUDGED = 6  # days in which nothing grows; fewer tell nothing


@dataclass
class Day:
    """How it is at the end of a day; sizes in MB."""

    cycles: int
    stale: int
    candles: int
    rows: dict[str, int]
    size: float
    memory: dict[str, float]


@dataclass
class Month:
    """What was found. Memory and rows are judged once the days go beyond those that nothing is forgotten of."""

    scale: Scale
    days: list[Day] = field(default_factory=list)
    missing: int = 0
    wrong: int = 0
    failed: set[str] = field(default_factory=set)
    restarts: dict[str, int] = field(default_factory=dict)
    busy: float = 0.0

    @property
    def settled(self) -> list[Day]:
        """The days on which as much is forgotten as is added."""
        return self.days[max(self.scale.keep_days, self.scale.keep_events) + 1 :]

    def growth(self) -> dict[str, tuple[float, float]]:
        """Memory of each part, first and last: three days' means."""
        early, late = self.settled[:3], self.settled[-3:]
        return {
            part: (mean(day.memory[part] for day in early), mean(day.memory[part] for day in late))
            for part in (*PARTS, "up")
        }

    def swollen(self) -> dict[str, tuple[int, int]]:
        """Tables that hold more in the end than they may: rows, first and last, the most of three days."""
        early, late = self.settled[:3], self.settled[-3:]
        found = {}
        for table in late[-1].rows:
            first, last = (max(day.rows.get(table, 0) for day in days) for days in (early, late))
            if last > first * MOST_ROWS + FEW:
                found[table] = (first, last)
        return found

    def faults(self) -> list[str]:
        """What is not as it should be, in words."""
        found = []
        if (done := sum(day.cycles for day in self.days)) < LEAST_CYCLES * len(self.days) * CYCLES_A_DAY:
            found.append(f"only {done} cycles did their work: give a day more seconds (--day-seconds)")
        if self.missing or self.wrong:
            found.append(f"{self.missing} candles are missing, {self.wrong} are wrong")
        if self.failed:
            found.append(f"runs failed or crashed: {', '.join(sorted(self.failed))}")
        if self.restarts:
            found.append(f"parts ended and were started again: {self.restarts}")
        if len(self.settled) >= JUDGED:
            found += [f"{table} grew from {a} to {b} rows" for table, (a, b) in self.swollen().items()]
            found += [
                f"{part} grew from {a:.0f} to {b:.0f} MB"
                for part, (a, b) in self.growth().items()
                if b > a * MOST_MEMORY
            ]
            first, last = (max(day.size for day in days) for days in (self.settled[:3], self.settled[-3:]))
            if last > first * MOST_ROWS:
                found.append(f"Prefect's database grew from {first:.0f} to {last:.0f} MB")
        return found


def month(days: int, scale: Scale) -> Month:
    """Run it, with a line a day on stdout."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="eightbells-month-", dir="/tmp"))
        )
        folder.chmod(0o755)
        simulator = stack.enter_context(running("--generate", "5", "--no-limits", "--stream-interval", "1"))
        simulator.control("settings", rate_limits={"REQUEST_WEIGHT": 100_000_000}, clock_tolerance_ms=STEP)
        _align(simulator, scale)
        given = environment(folder / "data", simulator, symbols=SYMBOLS, **scale.settings())
        project = scale.project(folder / "project")
        up = Installation(folder / "data", given | scale.environment(), project)
        stack.callback(up.end)
        up.start()
        books, prefect = (connect(up.url_of(name)) for name in ("eightbells", "prefect"))
        stack.callback(books.dispose)
        stack.callback(prefect.dispose)
        _vacuum_often(up)
        result = Month(scale)
        begin = (simulator.now // STEP + 1) * STEP
        psutil.cpu_percent()
        for number in range(1, days + 1):
            _sleep_until(simulator, begin + number * DAY_MS + STEP // 2, scale)
            result.days.append(_look(up, books, prefect, result))
            _tell(number, result.days[-1])
        result.busy = psutil.cpu_percent()
        last = begin + days * DAY_MS - STEP
        result.wrong, restated = wrong_rows(simulator, books, SYMBOLS, begin, last)
        result.wrong += restated
        result.missing = len(SYMBOLS) * days * CYCLES_A_DAY - _stored(books, begin, last)
        result.restarts = {name: count for name, count in up.noted().restarts.items() if count}
    return result


def _align(simulator: Simulator, scale: Scale) -> None:
    """Let candles close when the schedule says that they do."""
    time.sleep(-time.time() % scale.cycle_seconds)
    simulator.control("clock", time=START, speed=scale.speed)


def _vacuum_often(up: Installation) -> None:
    """Postgres cleans up once a minute at most: that were twice a day here."""
    engine = connect(up.url_of("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET autovacuum_naptime = '1s'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


def _sleep_until(simulator: Simulator, moment: int, scale: Scale) -> None:
    while (left := moment - simulator.now) > 0:
        time.sleep(left / 1000 / scale.speed)


def _look(up: Installation, books: Engine, prefect: Engine, result: Month) -> Day:
    memory = {name: _megabytes(up, words) for name, words in PARTS.items()}
    memory["up"] = psutil.Process(up.process.pid).memory_info().rss / 2**20
    result.failed |= {
        f"{name} ({state})"
        for name, state in rows_of(
            prefect,
            "SELECT f.name, r.state_name FROM flow_run AS r INNER JOIN flow AS f ON r.flow_id = f.id "
            "WHERE r.state_type IN ('FAILED', 'CRASHED')",
        )
    }
    states = dict(
        rows_of(
            prefect,
            "SELECT r.state_name, count(*) FROM flow_run AS r INNER JOIN deployment AS d ON r.deployment_id = d.id "
            "WHERE d.name = 'four-hour-cycle' AND r.state_type = 'COMPLETED' "
            f"AND r.end_time > now() - interval '{result.scale.day_seconds} seconds' GROUP BY r.state_name",
        )
    )
    ((size,),) = rows_of(prefect, "SELECT pg_database_size(current_database()) / 1048576.0")
    return Day(
        states.get("Completed", 0),
        states.get("SkippedStale", 0),
        stored(books),
        _rows(prefect) | _files(up),
        float(size),
        memory,
    )


def _megabytes(up: Installation, words: str) -> float:
    """Of a part, 0 while it is started again; the server with what it has started, the worker without its runs."""
    found = 0.0
    for process in up.children():
        if words in command_of(process):
            family = [process, *process.children(recursive=True)] if words == PARTS["server"] else [process]
            found += sum(each.memory_info().rss for each in family) / 2**20
    return found


def _rows(engine: Engine) -> dict[str, int]:
    """Rows of every table."""
    names = [
        name for (name,) in rows_of(engine, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for name in names)
    return dict(rows_of(engine, counts))


def _files(up: Installation) -> dict[str, int]:
    """Files in the folders that Prefect and the locks of runs are kept in: they are bounded like tables."""
    return {
        f"files of {name}": sum(file.is_file() for file in (up.folder / name).rglob("*"))
        for name in ("prefect", "runs", "logs")
    }


def _stored(books: Engine, first: int, last: int) -> int:
    statement = (
        "SELECT count(*) FROM candles WHERE open_time BETWEEN to_timestamp(:first) AND to_timestamp(:last)"
    )
    ((count,),) = rows_of(books, statement, first=first // 1000, last=last // 1000)
    return int(count)


_COLUMNS: dict[str, int] = {
    "day": 3,
    "done": 4,
    "stale": 5,
    "runs": 5,
    "tasks": 6,
    "logs": 6,
    "events": 6,
    "art.": 4,
    "MB": 4,
    "server": 6,
    "worker": 6,
    "stream": 6,
    "metrics": 7,
}


def head(days: int, scale: Scale) -> str:
    """What is run, what of it is scaled and how, and the table's head."""
    lines = [
        f"month: {days} days of {scale.day_seconds} s, {len(SYMBOLS)} symbols; a day has {CYCLES_A_DAY} cycles,",
        f"  {scale.day_seconds // scale.reconcile_seconds} reconciles (144 in truth) and one housekeeping; kept are",
        f"  {scale.keep_days} days of runs (30 as installed) and {scale.keep_events} of events (7); runs beat "
        "every 30 s",
        "  at most, far less often than in truth. By day: cycles done and stale, rows of",
        "  Prefect's tables, its database and the processes in MB",
        "",
        " ".join(f"{name:>{width}}" for name, width in _COLUMNS.items()),
    ]
    return "\n".join(lines)


def _tell(number: int, day: Day) -> None:
    rows = [day.rows[name] for name in ("flow_run", "task_run", "log", "events", "artifact")]
    values: list[Any] = [number, day.cycles, day.stale, *rows, round(day.size)]
    values += [round(day.memory[part]) for part in PARTS]
    print(
        " ".join(f"{value:>{width}}" for value, width in zip(values, _COLUMNS.values(), strict=True)),
        flush=True,
    )


def show(result: Month, seconds: float) -> None:
    """The closing table, 80 columns at most."""
    last, due = result.days[-1], len(result.days) * CYCLES_A_DAY
    done = sum(day.cycles for day in result.days)
    largest = sorted(last.rows.items(), key=lambda row: -row[1])[:4]
    rows = [
        ("cycles", f"{done} of {due} did their work, {sum(day.stale for day in result.days)} were stale"),
        ("candles", f"{last.candles:,} stored, {result.missing} missing, {result.wrong} wrong"),
        ("largest tables", ", ".join(f"{name} {count:,}" for name, count in largest)),
    ]
    if len(result.settled) >= JUDGED:
        rows += [
            (f"memory, {part}", f"{first:.0f} MB, {last:.0f} MB at the end ({last / first - 1:+.1%})")
            for part, (first, last) in result.growth().items()
        ]
    else:
        rows.append(("growth", "too few days to judge it"))
    rows += [("machine", f"{result.busy:.0f} % busy"), ("took", f"{seconds:.0f} s")]
    rows += [("fault", fault) for fault in result.faults()]
    rows.append(("verdict", "FAILED" if result.faults() else "passed"))
    print("\n" + "\n".join(f"  {name:<16} {value}" for name, value in rows), flush=True)


def main(days: int, scale: Scale) -> int:
    """Run and show it; 0 where all is well."""
    surroundings.forget_the_developer()
    kept = surroundings.make_folder()  # one certificate instead of all
    try:
        begun = time.monotonic()
        print(head(days, scale), flush=True)
        result = month(days, scale)
        show(result, time.monotonic() - begun)
    finally:
        shutil.rmtree(kept, ignore_errors=True)
    return 1 if result.faults() else 0
