"""What a person sees in the Prefect UI: names that say symbol and candle, retries as retries, a report of each run."""

from __future__ import annotations

import re
from base64 import b64decode
from decimal import Decimal
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort

from eightbells.candles import grid
from eightbells.exchange.rules import wire
from tests.exchange import LAST, STEP
from tests.flows.conftest import Watch, strategy

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
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )
    return runs[0]


async def test_a_cycle_reports_candles_validation_signals_and_orders(watch: Watch) -> None:
    watch.simulator.control("candles", symbol="ETHUSDT", restate=[{"at": LAST, "trades": -1}])
    await watch.cycle()
    report = await newest_report("cycle-report")
    assert report.startswith(f"# Candle {LABEL} UTC: complete")
    for section in ("## Equity", "## Orders", "## Not traded", "## Positions", "## Signals", "## Validation"):
        assert section in report
    orders = dict(watch.rows("SELECT symbol, client_order_id FROM orders"))
    assert len(orders) == 4
    for symbol, client_order_id in orders.items():
        assert f"| {symbol} | always | long |" in report
        assert client_order_id in report
    assert "| ETHUSDT | 5 | 1 | failed | trades negative (1) |" in report
    assert "| ETHUSDT | always | quality | validation failed: trades negative (1) |" in report


async def test_a_report_shows_what_is_held_what_it_cost_and_what_it_brought(watch: Watch) -> None:
    watch.use(
        symbols=["BTCUSDT", "ETHUSDT"], strategies=[strategy(), strategy("wants_nothing", target="flat")]
    )
    await watch.cycle()
    quantity, cost, close = watch.rows(
        "SELECT f.quantity - f.commission, f.quote_quantity, c.close FROM fills AS f "
        "INNER JOIN candles AS c ON f.symbol = c.symbol WHERE f.symbol = 'BTCUSDT' ORDER BY c.open_time DESC LIMIT 1"
    )[0]
    row = next(
        line
        for line in (await newest_report("cycle-report")).splitlines()
        if line.startswith("| BTCUSDT | always | 0.")
    )
    shown = [cell.strip() for cell in row.split("|")[3:-1]]
    assert shown[0] == wire(quantity)
    assert Decimal(shown[2].replace(",", "")) == (cost / quantity).quantize(Decimal("0.01"))
    assert shown[3:] == [f"{quantity * close - cost:+,.2f}", "+0.00", ""]
    watch.next_candle()
    watch.use(symbols=["BTCUSDT", "ETHUSDT"], strategies=[strategy(target="flat")])
    await watch.cycle(LAST + STEP)
    watch.next_candle()
    await watch.cycle(LAST + 2 * STEP)
    held = [
        it
        for it in watch.one("SELECT positions FROM cycles ORDER BY open_time DESC LIMIT 1")
        if it["symbol"] == "BTCUSDT"
    ]
    realised = Decimal(held[0]["realised"])
    assert realised != 0
    row = next(
        line
        for line in (await newest_report("cycle-report")).splitlines()
        if line.startswith("| BTCUSDT | always | 0")
    )
    assert row.endswith(f"| {realised:+,.2f} |  |"), "no fee was taken in a third asset"


async def test_a_report_has_the_picture_of_the_equity_of_the_cycles_so_far(watch: Watch) -> None:
    for opened in (LAST - 2 * STEP, LAST - STEP, LAST):
        await watch.cycle(opened, trade=False)
    with_picture = re.search(r"data:image/svg\+xml;base64,([^)]+)\)", await newest_report("cycle-report"))
    assert with_picture
    svg = b64decode(with_picture[1]).decode()
    assert grid.label(LAST - 2 * STEP) in svg
    assert grid.label(LAST) in svg
    (line,) = re.findall(r'<polyline points="([^"]+)"', svg)
    assert len(line.split()) == 3


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


async def test_a_backfill_shows_how_far_it_is(watch: Watch) -> None:
    await watch.backfill(["BTCUSDT"], LAST)
    assert float(await newest_report("backfill-progress")) == 100


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
