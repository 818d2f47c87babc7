"""Trading on the close: the decisions and orders of a candle, as soon as the stream has it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.states import Completed

from eightbells.candles import grid
from eightbells.stream.closes import OnClose, Proven
from orchestration.limits import flow_limit
from tasks.loading import Ingested
from tasks.orders import prepare_account
from tasks.session import Session
from tasks.trade_candle import trade_candle
from tasks.trading import check_key, prepare_strategies
from tasks.universe import is_choice_due, without_leavers


def trade_on_close(session: Session) -> OnClose:
    """What the stream calls shortly before a close: a flow run of its own, under the stream's."""

    async def on_close(opened: int, proven: Proven) -> None:
        @flow(name="trade-on-close", flow_run_name="close of {candle}")
        async def trade_the_close(candle: str) -> State[Any] | None:
            """Get ready, wait for the candle, evaluate and trade it; the scheduled cycle finds it done."""
            async with flow_limit(session.settings.limits):
                if is_choice_due(session, opened):
                    return Completed(
                        name="UniverseIsDue",
                        message="the scheduled cycle chooses the universe, and trades this candle",
                    )
                await check_key(session)
                panel = await prepare_strategies(session)
                prepared = await prepare_account(session)
                verdicts = await proven()
                if not verdicts:
                    return Completed(
                        name="NothingCame", message="no candle came in time: the scheduled cycle trades it"
                    )
                ingested = Ingested(verdicts=verdicts)
                asked = await without_leavers(session, tuple(verdicts), opened, ingested, candle)
                await trade_candle(session, panel, asked, opened, ingested, candle, prepared=prepared)
                return None

        await trade_the_close(grid.label(opened), return_state=True)

    return on_close
