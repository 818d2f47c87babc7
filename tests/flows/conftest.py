"""A Prefect server for all flow tests, and a watch: real flows, a real Postgres, and the exchange they trade on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.candles import grid
from eightbells.settings import Settings
from tests.conftest import Configure
from tests.exchange import LAST, STEP, SYMBOLS, Simulator
from tests.klines import counts, one, rows_of

# what a run may leave behind though it found all its work done
FLEETING = frozenset(
    {
        "order_looks",
        "balance_looks",
        "budget_grants",
        "budgets",
        "metric_totals",
        "mode",
        "quote",
        "alembic_version",
    }
)
WINDOW = 5


def strategy(name: str = "always", **changed: Any) -> dict[str, Any]:
    """A `[[strategies]]` entry that wants to be long, whatever the candles say."""
    parameters = {"target": changed.pop("target", "long"), "window": changed.pop("window", WINDOW)}
    entry = {"name": name, "kind": "tests.always:Always", "capital": "10000", "parameters": parameters}
    return {**entry, **changed}


@dataclass
class Watch:
    """The flows as a user has set them up, and both sides of what they do."""

    simulator: Simulator
    engine: Engine
    database: URL
    configure: Configure

    def use(self, **settings: Any) -> Settings:
        """Change settings, by the names of their variables without the prefix."""
        return self.configure(**settings)

    async def cycle(self, opened: int = LAST, **parameters: Any) -> Any:
        from flows.four_hour_cycle import four_hour_cycle

        return await four_hour_cycle(candle=grid.to_time(opened), **parameters)

    async def backfill(
        self, symbols: list[str] | None = None, first: int = 0, last: int = LAST, quote: str | None = None
    ) -> Any:
        """Load candles; `first` and `last` are times within the first and the last day."""
        from flows.backfill import backfill

        days = [grid.to_time(moment).date() if moment else None for moment in (first, last)]
        return await backfill(symbols=symbols, quote=quote, start=days[0], end=days[1])

    def next_candle(self) -> int:
        """Let the next candle close; returns its open time."""
        opened = grid.last_closed(self.simulator.now) + STEP
        self.simulator.leap(opened + STEP)
        return opened

    def state(self) -> dict[str, Any]:
        """Both sides as they stand: rows of every lasting table, and orders, fills and balances at the exchange."""
        return {"books": counts(self.engine, without=FLEETING), "exchange": self.simulator.truth()}

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return rows_of(self.engine, statement, **values)

    def one(self, statement: str, **values: Any) -> Any:
        return one(self.engine, statement, **values)

    def incomplete(self) -> list[str]:
        """Symbols of which the stored history is not what the exchange serves from its first candle on."""
        return [symbol for symbol in SYMBOLS if self._stored(symbol) != self._served(symbol)]

    def _stored(self, symbol: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT open_time, open::text, volume::text, trades FROM candles WHERE symbol = :symbol ORDER BY open_time",
            symbol=symbol,
        )

    def _served(self, symbol: str) -> list[tuple[Any, ...]]:
        ((first, *_),) = self.simulator.get(
            "/api/v3/klines", symbol=symbol, interval="4h", startTime=0, limit=1
        ).json()
        pages = range(first, LAST + 1, 1000 * STEP)
        klines = [
            it for page in pages for it in self.simulator.klines(symbol, page, min(page + 999 * STEP, LAST))
        ]
        return [(grid.to_time(it[0]), it[1], it[5], it[8]) for it in klines]

    def orders(self) -> list[tuple[Any, ...]]:
        """Symbol, side and state of every order in the books, by symbol."""
        return self.rows("SELECT symbol, side, state FROM orders ORDER BY symbol, id")

    def refusals(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT symbol, stage, reason FROM refusals ORDER BY id")

    def differences(self) -> list[str]:
        """What the exchange's truth and the books do not agree on."""
        from cli.comparison import compare

        return compare(self.simulator.truth(), self.engine)[0]


@pytest.fixture
def watch(
    prefect_server: str, simulator: Simulator, engine: Engine, database: URL, configure: Configure
) -> Watch:
    """A watch on five made-up symbols with one strategy that buys all of them at market."""
    assert prefect_server
    watch = Watch(simulator, engine, database, configure)
    configure(
        simulator,
        database,
        symbols=SYMBOLS,
        budgets__klines="exchange",
        budgets__account="exchange",
        budgets__orders="exchange",
        candles__settle_seconds="0",
        trading__order_type="market",
        strategies=[strategy()],
    )
    return watch


@pytest.fixture(autouse=True, scope="module")
def collect_garbage() -> Iterator[None]:
    """Nothing that Prefect leaves behind is found, and complained of, in another module's tests."""
    yield
    gc.collect()
