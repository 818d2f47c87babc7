"""The simulator in a process of its own, and what tests ask of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.surroundings import ROOT

STEP = 4 * 3600 * 1000
SETTLED = 3_500  # tests begin so long after a close
START = 1_767_225_600_000  # 2026-01-01T00:00Z: the candle of 20:00 has just closed
LAST = START - STEP
SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]  # the generator's first five
ACCOUNT = "paper:paper:USDT=100000"


class Simulator:
    """A running simulator's control side."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def control(self, what: str, **body: Any) -> Any:
        return self.ask(f"/simulator/{what}", body)

    def begin(self) -> None:
        """As just started: no orders, faults or changed candles, and the clock shortly after a close."""
        self.control("reset")
        self.leap(START)

    def leap(self, close_ms: int) -> None:
        """Set the clock shortly after a close; it goes on at the pace of the world."""
        self.control("clock", time=close_ms + SETTLED, speed=1)

    def advance(self, milliseconds: int) -> None:
        self.control("clock", advance=milliseconds)

    @property
    def now(self) -> int:
        return int(self.ask("/simulator/clock")["time"])

    def truth(self) -> dict[str, Any]:
        """Orders, fills and balances as they are, without the requests that led to them."""
        return {name: value for name, value in self.ask("/simulator/truth").items() if name in FACTS}

    def orders(self) -> list[dict[str, Any]]:
        return list(self.truth()["orders"])

    def requests(self) -> Counter[str]:
        """How often each endpoint was asked, as `GET /api/v3/klines`."""
        return Counter(self.ask("/simulator/truth?log=0")["requests"]["by_endpoint"])

    def klines(self, symbol: str, first: int, last: int = LAST) -> list[list[Any]]:
        query = f"symbol={symbol}&interval=4h&startTime={first}&endTime={last}&limit=1000"
        return list(self.ask(f"/api/v3/klines?{query}"))

    def fault(self, path: str, action: dict[str, Any], **script: Any) -> int:
        """Let a request go wrong, once unless told otherwise; `path` is `POST /api/v3/order` or the like."""
        method, _, place = path.partition(" ")
        match = {"method": method, "path": place, **script.pop("match", {})}
        return int(self.control("faults", match=match, action=action, **{"times": 1, **script})["id"])

    def fired(self) -> dict[int, int]:
        """How often each fault has struck."""
        return {fault["id"]: fault["fired"] for fault in self.ask("/simulator/faults")["faults"]}


FACTS = ("orders", "fills", "balances")


@contextmanager
def running(*arguments: str) -> Iterator[Simulator]:
    """A simulator for the length of a block; it must have complained of nothing."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--parent-pid", str(os.getpid())]
    process = subprocess.Popen(
        [*command, "--account", ACCOUNT, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("simulator ready"), line
        yield Simulator(line.split()[-1])
    finally:
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert "Traceback" not in said, said
