"""Housekeeping: delete Prefect's records of runs that ended long ago, and old pages of the Data Docs."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from prefect import flow

from eightbells.settings import load_settings
from orchestration.limits import flow_limit
from tasks.documenting import publish_data_docs
from tasks.pruning import Pruned, prune_runs


@flow(name="housekeeping", flow_run_name="housekeeping")
async def housekeeping(keep_days: float | None = None) -> Pruned:
    """Forget the runs that ended long ago, with their logs and artifacts, and build the Data Docs again.

    Candles, decisions, orders and books are kept for ever, whatever is forgotten here.

    Args:
        keep_days: How many days of runs to keep. None: prefect.keep_days of eightbells.toml.
    """
    settings = load_settings()
    days = settings.prefect.keep_days if keep_days is None else keep_days
    async with flow_limit(settings.limits):
        pruned = await prune_runs(datetime.now(UTC) - timedelta(days=days))
        await publish_data_docs(settings, math.inf)
        return pruned
