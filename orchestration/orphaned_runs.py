"""Orphaned runs: flow runs whose process is gone. They would show as running forever, so they are marked as crashed.

Whoever runs a flow holds a lock on a file that is named after the run; the kernel drops it when the process dies,
however it dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from eightbells.file_lock import FileLock

_ALIVE = [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
_WORDS = "its process ended without a report: it was killed, or the machine stopped"


@contextmanager
def lock_of_run(directory: Path, run: UUID) -> Iterator[None]:
    """Show for the length of a block that this process runs the flow run."""
    folder = directory / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / str(run)
    with FileLock(file) as lock:
        lock.acquire()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


async def mark_orphaned_runs(directory: Path, *, of_workers: bool = False) -> list[str]:
    """Mark runs as crashed whose process is gone; returns their names.

    Args:
        of_workers: the caller is the Prefect server's only worker and has started nothing yet: what shows as running
            and is nobody's here was a worker's that died.
    """
    orphaned, alive = _by_lock(directory / "runs")
    async with get_client() as client:
        known = await _known(client, orphaned)
        runs = [run for run in known if run.state is not None and not run.state.is_final()]
        if of_workers:
            runs += [run for run in await _alive_in_prefect(client) if run.id not in alive | orphaned]
        runs += await _children(client, runs)
        for run in runs:
            await client.set_flow_run_state(run.id, Crashed(message=_WORDS))
    for run in known:  # the others are of another Prefect server, which is told when it is asked again
        (directory / "runs" / str(run.id)).unlink(missing_ok=True)
    return [run.name for run in runs]


def _by_lock(folder: Path) -> tuple[set[UUID], set[UUID]]:
    """The runs whose process is gone, and those whose process lives."""
    orphaned: set[UUID] = set()
    alive: set[UUID] = set()
    for file in folder.glob("*"):
        with suppress(FileNotFoundError, ValueError), FileLock(file, create=False) as lock:
            run = UUID(file.name)
            (orphaned if lock.try_acquire() else alive).add(run)
    return orphaned, alive


async def _known(client: PrefectClient, runs: set[UUID]) -> list[FlowRun]:
    """Those of the runs that this server has, whatever their state."""
    if not runs:
        return []
    return await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(runs))))


async def _alive_in_prefect(client: PrefectClient) -> list[FlowRun]:
    """Runs of deployments that show as running, those of subflows apart."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ALIVE)),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        )
    )


async def _children(client: PrefectClient, parents: list[FlowRun]) -> list[FlowRun]:
    if not parents:
        return []
    children = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent.id for parent in parents]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ALIVE)),
        )
    )
    return children + await _children(client, children)
