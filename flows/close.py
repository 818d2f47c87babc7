"""Trading on the close: the decisions and orders of a candle, as soon as the stream has it."""

from __future__ import annotations

from prefect import flow

from eightbells.candles import grid
from eightbells.quality.gate import Verdict
from eightbells.stream.engine import OnClose
from orchestration.limits import flow_limit
from tasks.candles import Ingested
from tasks.orders import settle_orders, trade
from tasks.reports import publish_cycle
from tasks.session import Session
from tasks.stages import stage
from tasks.trading import check_key, close_books, evaluate_strategies, prepare_strategies


def trade_on_close(session: Session) -> OnClose:
    """What the stream calls when the candles of a close are in: a flow run of its own, under the stream's."""

    async def on_close(opened: int, verdicts: dict[str, Verdict]) -> None:
        fresh = {symbol: verdict for symbol, verdict in verdicts.items() if verdict.last_open == opened}
        ingested, symbols = Ingested(verdicts=fresh), tuple(fresh)

        @flow(name="trade-on-close", flow_run_name="close of {candle}")
        async def trade_the_close(candle: str) -> None:
            """Evaluate and trade the candle that has just come; the scheduled cycle finds it done."""
            async with flow_limit(session.settings.limits):
                await check_key(session)
                with stage("evaluate"):
                    panel = await prepare_strategies(session)
                    evaluated = await evaluate_strategies(session, panel, symbols, opened, ingested, candle)
                with stage("settle"):
                    problems = await settle_orders(session, before=opened)
                with stage("trade"):
                    traded = await trade(session, evaluated.decisions, opened)
                problems += traded.problems
                evaluated.refused += traded.refused
                with stage("books"):
                    report = await close_books(session, opened, ingested, evaluated, problems, candle)
                with stage("report"):
                    await publish_cycle(report, candle)

        await trade_the_close(grid.label(opened), return_state=True)

    return on_close
