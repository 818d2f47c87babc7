"""Backtest: the settings' strategies on stored candles, started from a form."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from prefect import flow
from prefect.runtime import flow_run

from eightbells.backtest.request import Request
from tasks.backtesting import publish_backtest, trade_the_past
from tasks.session import unset_session


def _run_name() -> str:
    given = flow_run.parameters
    named = ", ".join(given.get("strategies") or ["all strategies"])
    return f"{named} from {given.get('start') or 'the beginning'}"


@flow(name="backtest", flow_run_name=_run_name)
async def backtest(
    strategies: list[str] | None = None,
    symbols: list[str] | None = None,
    start: date | None = None,
    end: date | None = None,
) -> str:
    """Run strategies of eightbells.toml on stored candles, with the functions that the cycle uses.

    Its artifact is `backtest`, with the main figures. The whole report is an HTML file in the folder `reports` of the
    data folder; returns its path.

    Args:
        strategies: Names from eightbells.toml. None: all.
        symbols: Symbols to trade, such as BTCUSDT. None: those of eightbells.toml.
        start: First day, UTC. None: the beginning of what is stored.
        end: Last day, UTC. None: up to the newest closed candle.
    """
    async with unset_session() as session:
        request = Request(
            tuple(strategies or ()),
            tuple(symbols or ()),
            _midnight(start) if start else None,
            _midnight(end) + timedelta(days=1) if end else None,
        )
        found = await trade_the_past(session, request)
        await publish_backtest(found)
    return str(found.file)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
