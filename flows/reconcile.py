"""Reconcile: compare the exchange with the books, every ten minutes."""

from __future__ import annotations

from prefect import flow

from eightbells.trading.reconciliation import Reconciliation
from tasks.orders import guard, reconcile_books, settle_orders
from tasks.reports import publish_reconciliation
from tasks.session import open_session


@flow(name="reconcile", flow_run_name="reconcile")
async def reconcile() -> Reconciliation:
    """Follow our open orders, guard the positions, and compare orders and balances at the exchange with the books.

    Fills are booked. A holding whose stop is missing gets one, or is sold where the price has passed it. Orders that
    are not ours are listed and never touched. A symbol whose books do not agree is not traded until they do. Running
    it twice changes nothing.
    """
    async with open_session() as session:
        problems = await settle_orders(session)
        problems += await guard(session)
        found = await reconcile_books(session, session.settings.symbols)
        await publish_reconciliation(found, problems)
        return found
