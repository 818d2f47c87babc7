"""The stream: closed candles and our own fills as they happen, for as long as the process lives."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.states import Cancelled, Completed

from eightbells.stream.engine import Stream, keep_out_of_garbage
from eightbells.stream.fills import book_fills
from eightbells.stream.guarding import watch_positions
from eightbells.stream.other_members import until_other_members
from eightbells.stream.sole_stream import AnotherStream, SoleStream
from flows.close import trade_on_close
from flows.reconcile import reconcile
from tasks.candles import refresh_holdings, refresh_rules
from tasks.orders import settle_orders
from tasks.session import open_session
from tasks.stopping import on_signals
from tasks.stream_report import stream_report
from tasks.trading import prepare_strategies


@flow(name="stream", flow_run_name="stream")
async def stream() -> State[Any]:
    """Take closed candles and our own fills from the exchange's streams, through the same proof as the cycle's.

    What a lost connection or a silent stream misses is fetched over REST. There is at most one stream an account:
    a second one ends at once. It ends when it is told to, by SIGTERM or by cancelling its run, with everything
    written that has come.
    """
    async with open_session(limit=None) as session:
        try:
            with SoleStream(session.engine, session.settings.account) as sole:
                universe = await refresh_rules(
                    session, session.settings.symbols, quote=session.settings.quote_asset
                )
                held = await refresh_holdings(session, universe)
                panel = await prepare_strategies(session)
                async with stream_report() as report:
                    moved, settle_all = asyncio.Event(), partial(settle_orders, session)
                    follow = partial(book_fills, session, settle_all, moved, report.warn)
                    watch = partial(watch_positions, session, moved, report.warn)
                    other_members = partial(until_other_members, session, report.warn)
                    trades = session.settings.stream.trade_on_close
                    streaming = Stream(
                        session,
                        universe.symbols,
                        report,
                        panel.window(session.settings.candles.refetch),
                        trade_on_close(session) if trades else None,
                        others=(
                            sole.keep,
                            follow,
                            watch,
                            report.until_cancelled,
                            *([_compare_books] * trades),
                            *([other_members] * bool(session.settings.universe.top)),
                        ),
                        held=held.symbols,
                    )
                    with on_signals(streaming.end):
                        await streaming.run()
                    if report.is_cancelled:
                        return Cancelled(message="cancelled; everything received is written")
        except AnotherStream as error:
            return Completed(name="AlreadyRunning", message=str(error))
    return Completed(name="Ended", message="told to end; everything received is written")


async def _compare_books() -> None:
    """Compare the books with the exchange once, at the start: the first close need not wait for it."""
    await reconcile(return_state=True)
    keep_out_of_garbage()  # what that flow brought with it stays too
    await asyncio.Event().wait()
