"""What flows count: a cycle its stages, with the waits of their retries, and each decision once."""

from __future__ import annotations

import time

from eightbells import metrics
from eightbells.metrics.counted import STAGES
from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch

STAGE = "eightbells_cycle_stage_duration_seconds"


def counted(name: str, **labels: str) -> float:
    return metrics.COUNTED.get_sample_value(name, labels) or 0.0


def stages(what: str) -> dict[str, float]:
    return {name: counted(f"{STAGE}_{what}", stage=name) for name in STAGES}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - value for name, value in before.items()}


async def test_a_cycle_counts_each_stage_once_and_each_second_in_one_of_them(watch: Watch) -> None:
    times, seconds, started = stages("count"), stages("sum"), time.monotonic()
    await watch.cycle()
    took = time.monotonic() - started
    assert grown(times, stages("count")) == dict.fromkeys(STAGES, 1)
    spent = grown(seconds, stages("sum"))
    assert all(value > 0 for value in spent.values())
    assert sum(spent.values()) < took


async def test_the_wait_of_a_retry_belongs_to_its_stage(watch: Watch) -> None:
    watch.use(errors={"-1008": {"delay": 1.5, "attempts": 3}})
    watch.simulator.fault("GET /api/v3/exchangeInfo", {"status": 503, "code": -1008, "msg": "busy"})
    times, seconds = stages("count"), stages("sum")
    await watch.cycle()
    assert grown(times, stages("count"))["rules"] == 1
    assert grown(seconds, stages("sum"))["rules"] >= 1.5


async def test_a_backfill_is_no_cycle(watch: Watch) -> None:
    times = stages("count")
    assert (await watch.backfill(["BTCUSDT"])).inserted > 0
    assert stages("count") == times


async def test_a_decision_that_stands_already_is_no_new_signal(watch: Watch) -> None:
    before = counted("eightbells_signals_total", target="long")
    await watch.cycle()
    await watch.cycle()
    assert counted("eightbells_signals_total", target="long") - before == len(SYMBOLS)


async def test_a_request_is_timed_whether_it_is_answered_or_fails(watch: Watch) -> None:
    name = "binance_api_request_duration_seconds"
    watch.use(errors={"-1001": {"delay": 0, "attempts": 3}})
    watch.simulator.fault(
        "GET /api/v3/exchangeInfo", {"delay": 0.6, "status": 500, "code": -1001, "msg": "internal"}
    )
    before = {what: counted(f"{name}_{what}", endpoint="exchangeInfo") for what in ("count", "sum")}
    await watch.cycle()
    assert counted(f"{name}_count", endpoint="exchangeInfo") - before["count"] == 2
    assert counted(f"{name}_sum", endpoint="exchangeInfo") - before["sum"] >= 0.6
