"""A backfill killed on its way: the table is that of an undisturbed one, and what was stored is not fetched again."""

from __future__ import annotations

import random

import pytest

from eightbells.candles import grid
from tests.crash.killed_backfill import killed_backfill
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import Watch

KILLS = 3


def test_a_backfill_that_is_killed_leaves_what_an_undisturbed_one_leaves(
    watch: Watch, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    watch.use(symbols=SYMBOLS, exchange__concurrency=2)
    killed = killed_backfill(watch.engine, watch.simulator, KILLS, random.Random(7))
    assert killed.kills >= 1
    assert killed.fetched_once > 0  # what a life has stored
    assert killed.most <= 2  # an answer that came before the kill is not fetched again
    for symbol in SYMBOLS:
        stored = watch.rows(
            "SELECT open_time, open::text, volume::text, trades FROM candles WHERE symbol = :symbol ORDER BY open_time",
            symbol=symbol,
        )
        first = grid.to_ms(stored[0][0])
        served = [
            kline
            for page in range(first, LAST + 1, 1000 * STEP)
            for kline in watch.simulator.klines(symbol, page, min(page + 999 * STEP, LAST))
        ]
        assert stored == [(grid.to_time(it[0]), it[1], it[5], it[8]) for it in served]
