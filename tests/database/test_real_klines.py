"""Real history, with its outages and odd close times, passes the gate whole and is stored to the last digit."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from eightbells.candles import gaps, grid
from eightbells.candles.frame import candle_frame
from eightbells.quality.gate import admit
from tests.klines import STEP, one, rows_of

INTEGERS = (0, 6, 8)


def read(file: Path) -> list[list[Any]]:
    """The rows of a CSV file as Binance's REST answer would list them."""
    with gzip.open(file, "rt") as lines:
        rows: list[list[Any]] = list(csv.reader(lines))[1:]
    for row in rows:
        if not row[0].isdigit():  # a downloader's own way of writing the open time
            row[0] = grid.to_ms(datetime.fromisoformat(row[0] + "Z"))
        for column in INTEGERS:
            row[column] = int(row[column])
    return rows


def test_real_history_is_stored_whole_and_exactly(engine: Engine, market_data: Path) -> None:
    history = {
        file.name.removesuffix("-4h.csv.gz"): read(file)
        for file in sorted((market_data / "klines-4h").glob("*-4h.csv.gz"))
    }
    now = max(rows[-1][0] for rows in history.values()) + STEP + 2000
    frames = [candle_frame(symbol, rows) for symbol, rows in history.items()]
    admission = admit(engine, frames, "rest", now)

    closed = {symbol: [row for row in rows if row[0] + STEP <= now] for symbol, rows in history.items()}
    assert rows_of(engine, "SELECT raw, reasons FROM quarantined_candles") == []
    assert admission.inserted == sum(map(len, closed.values())) == 86_697
    for column, index in (("volume", 5), ("quote_volume", 7), ("taker_buy_base", 9), ("trades", 8)):
        for symbol, rows in closed.items():
            stored = one(engine, f"SELECT sum({column}) FROM candles WHERE symbol = :symbol", symbol=symbol)
            assert stored == sum(Decimal(row[index]) for row in rows), (symbol, column)
    assert slots_that_never_were(engine, closed) == {
        "BNBUSDT": 16,
        "BTCUSDT": 16,
        "ETHUSDT": 16,
        "SOLUSDT": 0,
        "XRPUSDT": 9,
    }


def slots_that_never_were(engine: Engine, history: dict[str, list[list[Any]]]) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            symbol: len(gaps.missing(connection, [symbol], rows[0][0], rows[-1][0])[symbol])
            for symbol, rows in history.items()
        }


def test_a_careless_download_is_sorted_into_good_and_bad(engine: Engine, market_data: Path) -> None:
    """Of a candle that stands there in two versions neither is taken for a fact, nor is one that closes in the next
    slot; every other one is stored."""
    rows = read(market_data / "klines-4h-dirty" / "BTCUSDT-4h-as-served-2021-01.csv.gz")
    versions: dict[int, set[tuple[Any, ...]]] = {}
    for row in rows:
        versions.setdefault(row[0], set()).add(tuple(row[:11]))
    unfinished = max(versions)
    admission = admit(engine, [candle_frame("BTCUSDT", rows)], "archive", unfinished + STEP // 2)

    doubtful = {opened for opened, found in versions.items() if len(found) > 1}
    stored = {grid.to_ms(opened) for (opened,) in rows_of(engine, "SELECT open_time FROM candles")}
    refused = {
        grid.to_ms(opened) for (opened,) in rows_of(engine, "SELECT open_time FROM quarantined_candles")
    }
    late = {row[0] for row in rows if row[6] >= row[0] + STEP}
    assert refused == doubtful | late
    assert (len(doubtful), len(late - doubtful)) == (9, 1)
    assert stored == versions.keys() - doubtful - late - {unfinished}
    assert not admission.verdicts["BTCUSDT"].success
