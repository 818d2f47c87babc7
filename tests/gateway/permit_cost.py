"""What a permit costs, one after the other in one process: `python -m tests.gateway.permit_cost`."""

from __future__ import annotations

import asyncio
import statistics
import time

from sqlalchemy import Engine

from eightbells.exchange.budgets import Budgets
from eightbells.settings import BudgetSettings
from tests.benchmarks.surroundings import fresh_database

PERMITS, MOST_MS = 2000, 2.0


def main() -> None:
    """Print the cost of the permits that an order and a download take; the promise is a median below 2 ms."""
    with fresh_database() as engine:
        for what, budget, weight in (
            ("an order: budget and weight", "orders", 1),
            ("a download: weight alone", "klines", 2),
        ):
            costs = asyncio.run(_take(engine, budget, weight))
            median, slow = statistics.median(costs), sorted(costs)[-len(costs) // 100]
            print(
                f"permit for {what}: median {median:.2f} ms, 99th percentile {slow:.2f} ms, of {len(costs)}"
            )
            assert median < MOST_MS, f"a permit costs {median:.2f} ms, {MOST_MS:g} are promised"


async def _take(engine: Engine, budget: str, weight: int) -> list[float]:
    budgets = Budgets(engine, BudgetSettings(klines="exchange", orders=1_000_000))
    budgets.learn([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 1_000_000}])
    costs = []
    try:
        await budgets.take(budget, weight)  # connects
        for _ in range(PERMITS):
            begun = time.perf_counter()
            await budgets.take(budget, weight)
            costs.append((time.perf_counter() - begun) * 1000)
    finally:
        await budgets.close()
    return costs


if __name__ == "__main__":
    main()
