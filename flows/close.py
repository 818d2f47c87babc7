"""Trading on the close: the decisions and orders of a candle, as soon as the stream has it."""

from __future__ import annotations

from prefect import flow

from eightbells.candles import grid
from eightbells.quality.gate import Verdict
from eightbells.stream.engine import OnClose
from orchestration.limits import flow_limit
from tasks.loading import Ingested
from tasks.session import Session
from tasks.trade_candle import trade_candle
from tasks.trading import check_key, prepare_strategies


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
                panel = await prepare_strategies(session)
                await trade_candle(session, panel, symbols, opened, ingested, candle)

        await trade_the_close(grid.label(opened), return_state=True)

    return on_close
