"""Compressed weeks of the stream, as `make soak` runs them for thirty days.

An exchange that runs thousands of times as fast closes a candle of every symbol each few seconds, while faults
strike it at random. At the end every candle of every symbol must be stored, equal to the exchange's.
"""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.exchange import START, STEP, running
from tests.stream.fault_injector import FaultInjector
from tests.stream.soaked import Worker, fresh_database, stored, wrong_rows

CLOSES_A_DAY = 6
MOST_MEMORY = 1.10  # of what the process takes after the first day
SETTLE_SECONDS = 60.0  # after the last close, for what a fault has held up


@dataclass
class Result:
    """What a soak has found."""

    expected: int
    missing: int = 0
    wrong: int = 0
    revisions: int = 0
    memory: list[float] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    faults: int = 0
    seconds: float = 0.0

    @property
    def growth(self) -> float:
        return self.memory[-1] / self.memory[0] if self.memory else 0.0

    @property
    def passed(self) -> bool:
        return not (self.missing or self.wrong or self.revisions) and self.growth <= MOST_MEMORY


def soak(symbols: int, days: int, seed: int, close_seconds: float) -> Result:
    """Run it, with a line a day on stdout."""
    begun = time.monotonic()
    result = Result(expected=symbols * days * CLOSES_A_DAY)
    speed = STEP / 1000 / close_seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eightbells-soak-", dir="/tmp")))
        folder.chmod(0o755)
        engine, url = stack.enter_context(fresh_database(folder))
        simulator = stack.enter_context(
            running("--generate", str(symbols), "--no-limits", "--stream-interval", "1")
        )
        simulator.control("settings", rate_limits={"REQUEST_WEIGHT": 100_000_000})
        names = [entry["symbol"] for entry in simulator.ask("/api/v3/exchangeInfo")["symbols"]][:symbols]
        simulator.control("clock", time=START + STEP // 2, speed=0)
        worker = stack.enter_context(Worker(simulator, url, names, speed, folder / "worker.log"))
        worker.wait_connected()
        simulator.control("clock", speed=speed)
        injector = FaultInjector(simulator, random.Random(seed), close_seconds)
        for day in range(1, days + 1):
            injector.until(START + STEP // 2 + day * CLOSES_A_DAY * STEP)
            result.memory.append(worker.memory())
            _tell(day, days, stored(engine), result, injector, worker)
        simulator.control("clock", speed=0)
        injector.mend()
        last = START + (days * CLOSES_A_DAY - 1) * STEP
        deadline = time.monotonic() + SETTLE_SECONDS
        while stored(engine) < result.expected and time.monotonic() < deadline:
            time.sleep(0.5)
        result.facts, result.faults = worker.facts, injector.done
        result.missing = result.expected - stored(engine)
        result.wrong, result.revisions = wrong_rows(simulator, engine, names, START, last)
    result.seconds = time.monotonic() - begun
    return result


def _tell(day: int, days: int, count: int, result: Result, injector: FaultInjector, worker: Worker) -> None:
    facts = worker.facts
    print(
        f"day {day:>2} of {days}: {count:>7,} candles, {result.memory[-1]:>6.1f} MB, {injector.done:>3} faults, "
        f"{facts.get('reconnects', '0'):>3} lost, {facts.get('connections replaced by age', '0'):>2} by age",
        flush=True,
    )


def show(result: Result, seed: int) -> None:
    """The closing table, 80 columns at most."""
    rows = [
        ("seed", seed),
        ("candles expected", f"{result.expected:,}"),
        ("missing", result.missing),
        ("wrong", result.wrong),
        ("restated", result.revisions),
        ("faults", result.faults),
        ("connections lost", result.facts.get("reconnects", "?")),
        ("connections replaced by age", result.facts.get("connections replaced by age", "?")),
        ("over the streams", result.facts.get("candles from streams", "?")),
        (
            "memory",
            f"{result.memory[0]:.1f} MB after a day, {result.memory[-1]:.1f} MB at the end "
            f"({result.growth - 1:+.1%}, at most {MOST_MEMORY - 1:+.0%})",
        ),
        ("took", f"{result.seconds:.0f} s"),
        ("verdict", "passed" if result.passed else "FAILED"),
    ]
    print("\n".join(f"  {name:<20} {value}" for name, value in rows), flush=True)
