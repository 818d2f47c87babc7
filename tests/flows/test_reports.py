"""What a person sees in the Prefect UI: names that say symbol and candle, retries as retries, a report of each run."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort

from eightbells.candles import grid
from tests.exchange import LAST, STEP
from tests.flows.conftest import Watch

LABEL = grid.label(LAST)


async def newest_report(key: str) -> str:
    async with get_client() as client:
        (artifact, *_) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.CREATED_DESC,
            limit=1,
        )
    return str(artifact.data)


async def newest_run(name: str) -> Any:
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])),
            sort=FlowRunSort.START_TIME_DESC, limit=1,
        )  # fmt: skip
    return runs[0]


async def test_a_cycle_reports_candles_validation_signals_and_orders(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="ETHUSDT", restate=[{"at": LAST, "trades": -1}])
    await watch.cycle()
    report = await newest_report("cycle-report")
    assert report.startswith(f"# Candle {LABEL} UTC: complete")
    for section in ("## Ingested", "## Validation", "## Signals", "## Orders", "## Not traded"):
        assert section in report
    orders = dict(watch.rows("SELECT symbol, client_order_id FROM orders"))
    assert len(orders) == 4
    for symbol, client_order_id in orders.items():
        assert f"| {symbol} | always | long |" in report
        assert client_order_id in report
    assert "| ETHUSDT | 5 | 1 | failed | trades negative (1) |" in report
    assert "| ETHUSDT | always | quality | validation failed: trades negative (1) |" in report


async def test_a_cycles_run_bears_the_name_of_its_candle(watch: Watch) -> None:
    await watch.cycle(LAST - 3 * STEP, trade=False)
    run = await newest_run(f"candle {grid.label(LAST - 3 * STEP)}")
    assert run.state is not None
    assert run.state.is_completed()


async def test_a_backfill_reports_what_it_brought(watch: Watch) -> None:
    await watch.backfill(["BTCUSDT", "ETHUSDT"], LAST)
    report = await newest_report("backfill-report")
    assert "| symbols | BTCUSDT, ETHUSDT |" in report
    assert "| stored | 12 |" in report
    run = await newest_run("BTCUSDT, ETHUSDT from 2025-12-31")
    assert run.state.is_completed()


async def test_a_run_that_fails_says_so_in_one_sentence(watch: Watch) -> None:
    try:
        await watch.backfill(["NOSUCHUSDT"], LAST)
    except Exception as error:
        said = str(error)
    run = await newest_run("NOSUCHUSDT from 2025-12-31")
    assert run.state.is_failed()
    assert said in run.state.message


async def test_no_secret_reaches_the_server(watch: Watch) -> None:
    """Neither key nor signature is in what Prefect keeps of a run that the exchange refused."""
    watch.simulator.fault(
        "GET /api/v3/account", {"status": 401, "code": -2015, "msg": "Invalid API-key."}, times=9
    )
    try:
        await watch.cycle()
    except Exception:
        run = await newest_run(f"candle {LABEL}")
    assert "Binance -2015" in run.state.message
    assert "signature" not in run.model_dump_json()
