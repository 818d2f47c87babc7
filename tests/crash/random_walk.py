"""Cycle after cycle with faults at a fifth of all requests and kills at random points; in the end the books agree.

python -m tests.crash.random_walk [--cycles N] [--seed S]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import Any

from tests.crash.jobs import Child, Ended
from tests.crash.world import Trial, World, standing

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
_FICKLE = {"kind": "tests.crash.fickle:Fickle", "capital": "3000"}
STRATEGIES = [
    {**_FICKLE, "name": "bold", "stop_loss": "0", "parameters": {"salt": 0}},
    {**_FICKLE, "name": "careful", "stop_loss": "0.02", "parameters": {"salt": 1}},
]
_KILLED = 0.2  # share of the runs
_LAST_POINT = 250  # beyond it a run has usually ended
_CALM = 250  # cycles between two comparisons of exchange and books

_ORDERS = {"method": "POST", "path": "/api/v3/order*"}
_ALL = {"path": "/api/v3/[!t]*"}  # all but the clock and the ticker
# What goes wrong with any request. Each is drawn by itself: together they strike a fifth of all.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"match": _ALL, "probability": 0.03, "action": {"reset": True}},
    {"match": _ALL, "probability": 0.03, "action": {"reset": True}, "when": "after"},
    {"match": _ALL, "probability": 0.03, "action": {"status": 504, "html": True}},
    {"match": _ALL, "probability": 0.03, "action": {"status": 504, "html": True}, "when": "after"},
    {"match": _ALL, "probability": 0.02, "action": {"code": -1001, "msg": "Internal error.", "status": 503}},
    {"match": _ALL, "probability": 0.02, "action": {"code": -1007, "msg": "Timeout."}, "when": "after"},
    {
        "match": _ALL,
        "probability": 0.02,
        "action": {"code": -1021, "msg": "Timestamp for this request is outside."},
    },
    {"match": _ALL, "probability": 0.02, "action": {"truncate": True}, "when": "after"},
    {"match": _ALL, "probability": 0.02, "action": {"html": True}, "when": "after"},
    {"match": _ALL, "probability": 0.01, "action": {"delay": 0.2}},
    {"match": _ORDERS, "probability": 0.03, "action": {"code": -1013, "msg": "Filter failure: LOT_SIZE"}},
    {"match": _ORDERS, "probability": 0.02, "action": {"code": -1015, "msg": "Too many new orders."}},
    {
        "match": _ORDERS,
        "probability": 0.02,
        "action": {"code": -2010, "msg": "Duplicate order sent."},
        "when": "after",
    },
    {"match": {"path": "/api/v3/ticker/*"}, "probability": 0.2, "action": {"reset": True}},
    {"match": {"path": "/api/v3/time"}, "probability": 0.04, "action": {"reset": True}},
)


class Walk:
    """One account's way through many candles."""

    def __init__(self, trial: Trial, seed: int) -> None:
        self._trial, self._chance = trial, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.words: Counter[str] = Counter()

    def step(self) -> None:
        """One candle: the exchange and the settings as chance has them, then runs until one ends well."""
        self._trial.leap()
        self._trial.execute("DELETE FROM budget_grants")
        self._disturb()
        self._settings()
        for _ in range(self._chance.choice((1, 1, 2))):
            self._run("cycle")
        if self._chance.random() < 0.03:
            self._run("halt", action="halt", sell_everything=self._chance.random() < 0.5)
            self._run("halt", action="resume")
        self.counts["cycles"] += 1

    def calm(self) -> list[str]:
        """Without faults and kills: two cycles, after which nothing may differ."""
        self._gather()
        self._trial.simulator.control(
            "settings",
            visibility_ms=0,
            taker_fraction=1,
            fill_parts=1,
            accounts={"paper": {"fees_in_bnb": False}},
        )
        self._trial.change(
            trading__unfilled="renew", trading__order_type="limit", trading__limit_offset="0.002"
        )
        wrongs = []
        for _ in range(2):
            self._trial.leap()
            self._trial.execute("DELETE FROM budget_grants")
            for symbol in SYMBOLS:
                self._trial.hold(self._trial.close(symbol), symbol)
            clear = self._trial.run("halt", action="resume")
            ended = self._trial.run()
            wrongs = [*_errors(clear), *_errors(ended), *(ended.told.problems if ended.told else [])]
        wrongs += self._trial.wrongs()
        for symbol in SYMBOLS:
            self._trial.free(symbol)
        return wrongs

    def _run(self, flow: str, **given: Any) -> None:
        beside = self._chance.random() < 0.2
        other: Child | None = self._trial.start("reconcile") if beside else None
        kill = self._chance.randrange(_LAST_POINT) if self._chance.random() < _KILLED else None
        self._count(flow, self._trial.run(flow, target=kill, **given))
        if other is not None:
            self._count("reconcile", other.wait())

    def _count(self, flow: str, ended: Ended) -> None:
        self.counts[f"{flow} runs"] += 1
        self.counts["kills"] += ended.killed
        for error in _errors(ended):
            self.counts["failed runs"] += 1
            self.words[error[:100]] += 1
            assert not error.startswith("not foreseen"), error

    def _disturb(self) -> None:
        self._gather()
        simulator, chance = self._trial.simulator, self._chance
        simulator.control(
            "settings",
            visibility_ms=chance.choice((0, 0, 500, 3000)),
            taker_fraction=chance.choice(("1", "1", "0.5", "0.1")),
            fill_parts=chance.choice((1, 1, 3)),
            fill_gap_ms=chance.choice((1000, 600_000)),
            accounts={"paper": {"fees_in_bnb": chance.random() < 0.3}},
        )
        for script in _FAULTS:
            simulator.control("faults", **script, seed=chance.randrange(2**31))

    def _gather(self) -> None:
        """Count the faults that have fired, and lift them."""
        self.counts["faults"] += sum(self._trial.simulator.fired().values())
        self._trial.simulator.ask("/simulator/faults", method="DELETE")

    def _settings(self) -> None:
        self._trial.change(
            trading__order_type=self._chance.choice(("limit", "limit", "market")),
            trading__limit_offset=self._chance.choice(("0.002", "0", "-0.003")),
            trading__unfilled=self._chance.choice(("renew", "renew", "cancel", "keep")),
        )


def _errors(ended: Ended) -> list[str]:
    if ended.told is None:
        return [] if ended.killed else [f"died of {ended.exitcode}"]
    return [ended.told.error] if ended.told.error else []


def walk(world: World, cycles: int, seed: int) -> tuple[list[str], Counter[str]]:
    """Walk so many cycles; what is wrong in the end, and what happened on the way."""
    with world.trial(strategies=STRATEGIES, symbols=SYMBOLS) as trial:
        simulator = trial.simulator
        simulator.control("settings", limits=False, rate_limits={"REQUEST_WEIGHT": 10**9})
        simulator.control("settings", accounts={"paper": {"deposit": {"BNB": "100"}}})
        trial.free()
        made, begun, wrongs = Walk(trial, seed), time.monotonic(), []
        for number in range(1, cycles + 1):
            made.step()
            if number % _CALM == 0 or number == cycles:
                wrongs = made.calm()
                _tell(number, time.monotonic() - begun, made.counts, wrongs)
            if wrongs:
                break
        truth = simulator.truth()
        made.counts["requests"] = sum(simulator.requests().values())
        made.counts["orders"], made.counts["fills"] = len(truth["orders"]), len(truth["fills"])
        for words, times in made.words.most_common():
            print(f"{times:6} x {words}")
        return wrongs, made.counts


def _tell(number: int, seconds: float, counts: Counter[str], wrongs: list[str]) -> None:
    print(f"{seconds:6.0f} s  {number:5} cycles  {dict(counts)}", *wrongs, sep="\n    ", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.random_walk", description=__doc__)
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args(arguments)
    print(f"random walk of {chosen.cycles} cycles, seed {chosen.seed}", flush=True)
    with standing() as world:
        wrongs, counts = walk(world, chosen.cycles, chosen.seed)
    print(f"seed {chosen.seed}: {', '.join(f'{many} {what}' for what, many in counts.items())}")
    print("exchange and books agree" if not wrongs else f"{len(wrongs)} differences")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
