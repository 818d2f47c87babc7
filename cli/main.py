"""The command `eightbells`: a failure that a person can act on is one line, with an exit code other than 0."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.answers import CYCLE_INTERVAL, AsJson, Interval, complain, listed, moment, say
from cli.backtest import trials
from cli.books import books
from cli.control_room import control_room
from cli.data_commands import data_commands
from cli.environment import tidy
from cli.prefect_api import part_login
from cli.process import prepare_process
from cli.quarantine_commands import quarantine_commands
from cli.running import bring_up_to_date, complain_of, run_flow
from cli.strategies import strategies
from cli.switch_commands import switch_commands
from cli.universe import universe_commands
from cli.usage import UsageError, in_words
from eightbells.addresses import hidden
from eightbells.errors import EightbellsError

app = typer.Typer(
    help="Trades on Binance Spot every four hours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Source(StrEnum):
    """Where a backfill takes candles from."""

    REST = "rest"
    ARCHIVE = "archive"
    AUTO = "auto"


Symbols = Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")]

app.add_typer(control_room)
app.add_typer(books)
app.add_typer(trials)
app.add_typer(strategies, name="strategies")
app.add_typer(data_commands)
app.add_typer(universe_commands)
app.add_typer(switch_commands)
app.add_typer(quarantine_commands, name="quarantine")


def run() -> None:
    """Entry point: no traceback for what the user has to act on, an orderly end on Ctrl-C and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has switched SIGINT off
        signal.signal(number, signal.default_int_handler)
    tidy()
    sys.excepthook = _without_secrets
    try:
        part_login()
        prepare_process()
        sys.exit(app(prog_name="eightbells", standalone_mode=False))
    except UsageError as error:
        complain(in_words(error))
        sys.exit(2)
    except EightbellsError as error:
        complain(error)
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


def _without_secrets(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(hidden("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"eightbells {version('eightbells')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Trades on Binance Spot every four hours."""


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the cycles instead of keeping the UI running.")
    ] = False,
    as_json: AsJson = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder with real klines; default: EIGHTBELLS_MARKET_DATA.")
    ] = None,
    symbols: Symbols = None,
    cycles: Annotated[int, typer.Option(min=1, max=2000, help="How many four-hour cycles to run.")] = 12,
    port: Annotated[int | None, typer.Option(help="Port of the Prefect UI; 0 for any free one.")] = None,
) -> None:
    """Try everything on a simulated exchange: load history, run cycles, send orders, open the Prefect UI."""
    from cli.demo import Demo

    Demo(once, as_json, data, _symbols(symbols), cycles, port).run()


@app.command()
def cycle(
    candle: Annotated[str | None, typer.Option(help="Open time of a past candle, 2021-03-01T04:00Z.")] = None,
    symbols: Symbols = None,
    trade: Annotated[
        bool, typer.Option(help="Place orders; --no-trade only fetches, validates and evaluates.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run one four-hour cycle, for the newest closed candle or a past one."""
    from cli.cycle_view import facts, show

    parameters: dict[str, Any] = {"candle": moment(candle), "symbols": _symbols(symbols), "trade": trade}
    report = run_flow("four-hour-cycle", parameters)
    if as_json:
        print(json.dumps(facts(report)))
    else:
        show(report)
    if report.outcome != "complete":
        raise typer.Exit(1)


@app.command()
def backfill(
    symbols: Symbols = None,
    quote: Annotated[
        str | None, typer.Option(help="All symbols quoted in this asset, such as USDT; ALL for every symbol.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First day, 2021-03-01; default: the beginning.")] = None,
    end: Annotated[
        str | None, typer.Option(help="Last day; default: up to the newest closed candle.")
    ] = None,
    interval: Interval = CYCLE_INTERVAL,
    source: Annotated[
        Source,
        typer.Option(
            help="archive: zipped files, and REST for the rest; auto: files where REST needs several requests."
        ),
    ] = Source.REST,
    as_json: AsJson = False,
) -> None:
    """Load history from the exchange, validate it and store it."""
    from cli.history_view import loading
    from eightbells.candles.timeframe import Timeframe

    parameters = {
        "symbols": _symbols(symbols),
        "quote": quote,
        "start": _day(start),
        "end": _day(end),
        "interval": Timeframe.named(interval).name,
        "source": source.value,
    }
    with loading(Console(stderr=True)) as show:
        ingested = run_flow("backfill", parameters, progress=show)
    facts = {name: value for name, value in asdict(ingested).items() if isinstance(value, int)}
    left_out = {"left_out": ingested.failed} if ingested.failed else {}
    if ingested.unusable:
        left_out["unusable_files"] = ingested.unusable
    say({**facts, "symbols": len(ingested.verdicts), **(left_out if as_json else {})}, as_json)
    if as_json:
        return
    for file, why in ingested.unusable.items():
        print(f"{file}: {why}; its candles were asked for over REST", file=sys.stderr)
    complain_of([f"{symbol} is left out: {why}" for symbol, why in ingested.failed.items()])


@app.command()
def certify(
    symbols: Symbols = None,
    start: Annotated[str | None, typer.Option(help="First day, 2021-03-01; default: 30 days ago.")] = None,
    end: Annotated[
        str | None, typer.Option(help="Last day; default: up to the newest closed candle.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare stored candles with what the exchange returns now. Exit code 1 if they differ."""
    from cli.history_view import show_certified

    parameters = {"symbols": _symbols(symbols), "start": _day(start), "end": _day(end)}
    certified = run_flow("certify", parameters)
    if as_json:
        print(json.dumps(asdict(certified), default=str))
    else:
        show_certified(certified)
    if certified.differences or certified.failed:
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration."""
    from eightbells.settings import load_settings

    print(f"the database is at migration {bring_up_to_date(load_settings())}")


@app.command()
def stream() -> None:
    """Stream closed candles and fills into Postgres until stopped. Only one stream runs per account."""
    import httpx

    os.environ.setdefault(
        "PREFECT_CLIENT_MAX_RETRIES", "0"
    )  # its end does not wait for a server that is gone
    try:
        run_flow("stream", {})
    except httpx.TransportError as error:
        raise EightbellsError(
            f"everything received is written; the Prefect server could not be updated: {error}"
        ) from None


@app.command()
def serve(
    sole: Annotated[
        bool,
        typer.Option(
            help="This is the only worker of the Prefect server: runs that still show as running have crashed."
        ),
    ] = False,
) -> None:
    """Register the deployments with the Prefect server of PREFECT_API_URL, and run them until stopped."""
    from cli.prefect_server import prepare_environment
    from eightbells.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    from orchestration.deployments import serve as serve_deployments
    from orchestration.orphaned_runs import mark_orphaned_runs

    async def served() -> None:
        await mark_orphaned_runs(settings.directory, of_workers=sole)
        await serve_deployments()

    asyncio.run(served())


@app.command()
def metrics() -> None:
    """Serve /metrics for Prometheus, and the Data Docs at /data-docs, until stopped."""
    from functools import partial
    from threading import Event

    from eightbells.database.engine import open_database
    from eightbells.metrics import serve as serve_metrics
    from eightbells.quality import data_docs
    from eightbells.settings import load_settings
    from eightbells.universe.members import resolved

    settings = load_settings()
    with open_database(settings) as engine:
        try:
            pages = partial(data_docs.page_of, settings.directory)
            port = serve_metrics(engine, settings, resolved, pages)
        except OSError as error:
            raise EightbellsError(
                f"port {settings.metrics.port} of /metrics is taken: {error.strerror}"
            ) from None
        print(f"metrics at http://{settings.metrics.host}:{port}/metrics", flush=True)
        Event().wait()


@app.command()
def reconcile(as_json: AsJson = False) -> None:
    """Compare the books with the exchange now."""
    found = run_flow("reconcile", {})
    if as_json:
        facts = {"orders": found.orders, "foreign": found.foreign, "accepted": found.accepted}
        print(json.dumps({**facts, "drifts": [drift.described() for drift in found.drifts]}))
    else:
        verdict = "do not agree" if found.drifts else "agree"
        print(f"the exchange and the books {verdict}")
        print(f"orders seen: {found.orders}, not ours: {found.foreign}; drifts accepted: {found.accepted}")
        for drift in found.drifts:
            print(f"drift {drift.id}: {drift.symbol} is not traded: {drift.detail}")
        if found.drifts:
            print("`eightbells accept-drift NUMBER --reason ...` settles one that you have looked into")
    if found.drifts:
        raise typer.Exit(1)


@app.command()
def explain(
    order: Annotated[str, typer.Argument(help="Client order id, our number, or the exchange's.")],
    as_json: AsJson = False,
) -> None:
    """Show an order's whole history, down to the candles behind it."""
    from cli.story_view import show
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.trading.story import tell

    with open_database(load_settings()) as engine, engine.connect() as connection:
        story = tell(connection, order)
    if as_json:
        print(json.dumps(asdict(story), default=str))
    else:
        show(story)


def _symbols(given: str | None) -> list[str] | None:
    return None if given is None else listed(given)


def _day(given: str | None) -> date | None:
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError:
        raise EightbellsError(f"{given} is not a day: write it like 2021-03-01") from None
