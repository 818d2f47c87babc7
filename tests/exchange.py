"""The simulator in a process of its own, and what tests ask of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import requests

from tests.surroundings import ROOT

STEP = 4 * 3600 * 1000
SETTLED = 3_500  # tests begin so long after a close
START = 1_767_225_600_000  # 2026-01-01T00:00Z: the candle of 20:00 has just closed
LAST = START - STEP
SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]  # the generator's first five
KEY = SECRET = "paper"
ACCOUNT = f"{KEY}:{SECRET}:USDT=100000"


class Simulator:
    """A running simulator: its control side, and its API as an account's owner uses it.

    Attributes:
        process: where the test started it.
        session: sends what `get`, `signed` and `order` ask. It keeps its connections.
    """

    def __init__(self, url: str, process: subprocess.Popen[str] | None = None) -> None:
        self.url = url
        self.session = requests.Session()
        self._process = process

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

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

    def advance(self, milliseconds: int) -> int:
        """Move the clock; returns the new time."""
        return int(self.control("clock", advance=milliseconds)["time"])

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

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.url + path, params=params, timeout=10)

    def signed(
        self, method: str, path: str, key: str = KEY, secret: str = SECRET, **params: Any
    ) -> requests.Response:
        params.setdefault("timestamp", self.now)
        text = urlencode(params)
        signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        url = f"{self.url}{path}?{text}&signature={signature}"
        return self.session.request(method, url, headers={"X-MBX-APIKEY": key}, timeout=10)

    def order(self, **params: Any) -> requests.Response:
        """Place an order: a LIMIT GTC buy of 0.01 BTC unless told otherwise; None leaves a parameter out."""
        given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01", **params}
        if given["type"] == "LIMIT":
            given.setdefault("timeInForce", "GTC")
        return self.signed("POST", "/api/v3/order", **{k: v for k, v in given.items() if v is not None})

    def price(self, symbol: str = "BTCUSDT") -> str:
        return str(self.get("/api/v3/ticker/price", symbol=symbol).json()["price"])

    def balance(self, asset: str, account: str = KEY[:4]) -> dict[str, str]:
        """What the account with this short name has of an asset."""
        return dict(self.truth()["balances"][account][asset])


FACTS = ("orders", "fills", "balances")


def start(*arguments: str, env: dict[str, str] | None = None) -> Simulator:
    """Start a simulator on a free port and wait for its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0", "--parent-pid", str(os.getpid()), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("simulator ready http://"):
        stop(process)
        raise AssertionError(f"the simulator did not start: {line!r}")
    return Simulator(line.split()[-1], process)


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """End a simulator; its exit code and what it said on stderr."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    return process.returncode, said


@contextmanager
def running(
    *arguments: str, account: str | None = ACCOUNT, env: dict[str, str] | None = None
) -> Iterator[Simulator]:
    """A simulator for the length of a block, which must end cleanly and have complained of nothing."""
    given = () if account is None else ("--account", account)
    simulator = start(*given, *arguments, env=env)
    try:
        yield simulator
    finally:
        simulator.session.close()
        code, said = stop(simulator.process)
    assert code in (0, -signal.SIGKILL)
    assert "Traceback" not in said, said
