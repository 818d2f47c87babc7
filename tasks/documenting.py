"""The step that builds the Data Docs and links them to the run."""

from __future__ import annotations

import asyncio

from prefect.artifacts import acreate_link_artifact
from prefect.logging import get_run_logger

from eightbells.quality import data_docs
from eightbells.settings import Settings
from orchestration.exchange_task import limited_task

RUN_SECONDS = 3.0  # for pages at the end of a run
_EVERYWHERE = ("", "0.0.0.0", "::")


@limited_task("data docs")
async def publish_data_docs(settings: Settings, seconds: float = RUN_SECONDS) -> None:
    """Build the site in the data folder, and publish a link to where the process of /metrics serves it.

    A run does not fail for it.

    Args:
        seconds: how long pages are made; the rest is left to housekeeping.
    """
    directory = settings.directory
    try:
        count = await asyncio.to_thread(data_docs.build, directory, settings.candles.data_docs, seconds)
    except Exception as error:
        get_run_logger().warning("the Data Docs could not be built: %s", error)
        return
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
