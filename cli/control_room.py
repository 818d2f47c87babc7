"""Commands that run, watch and back up an installation."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from cli.answers import CYCLE_INTERVAL, AsJson, Interval, amount, listed, plain, say, who

control_room = typer.Typer()


class State(Enum):
    """What can become of a gap."""

    OPEN = "open"
    REPAIRED = "repaired"
    ABSENT = "absent"


@control_room.command()
def up(
    port: Annotated[int | None, typer.Option(help="Port of the Prefect UI; default: 4200.")] = None,
) -> None:
    """Run everything on this machine until Ctrl-C: database, Prefect, worker, stream, metrics."""
    from cli.up import run_everything

    run_everything(port)


@control_room.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as monday.dump.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole database to a file. Everything keeps running meanwhile."""
    from cli.backup import back_up
    from eightbells.settings import load_settings

    say(back_up(load_settings(), file, overwrite=overwrite), as_json)


@control_room.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The file that `eightbells backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Replace the database with a backup. The old one is kept under another name, and trading is off."""
    from cli.backup import restore as restore_from
    from eightbells.settings import load_settings

    say(restore_from(load_settings(), file), as_json)
    if not as_json:
        print(
            "trading is off: `eightbells reconcile` compares with the exchange, `eightbells resume` trades again"
        )


@control_room.command()
def notify(
    test: Annotated[
        bool, typer.Option("--test", help="Send one message to every address, then exit.")
    ] = False,
    if_any: Annotated[
        bool,
        typer.Option(
            "--if-any", help="Without an address wait instead of failing, for a service that always runs."
        ),
    ] = False,
) -> None:
    """Send problems to the addresses of notifications.urls until stopped."""
    from cli.notify.command import notify as tell
    from cli.notify.command import try_out
    from eightbells.settings import load_settings

    settings = load_settings()
    if test:
        print(f"sent to {try_out(settings)}")
    elif if_any and not settings.notifications.urls:
        print("notifications.urls is empty: no notification is sent", flush=True)
        Event().wait()
    else:
        tell(settings)


@control_room.command()
def doctor(as_json: AsJson = False) -> None:
    """Check everything that trading depends on. Exit code 1 if a check fails."""
    from cli.doctor.examination import examine, show
    from cli.doctor.findings import Finding

    async def examined() -> list[Finding]:
        findings, console = [], Console(highlight=False)
        async for finding in examine():
            findings.append(finding)
            if not as_json:
                show(finding, console)
        return findings

    findings = asyncio.run(examined())
    verdict = next((it for it in ("fail", "warn") if it in {finding.verdict for finding in findings}), "ok")
    if as_json:
        print(json.dumps({"verdict": verdict, "findings": [asdict(finding) for finding in findings]}))
    if verdict == "fail":
        raise typer.Exit(1)


@control_room.command()
def status(as_json: AsJson = False) -> None:
    """Show mode, trading switch, cycles, stream, positions, equity and open problems."""
    from cli.status import read_status
    from cli.status_view import show
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    settings = load_settings()
    with open_database(settings) as engine, engine.connect() as connection:
        found = read_status(settings, connection)
    if as_json:
        print(json.dumps(asdict(found), default=plain))
    else:
        show(found)


@control_room.command()
def gaps(
    symbols: Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    interval: Interval = CYCLE_INTERVAL,
    as_json: AsJson = False,
) -> None:
    """List the slots without a candle, and their state."""
    from cli.gaps_view import show
    from eightbells.candles.gaps import recorded
    from eightbells.candles.timeframe import Timeframe
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    wanted, timeframe = None if symbols is None else listed(symbols), Timeframe.named(interval)
    with open_database(load_settings()) as engine, engine.connect() as connection:
        found = recorded(connection, wanted, None if state is None else state.value, timeframe)
    if as_json:
        print(json.dumps({"gaps": [asdict(gap) for gap in found]}, default=plain))
    else:
        show(found, timeframe)


@control_room.command("accept-drift")
def accept_drift(
    number: Annotated[int, typer.Argument(help="The drift's number, as `eightbells reconcile` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    proceeds: Annotated[
        str | None,
        typer.Option(help="What missing coins were sold for, in the quote asset; default: nothing."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accept that an order differs, or write off coins that are gone. The symbol trades again."""
    from eightbells.database.engine import open_database
    from eightbells.exchange.gateway import open_gateway
    from eightbells.settings import load_settings
    from eightbells.trading.acceptance import Accepted
    from eightbells.trading.acceptance import accept_drift as accept

    came_in = None if proceeds is None else amount(proceeds)
    settings = load_settings()

    async def accepted() -> Accepted:
        with open_database(settings) as engine:
            async with open_gateway(settings, engine) as gateway:
                return await accept(settings, engine, gateway, number, reason, who(), came_in)

    say(asdict(asyncio.run(accepted())), as_json)


@control_room.command()
def split(
    symbol: Annotated[str, typer.Argument(help="The symbol, for example BTCUSDT.")],
    ratio: Annotated[str, typer.Argument(help="New coins for one old coin, for example 100 or 0.001.")],
    reason: Annotated[str, typer.Option(help="What happened, for the record.")],
) -> None:
    """Record that a symbol's coins were exchanged for new ones at a ratio, and release its holds."""
    from eightbells.database.engine import open_database
    from eightbells.exchange.gateway import open_gateway
    from eightbells.settings import load_settings
    from eightbells.trading.explanations import Split, book_split, ratio_of

    new_for_old, settings = ratio_of(ratio), load_settings()

    async def booked() -> Split:
        with open_database(settings) as engine:
            async with open_gateway(settings, engine) as gateway:
                return await book_split(settings, engine, gateway, symbol, new_for_old, reason, who())

    print(asyncio.run(booked()).words)


@control_room.command()
def confirm(
    symbol: Annotated[str, typer.Argument(help="The symbol, for example BTCUSDT.")],
    reason: Annotated[str, typer.Option(help="What happened, for the record.")],
) -> None:
    """Release the holds of a symbol: its price and its balance are right. It trades again."""
    from eightbells.database.engine import open_database
    from eightbells.exchange.gateway import open_gateway
    from eightbells.settings import load_settings
    from eightbells.trading.explanations import confirm as release

    settings = load_settings()

    async def confirmed() -> str:
        with open_database(settings) as engine:
            async with open_gateway(settings, engine) as gateway:
                now = gateway.clock.now_ms()
                return release(engine, settings.account, symbol, reason, who(), now)

    print(asyncio.run(confirmed()))
