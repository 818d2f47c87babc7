"""A run whose process was killed is shown as crashed, with all beneath it; one whose process lives is left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli import prefect_api
from orchestration.orphaned_runs import mark_orphaned_runs
from tests.surroundings import ROOT

RUNNER = (
    "import sys, uuid; from pathlib import Path; from orchestration.orphaned_runs import lock_of_run\n"
    "with lock_of_run(Path(sys.argv[1]), uuid.UUID(sys.argv[2])): print('in', flush=True); sys.stdin.read()"
)


@pytest.fixture
def api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    return prefect_server


def state_of(run: str) -> str:
    return str(prefect_api.ask(f"/flow_runs/{run}")["state"]["name"])


async def running(beneath: str | None = None) -> str:
    """A run of a deployment, or of a subflow beneath another run, that shows as running."""
    from orchestration.deployments import register

    await register()
    made: dict[str, Any]
    if beneath is None:
        found = prefect_api.ask("/deployments/name/halt/halt")
        made = prefect_api.ask(f"/deployments/{found['id']}/create_flow_run", {"state": {"type": "RUNNING"}})
    else:
        task = {"flow_run_id": beneath, "task_key": "sub", "dynamic_key": "0"}
        parent = prefect_api.ask("/task_runs/", task)["id"]
        flow = prefect_api.ask("/flows/", {"name": "sub"})["id"]
        given = {"flow_id": flow, "parent_task_run_id": parent, "state": {"type": "RUNNING"}}
        made = prefect_api.ask("/flow_runs/", given)
    return str(made["id"])


@contextmanager
def process_of(folder: Path, run: str) -> Iterator[subprocess.Popen[str]]:
    """A process that says that it runs a flow run, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(folder), run],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_a_killed_process_takes_its_run_and_all_beneath_it_along(api: str, tmp_path: Path) -> None:
    run = await running()
    sub = await running(beneath=run)
    with process_of(tmp_path, run):
        assert await mark_orphaned_runs(tmp_path) == []
        assert state_of(run) == "Running"
    await mark_orphaned_runs(tmp_path)
    assert (state_of(run), state_of(sub)) == ("Crashed", "Crashed")
    assert list((tmp_path / "runs").iterdir()) == []
    assert await mark_orphaned_runs(tmp_path) == []


async def test_what_a_dead_worker_ran_is_marked_by_its_successor_alone(api: str, tmp_path: Path) -> None:
    workers, own = await running(), await running()
    with process_of(tmp_path, own):
        await mark_orphaned_runs(tmp_path)
        assert state_of(workers) == "Running"
        await mark_orphaned_runs(tmp_path, of_workers=True)
        assert (state_of(workers), state_of(own)) == ("Crashed", "Running")
    await mark_orphaned_runs(tmp_path)
    assert state_of(own) == "Crashed"


async def test_a_run_that_ended_well_leaves_nothing_to_look_for(api: str, tmp_path: Path) -> None:
    from orchestration.orphaned_runs import lock_of_run

    with lock_of_run(tmp_path, UUID(await running())):
        pass
    assert list((tmp_path / "runs").iterdir()) == []


async def test_runs_of_another_server_wait_until_that_one_is_asked(api: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "runs" / str(UUID(int=8))
    elsewhere.parent.mkdir()
    elsewhere.touch()
    assert await mark_orphaned_runs(tmp_path) == []
    assert elsewhere.exists()
