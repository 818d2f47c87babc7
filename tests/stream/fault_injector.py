"""Faults at random moments, the same for a seed: of connections, of frames, of REST, and of all at once."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.exchange import STEP, Simulator

STREAM = {"channel": "stream"}
CONNECTION = ("close", "reset", "half_open", "silent", "server_shutdown")
FRAME = ("duplicate", "out_of_order", "missing", "missing_close", "garbage")
REFUSALS = (403, 429, 503)
_PAUSE = (3.0, 9.0)  # candles between two faults: about one a day
_LASTS = (0.2, 1.5)  # candles that a fault with a duration lasts


class FaultInjector:
    """Does harm until a moment of the exchange's clock."""

    def __init__(self, simulator: Simulator, chance: random.Random, close_seconds: float) -> None:
        self._simulator, self._chance, self._close_seconds = simulator, chance, close_seconds
        self.done = 0
        self._next = self._later()

    def until(self, moment: int) -> None:
        while (left := (moment - self._simulator.now) / STEP * self._close_seconds) > 0:
            time.sleep(min(max(self._next - time.monotonic(), 0.0), left))
            if time.monotonic() >= self._next:
                self._strike()
                self._next = self._later()

    def _later(self) -> float:
        return time.monotonic() + self._chance.uniform(*_PAUSE) * self._close_seconds

    def mend(self) -> None:
        self._simulator.ask("/simulator/faults", None, "DELETE")

    def _strike(self) -> None:
        """One fault, or the exchange as a whole; what lasted from the last one is over."""
        self.mend()
        self.done += 1
        seconds = self._chance.uniform(*_LASTS) * self._close_seconds
        kind = self._chance.choice(("connection", "connection", "frame", "frame", "refusal", "rest", "all"))
        if kind == "connection":
            self._add({"stream": self._chance.choice(CONNECTION)})
        elif kind == "frame":
            action = {"stream": self._chance.choice(FRAME)}
            self._add(action, seconds=seconds, probability=0.3, seed=self._chance.randrange(10**6))
        if kind in ("rest", "all"):
            self._add({"status": 503}, {"path": "/api/*"}, seconds=seconds)
        if kind in ("refusal", "all"):
            self._add({"stream": "refuse", "status": self._chance.choice(REFUSALS)}, seconds=seconds)
            self._add({"stream": self._chance.choice(("close", "reset"))})

    def _add(self, action: dict[str, Any], match: dict[str, str] | None = None, **choice: Any) -> None:
        self._simulator.control("faults", match=match or STREAM, action=action, **choice)
