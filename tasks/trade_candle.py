"""One proven candle, traded: the scheduled cycle and the stream on the close both call this."""

from __future__ import annotations

from eightbells.strategies.panel import Panel
from tasks.loading import Ingested
from tasks.orders import settle_orders
from tasks.orders import trade as trade_on
from tasks.reports import publish_cycle
from tasks.session import Session
from tasks.stages import stage
from tasks.trading import CycleReport, close_books, evaluate_strategies


async def trade_candle(
    session: Session,
    panel: Panel,
    symbols: tuple[str, ...],
    opened: int,
    ingested: Ingested,
    label: str,
    *,
    trade: bool = True,
    prepared: list[str] | None = None,
) -> CycleReport:
    """Ask the strategies, follow and cancel what is out, send what follows, close the books and publish the report.

    Doing it again for the same candle adds nothing.

    Args:
        symbols: those that are evaluated.
        opened: the candle's open time (ms).
        label: the candle, in words.
        trade: False evaluates, and follows orders without cancelling any; nothing is sent.
        prepared: what `prepare_account` said a moment ago; None: the account is prepared before it trades.
    """
    with stage("evaluate"):
        evaluated = await evaluate_strategies(session, panel, symbols, opened, ingested, label)
    with stage("settle"):
        problems = await settle_orders(session, before=opened if trade else None)
    if trade:
        with stage("trade"):
            traded = await trade_on(session, evaluated.decisions, opened, prepared)
        problems += traded.problems
        evaluated.refused += traded.refused
    with stage("books"):
        report = await close_books(session, opened, ingested, evaluated, problems, label, trade)
    with stage("report"):
        await publish_cycle(report, label)
    return report
