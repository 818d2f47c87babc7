"""The step that builds the Data Docs and links them to the run."""

from __future__ import annotations

import asyncio

from prefect.artifacts import acreate_link_artifact

from eightbells.quality import data_docs
from eightbells.settings import Settings
from orchestration.exchange_task import limited_task

_EVERYWHERE = ("", "0.0.0.0", "::")


@limited_task("data docs")
async def publish_data_docs(settings: Settings) -> None:
    """Build the site in the data folder, and publish a link to where the process of /metrics serves it."""
    directory = settings.directory
    count = await asyncio.to_thread(data_docs.build, directory, settings.candles.data_docs)
    await acreate_link_artifact(
        address(settings),
        link_text="Data Docs",
        key="data-docs",
        description=f"{count} validations, also in {directory / data_docs.FOLDER / 'index.html'}",
    )


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the Data Docs."""
    host = "127.0.0.1" if settings.metrics.host in _EVERYWHERE else settings.metrics.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.metrics.port}/{data_docs.FOLDER}/"
