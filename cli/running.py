"""Flows run in this process, recorded by the Prefect server under their deployments if it has them."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from cli.answers import complain
from eightbells.settings import Settings

_DRAIN_SECONDS = 10.0


def run_flow(
    name: str, parameters: dict[str, Any], progress: Callable[[int, int], None] | None = None
) -> Any:
    """Run a flow here, with a Prefect server, on a database that is up to date.

    Args:
        progress: told how far a load of history is.
    """
    from cli import prefect_server
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    settings = load_settings()
    settings.credentials()
    if not settings.database_url.get_secret_value():
        bring_up_to_date(settings)  # the embedded database is ours alone
    with open_database(settings), prefect_server.running(settings, warm_up):
        from orchestration.waits import TERMINAL

        quiet_console()
        TERMINAL.set(complain)
        if progress is not None:
            from tasks.session import PROGRESS

            PROGRESS.set(progress)
        with recorded():
            return asyncio.run(run_deployed(name, parameters, settings.directory))


def bring_up_to_date(settings: Settings) -> str:
    """Bring the database to the newest migration; returns its number."""
    from eightbells.database.engine import connect, database_url
    from eightbells.database.migrations import migrate

    with database_url(settings) as url:
        engine = connect(url)
        try:
            return migrate(engine)
        finally:
            engine.dispose()


def complain_of(problems: list[str]) -> None:
    """Tell a run's problems on stderr, a line each, and exit with 1 where there are any."""
    for problem in problems:
        Console(stderr=True).print(problem, markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)


async def run_deployed(name: str, parameters: dict[str, Any], directory: Path) -> Any:
    """Run a deployment's flow here and now; the run belongs to the deployment if the server has it.

    Nothing is registered: the server's deployments are those of its worker, which may be started in another folder
    and be of another version. Earlier runs whose process was killed are marked as crashed first.

    Args:
        name: the deployment's, as in prefect.yaml.
        directory: the data folder, where it is kept which runs have a process.

    Raises:
        Exception: what the flow failed with.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.flow_engine import run_flow
    from prefect.states import Pending

    from orchestration.deployments import declared, flow_of
    from orchestration.orphaned_runs import lock_of_run, mark_orphaned_runs

    entry = next(entry for entry in declared() if entry["name"] == name)
    flow = flow_of(entry)
    async with get_client() as client:
        await mark_orphaned_runs(directory)
        given = flow.serialize_parameters(parameters)
        try:
            deployment = await client.read_deployment_by_name(f"{flow.name}/{name}")
        except ObjectNotFound:
            run = await client.create_flow_run(flow, parameters=given, state=Pending())
        else:
            run = await client.create_flow_run_from_deployment(
                deployment.id, parameters=given, state=Pending()
            )
    with lock_of_run(directory, run.id):
        outcome: Any = run_flow(flow, flow_run=run, parameters=parameters)
        return await outcome


@contextmanager
def recorded() -> Iterator[None]:
    """Hand what is still to be logged to the Prefect server before it may end; it would be asked for a minute."""
    try:
        yield
    finally:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=_DRAIN_SECONDS, at_exit=False)


def warm_up() -> None:
    """Import what takes seconds, while the Prefect server takes its own to start."""
    for module in (
        "orchestration.deployments",
        "flows.four_hour_cycle",
        "flows.backfill",
        "eightbells.quality.suite",
    ):
        importlib.import_module(module)


def quiet_console() -> None:
    """Leave the terminal to us: Prefect's log still goes to its server, where the UI shows it."""
    import prefect  # noqa: F401  sets its logging up

    for name in ("", "prefect", *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler).__name__ == "PrefectConsoleHandler":
                logger.removeHandler(handler)
