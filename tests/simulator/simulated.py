"""What the simulator's own tests begin with: accounts, a time, and folders of candles."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

from tests import exchange
from tests.exchange import KEY, SECRET

OTHER_KEY, OTHER_SECRET = "another-key", "another-secret"
ACCOUNTS = [f"{KEY}:{SECRET}:USDT=100000,BTC=1,BNB=10", f"{OTHER_KEY}:{OTHER_SECRET}:USDT=1000"]
START = 1_767_225_602_000  # 2026-01-01T00:00:02Z, where made-up data ends
H4 = 4 * 3600 * 1000
DAY = 6 * H4

running = partial(exchange.running, account=None)


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
