"""A backtest from the Prefect UI: its form, its figures as an artifact, and its report as a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eightbells.backtest.request import Request
from eightbells.backtest.request import backtest as traded
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import Watch, strategy
from tests.flows.test_reports import newest_report
from tests.flows.test_universe_strategies import ROTATION


async def test_a_form_chooses_what_is_traded_and_the_figures_are_an_artifact(watch: Watch, tmp_path) -> None:
    from flows.backtest import backtest

    settings = watch.use(strategies=[ROTATION, strategy()], database__directory=str(tmp_path))
    assert set(backtest.parameters.properties) == {"strategies", "symbols", "start", "end"}
    assert backtest.parameters.properties["start"]["anyOf"][0]["format"] == "date"
    days = [grid.to_time(LAST - slot * STEP).date() for slot in (60, 6)]
    await watch.backfill(first=LAST - 90 * STEP)
    before = watch.state()
    file = await backtest(["rotation"], SYMBOLS[:3], *days)
    assert watch.state() == before

    since, until = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days)
    request = Request(("rotation",), tuple(SYMBOLS[:3]), since, until + timedelta(days=1))
    result, _, _ = traded(settings, request, watch.engine)
    shown = await newest_report("backtest")
    assert f"{float(result.equity[-1]):,.2f} USDT of 10,000.00" in shown
    assert file in shown
    assert "| rotation | BTCUSDT |" in shown
    assert "always" not in shown
    content = (tmp_path / "reports").glob("backtest-*.html")
    (page,) = [it.read_text() for it in content]
    assert "plotly" in page
    assert "rotation" in page


async def test_what_cannot_be_run_is_one_clear_line(watch: Watch) -> None:
    from flows.backtest import backtest

    watch.use(strategies=[ROTATION])
    with pytest.raises(EightbellsError, match=r"there is no strategy 'rotatoin'.*did you mean rotation"):
        await backtest(["rotatoin"])
    with pytest.raises(EightbellsError, match=r"no candles of .* are stored"):
        await backtest()
