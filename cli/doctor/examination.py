"""All checks of the doctor, each after those that it depends on, and how they are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.doctor.exchange import look_at_exchange
from cli.doctor.findings import Finding, fail, ok
from cli.doctor.machine import look_at_machine
from cli.doctor.route import look_at_route
from cli.doctor.services import BAN, look_at_postgres, look_at_prefect
from cli.doctor.universe import by_members, look_at_universe
from eightbells.errors import EightbellsError
from eightbells.settings import Settings, config_file, load_settings

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


async def examine() -> AsyncIterator[Finding]:
    """Look at everything; a setting that cannot be read is the last thing that is looked at."""
    try:
        settings = load_settings()
    except EightbellsError as error:
        for line in str(error).splitlines():
            yield fail("settings", line, "correct it in eightbells.toml or the environment")
        return
    yield ok("settings", f"of {config_file()}")
    async for finding in before_trading(settings):
        yield finding
    for finding in look_at_prefect(settings):
        yield finding


async def before_trading(settings: Settings) -> AsyncIterator[Finding]:
    """What must be well before anything is started."""
    for finding in look_at_machine(settings):
        yield finding
    banned = False
    for finding in look_at_postgres(settings):
        banned |= finding.name == BAN
        yield finding
    for finding in look_at_universe(settings):
        yield finding
    settings = by_members(settings)
    for finding in look_at_route(settings):
        yield finding
    if not banned:
        async for finding in look_at_exchange(settings):
            yield finding


def show(finding: Finding, console: Console) -> None:
    """Print a finding, its remedy below it; long words wrap inside their column."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=4)
    table.add_column(width=14, no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    table.add_row(
        Text(finding.verdict, style=_STYLES[finding.verdict]), Text(finding.name), Text(finding.what)
    )
    if finding.remedy:
        table.add_row("", "", Text(f"-> {finding.remedy}", style="bold"))
    table.width = min(console.width, 100)
    console.print(table)
