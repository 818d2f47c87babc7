"""A backfill killed on its way: the table is that of an undisturbed one, and what was stored is not fetched again."""

from __future__ import annotations

import random

import pytest

from tests.crash.killed_backfill import killed_backfill
from tests.exchange import SYMBOLS
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
    assert watch.incomplete() == []
