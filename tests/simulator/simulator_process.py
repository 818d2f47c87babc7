"""A simulator in a process of its own, and what tests ask of it."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests

ROOT = Path(__file__).parents[2]
KEY, SECRET = "key-of-the-first-account", "secret-of-the-first-account"
OTHER_KEY, OTHER_SECRET = "another-key", "another-secret"
ACCOUNTS = [f"{KEY}:{SECRET}:USDT=100000,BTC=1,BNB=10", f"{OTHER_KEY}:{OTHER_SECRET}:USDT=1000"]
START = 1_767_225_602_000  # 2026-01-01T00:00:02Z, where made-up data ends
H4 = 4 * 3600 * 1000
DAY = 6 * H4


class Simulator:
    """A running simulator, and what tests ask of it."""

    def __init__(self, process: subprocess.Popen[str], url: str):
        self.process = process
        self.url = url
        self.session = requests.Session()

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.url + path, params=params, timeout=10)

    def control(self, name: str, **body: Any) -> Any:
        answer = self.session.post(f"{self.url}/simulator/{name}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def advance(self, milliseconds: int) -> int:
        return int(self.control("clock", advance=milliseconds)["time"])

    def now(self) -> int:
        return int(self.get("/simulator/clock").json()["time"])

    def truth(self, **params: Any) -> Any:
        return self.get("/simulator/truth", **params).json()

    def price(self, symbol: str = "BTCUSDT") -> str:
        return str(self.get("/api/v3/ticker/price", symbol=symbol).json()["price"])

    def signed(
        self, method: str, path: str, key: str = KEY, secret: str = SECRET, **params: Any
    ) -> requests.Response:
        params.setdefault("timestamp", self.now())
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

    def balance(self, asset: str, account: str = KEY[:4]) -> dict[str, str]:
        return dict(self.truth()["balances"][account][asset])

    def fault(self, **script: Any) -> Any:
        return self.control("faults", **script)


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
    return Simulator(process, line.split()[-1])


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """End a simulator; its exit code and what it said on stderr."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    return process.returncode, said


@contextmanager
def running(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Simulator]:
    """A simulator for the length of a block, which must end cleanly and have complained of nothing."""
    simulator = start(*arguments, env=env)
    try:
        yield simulator
    finally:
        simulator.session.close()
        code, said = stop(simulator.process)
    assert code in (0, -signal.SIGKILL)
    assert "Traceback" not in said, said


RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
]


def entry(symbol: str) -> dict[str, Any]:
    """A symbol of exchangeInfo with the filters that every symbol has."""
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000", "stepSize": "0.001"},
        ],
        "permissionSets": [["SPOT"]],
    }


def row(open_time: int, o: str, h: str, lo: str, c: str, close_time: int | None = None) -> str:
    """A line of CSV in Binance's format."""
    close_time = open_time + H4 - 1 if close_time is None else close_time
    return f"{open_time},{o},{h},{lo},{c},12.50000000,{close_time},1250.12345678,40,5.00000000,500.00000000,0"


FIRST = 1_600_000_000_000 - 1_600_000_000_000 % H4
EARLY = FIRST + 1_000_000
FILES_END = FIRST + 4 * H4 + 2000
FILES = {
    "BTCUSDT": [
        row(FIRST, "1.10", "2.000", "1.0000", "1.5"),
        row(FIRST + 3 * H4, "0.00000141", "2", "0.00000140", "2"),
    ],
    "ETHUSDT": [row(FIRST, "5", "7", "4", "6", EARLY), row(FIRST + 3 * H4, "6", "8", "6", "7")],
    "SOLUSDT": [row(FIRST, "1", "2", "1", "2")],
}


def write_data(folder: Path, lines: dict[str, list[str]]) -> None:
    """A data folder with candles by symbol, and an exchangeInfo that also lists ADAUSDT."""
    (folder / "klines-4h").mkdir()
    (folder / "exchange-info").mkdir()
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,trades,tb,tq,ignore"
    for symbol, rows in lines.items():
        text = "\n".join([header, *rows, ""])
        (folder / "klines-4h" / f"{symbol}-4h.csv.gz").write_bytes(gzip.compress(text.encode()))
    info = {"symbols": [entry(symbol) for symbol in [*lines, "ADAUSDT"]], "rateLimits": RATE_LIMITS}
    packed = gzip.compress(json.dumps(info).encode())
    (folder / "exchange-info" / "exchangeInfo-2024-01-01.json.gz").write_bytes(packed)
