"""The stream's heartbeat in the Prefect UI. The stream works on while the server is away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import StateType
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

_PATIENCE_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 4.0


class StreamReport:
    """Warnings in the run's log, one heartbeat artifact that is kept up to date, and whether the run is cancelled."""

    def __init__(self, client: PrefectClient) -> None:
        self.is_cancelled = False
        self._client, self._run = client, UUID(flow_run.get_id())
        self._log, self._quiet = get_run_logger(), logging.getLogger(__name__)
        self._shown: UUID | None = None

    def warn(self, words: str) -> None:
        self._log.warning(words)

    async def show(self, facts: Mapping[str, str]) -> None:
        rows = [{"what": name, "is": value} for name, value in facts.items()]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                if self._shown is None:
                    self._shown = await acreate_table_artifact(
                        rows, key="stream-heartbeat", description="The stream runs."
                    )
                else:  # not another one each minute for weeks
                    await self._client.update_artifact(self._shown, ArtifactUpdate(data=json.dumps(rows)))
        except Exception as error:  # of whatever kind: it is only a picture
            self._quiet.info("the heartbeat could not be shown: %s", error)

    async def until_cancelled(self) -> None:
        """Return once somebody has cancelled the run in the UI."""
        while not self.is_cancelled:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    run = await self._client.read_flow_run(self._run)
            except Exception as error:  # nobody can cancel while the server is away
                self._quiet.info("the Prefect server does not answer: %s", error)
            else:
                ending = (StateType.CANCELLING, StateType.CANCELLED)
                self.is_cancelled = run.state is not None and run.state.type in ending


@asynccontextmanager
async def stream_report() -> AsyncIterator[StreamReport]:
    """A report of the present flow run, over one connection to the Prefect server."""
    async with get_client() as client:
        yield StreamReport(client)
