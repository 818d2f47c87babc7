"""The session of a flow: settings, database, gateway and the id of the flow run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import cached_property

from prefect.runtime import flow_run
from sqlalchemy import Engine, text

from eightbells import metrics
from eightbells.candles.klines import Klines
from eightbells.database.engine import open_database
from eightbells.exchange.gateway import Gateway, naming_the_exchange, unset_gateway
from eightbells.exchange.history import Page
from eightbells.exchange.spool import Spool, spool_folder
from eightbells.quality import data_docs
from eightbells.runtime import Runtime
from eightbells.settings import Settings, load_settings
from eightbells.universe.members import resolved
from orchestration.events import events_sent
from orchestration.exchange_task import exchange_task
from orchestration.limits import FlowLimit, flow_limit
from orchestration.waits import announce

Progress = Callable[[int, int], None]
# Who runs a flow in this process may watch how far it is (slots done, slots in all).
PROGRESS: ContextVar[Progress | None] = ContextVar("PROGRESS", default=None)


class Session(Runtime):
    """What one flow run opens."""

    def __init__(self, settings: Settings, engine: Engine, gateway: Gateway) -> None:
        super().__init__(settings, engine, gateway, flow_run.get_id() or None)
        self.progress = PROGRESS.get()
        self.fetched: dict[Page, Klines] = {}  # what a task's retry need not ask for again
        self.loaded: set[Page] = set()  # what is stored, or was not there

    @cached_property
    def spool(self) -> Spool:
        """The pages that are fetched and not yet stored."""
        with self.engine.connect() as connection:
            number = connection.execute(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            ).scalar_one()
        database = f"{self.engine.url.render_as_string(hide_password=True)} {number}"
        return Spool(spool_folder(self.settings.directory, database, self.settings.rest_url))

    def close(self) -> None:
        """Leave to the next run what is fetched and not stored."""
        if "spool" in vars(self):
            self.spool.close()


@exchange_task("the exchange's time")
async def set_clock(session: Session) -> None:
    """Measure the exchange's clock; nothing can be asked or signed before."""
    await session.gateway.sync_clock()


@asynccontextmanager
async def open_session(limit: FlowLimit | None = "flow_seconds") -> AsyncIterator[Session]:
    """A session with its clock set; what was counted is flushed at its end, however it ends.

    Args:
        limit: the setting that says how long the flow may take; None for one without end.
    """
    async with unset_session(limit) as session:
        with naming_the_exchange(session.settings):
            await set_clock(session)
        yield session


@asynccontextmanager
async def unset_session(limit: FlowLimit | None = "flow_seconds") -> AsyncIterator[Session]:
    """A session that has not met the exchange yet, for what must not wait for it."""
    settings = load_settings()
    with open_database(settings) as engine:
        with engine.connect() as connection:
            settings = resolved(connection, settings)
        try:
            async with (
                events_sent(),
                flow_limit(settings.limits, limit) if limit else nullcontext(),
                unset_gateway(settings, engine) as gateway,
            ):
                gateway.budgets.announce = announce
                session = Session(settings, engine, gateway)
                try:
                    yield session
                finally:
                    session.close()
        finally:
            metrics.flush(engine)
            await asyncio.to_thread(_keep_results, settings)


def _keep_results(settings: Settings) -> None:
    """Write what Data Docs are made of; a run does not fail for them."""
    try:
        data_docs.write(settings.directory, settings.candles.data_docs)
    except Exception as error:
        logging.getLogger(__name__).warning("results of validations are not kept for Data Docs: %s", error)
