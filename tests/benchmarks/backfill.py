"""A backfill of many symbols' history, proof included, beside python-binance alone with pandas' to_sql."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import time
from datetime import date

import pandas as pd
from binance import AsyncClient
from sqlalchemy import Engine, text

from tests.benchmarks.surroundings import fresh_database, recorder, simulator
from tests.exchange import Simulator

SYMBOLS, ALONE = 40, 2
TARGET = 60_000
START, END = date(2019, 1, 1), date(2025, 12, 31)
_HISTORY = "2026-01-01T00:00:00Z"


def main() -> None:
    logging.disable(logging.ERROR)
    with (
        recorder(),
        simulator("--generate", str(SYMBOLS), "--clock", _HISTORY) as market,
        fresh_database() as engine,
    ):
        names = [entry["symbol"] for entry in market.ask("/api/v3/exchangeInfo")["symbols"]][:SYMBOLS]
        os.environ["EIGHTBELLS_SYMBOLS"] = json.dumps(names)
        started = time.perf_counter()
        asyncio.run(_backfill())
        seconds = time.perf_counter() - started
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT count(*) FROM candles")).scalar_one()
        alone = asyncio.run(_alone(market, engine, names[:ALONE]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    met = "met" if rows / seconds >= TARGET else "NOT met"
    print(f"backfill: {SYMBOLS} symbols, {rows:,} candles, the simulator on the same machine")
    print(
        f"  proven and stored    {rows / seconds:>8,.0f} candles/s   {seconds:.1f} s, {memory:,.0f} MiB at most"
    )
    print(f"  python-binance alone {alone:>8,.0f} candles/s   {rows / seconds / alone:.1f} times as fast")
    print(f"  target {TARGET:,} candles/s: {met}")


async def _backfill() -> None:
    from flows.backfill import backfill

    await backfill(start=START, end=END)


async def _alone(market: Simulator, engine: Engine, names: list[str]) -> float:
    """Candles a second with the library's own loop over the pages, and pandas' own writing."""
    client = AsyncClient("", "")
    client.API_URL = f"{market.url}/api"
    rows, started = 0, time.perf_counter()
    for name in names:
        klines = await client.get_historical_klines(name, "4h", str(START), str(END))
        frame = pd.DataFrame(klines).assign(symbol=name)
        frame.to_sql("alone", engine, if_exists="append", index=False)
        rows += len(frame)
    seconds = time.perf_counter() - started
    await client.close_connection()
    return rows / seconds


if __name__ == "__main__":
    main()
