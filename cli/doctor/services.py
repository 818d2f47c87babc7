"""What runs here or elsewhere for us: Postgres with its migrations, Prefect with its deployments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from cli import prefect_api
from cli.doctor.deployments import look_at_deployments
from cli.doctor.findings import Finding, fail, ok, warn
from cli.instance_lock import lock_holder
from cli.prefect_server import prepare_environment
from eightbells.addresses import shown
from eightbells.database import migrations
from eightbells.database.engine import connect, database_url, require_mode, require_quote_asset
from eightbells.errors import EightbellsError, WrongDatabase
from eightbells.exchange.budgets import closure
from eightbells.settings import Settings
from orchestration.declared import declared

BAN = "ban"
_LATE = timedelta(minutes=2)


def look_at_postgres(settings: Settings) -> Iterator[Finding]:
    """The server and what the database in it has reached."""
    embedded = not settings.database_url.get_secret_value()
    try:
        with database_url(settings) as url:
            engine = connect(url)
            try:
                yield ok("Postgres", f"{_version(engine)}, {'embedded' if embedded else 'of DATABASE_URL'}")
                yield (migrated := _migrations(engine, embedded))
                if migrated.verdict == "ok":
                    yield _mode(engine, settings)
                    yield from _ban(engine, settings)
            finally:
                engine.dispose()
    except EightbellsError as error:
        logs = (
            f"read {settings.directory}/postgres/log"
            if embedded
            else "check DATABASE_URL, and that its server runs"
        )
        yield fail("Postgres", str(error), f"{logs}; Postgres 15 or newer is needed")


def _version(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one())


def _migrations(engine: Engine, embedded: bool) -> Finding:
    found, newest = migrations.current(engine), migrations.newest()
    if found == newest:
        return ok("migrations", f"at the newest, {newest}")
    if found is None and embedded:
        return warn("migrations", "none yet: the database is new", "`eightbells up` or `eightbells migrate`")
    known = found is None or found < newest
    remedy = "`eightbells migrate`" if known else "update this program: the database is of a newer version"
    return fail("migrations", f"at {found or 'none'}, this version needs {newest}", remedy)


def _mode(engine: Engine, settings: Settings) -> Finding:
    try:
        require_mode(engine, settings.mode, claim=False)
        require_quote_asset(engine, settings.quote_asset, claim=False)
    except WrongDatabase as error:
        return fail("database", error.what, error.remedy)
    return ok("database", f"of mode {settings.mode}, in {settings.quote_asset}")


def _ban(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with engine.connect() as connection:
        shut = closure(connection, settings.budgets)
    if shut is not None:
        reason, until = shut
        words = f"no request may go to the exchange until {until:%Y-%m-%d %H:%M:%S} UTC: {reason}"
        yield fail(BAN, words, "wait, and restart nothing: more requests make a ban longer")


def look_at_prefect(settings: Settings) -> Iterator[Finding]:
    """Whether the server answers, is of our version, knows the deployments as declared, and has its runs done."""
    up = lock_holder(settings.directory)
    api = prefect_api.likely_address(up)
    try:
        theirs = str(prefect_api.ask("/admin/version", api=api, timeout=5))
        known = prefect_api.deployments(api)
        late = _late(api)
    except EightbellsError as error:
        if os.environ.get("PREFECT_API_URL") or up:
            yield fail(
                "Prefect", str(error), "start that server, or unset PREFECT_API_URL and run `eightbells up`"
            )
        else:
            yield warn("Prefect", "no server runs, so no cycle is started", "`eightbells up`")
        return
    ours = version("prefect")
    if theirs == ours:
        yield ok("Prefect", f"{theirs} at {shown(api)}")
    else:
        yield warn(
            "Prefect",
            f"the server is {theirs}, this is {ours}",
            "run both at one version: restart the server",
        )
    prepare_environment(settings)  # of Prefect, which the loading of a flow imports
    yield look_at_deployments(known, Path(up.folder if up else "").absolute())
    if late:
        yield warn(
            "worker", f"{late} runs are late: no worker runs them", "`eightbells up`, or `eightbells serve`"
        )
    else:
        yield ok("worker", "no run is late")


def _late(api: str) -> int:
    before = (datetime.now(UTC) - _LATE).isoformat()
    chosen = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": before}}
    names = {"name": {"any_": [entry["name"] for entry in declared()]}}
    return int(prefect_api.ask("/flow_runs/count", {"flow_runs": chosen, "deployments": names}, api=api))
