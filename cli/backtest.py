"""The command `backtest`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.answers import AsJson, listed, moment, plain
from eightbells.errors import EightbellsError

if TYPE_CHECKING:
    from eightbells.backtest.request import Prepared, Request

trials = typer.Typer()

Strategy = Annotated[str, typer.Argument(help="The strategy's name in the settings.")]
Choices = Annotated[list[str], typer.Option("--set", help="A parameter and its values: fast=5,10,20.")]
Since = Annotated[str | None, typer.Option("--from", help="First day, 2021-03-01.")]
Until = Annotated[str | None, typer.Option("--to", help="Last day; default: the newest candle.")]
Processes = Annotated[int, typer.Option(min=1, max=256, help="How many processes run side by side.")]

Symbols = Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")]
Data = Annotated[
    Path | None, typer.Option(help="Folder with SYMBOL-4h.csv.gz; default: the candles that are stored.")
]


@trials.command()
def backtest(
    strategy: Annotated[str | None, typer.Option(help="Names from the settings; default: all.")] = None,
    symbols: Symbols = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a report for the browser, as one HTML file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the settings' strategies on past candles and show the result."""
    from cli.backtest_view import show
    from eightbells.backtest import request as asked
    from eightbells.backtest.statistics import by_place, figures
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    wanted = _request(strategy, symbols, since, until, data)
    settings = load_settings()
    with nullcontext() if data is not None else open_database(settings) as engine:
        result, histories, _ = asked.backtest(settings, wanted, engine)
    if report is not None:
        from eightbells.backtest.report import write

        write(report, result, histories)
    if as_json:
        facts: dict[str, Any] = {
            "figures": figures(result).facts,
            "places": by_place(result),
            "trades": [{**asdict(it), "profit": it.profit} for it in result.trades],
            "refused": [
                {"strategy": name, "symbol": symbol, "stage": stage, "reason": reason, "times": times}
                for (name, symbol, stage, reason), times in result.refused.items()
            ],
            "notes": result.notes,
        }
        print(json.dumps(facts, default=plain))
    else:
        show(result)
        if report is not None:
            print(f"the report is in {report}")


@trials.command()
def sweep(
    strategy: Strategy,
    choices: Choices,
    symbols: Symbols = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    processes: Processes = 2,
    as_json: AsJson = False,
) -> None:
    """Backtest a strategy with many parameter values, and judge the best."""
    from cli.backtest_view import show_sweep
    from eightbells.backtest.sweep import sweep as tried

    values = dict(map(_choice, choices))
    asked = _prepared(_request(strategy, symbols, since, until, data))
    found = tried(asked.settings, asked.histories, asked.span, values, processes, asked.members)
    if as_json:
        facts: dict[str, Any] = {
            "tried": len(found.variants),
            "deflated_sharpe": found.deflated,
            "variants": [
                {"parameters": it.parameters, "p_value": it.p_value, **it.figures.facts}
                for it in found.variants
            ],
            "refused": [{"parameters": given, "reason": reason} for given, reason in found.refused],
            "notes": found.variants[0].notes,
        }
        print(json.dumps(facts, default=plain))
    else:
        show_sweep(found, list(values))


@trials.command(name="walk-forward")
def walk_forward(
    strategy: Strategy,
    choices: Choices,
    train_days: Annotated[int, typer.Option(min=1, help="Days on which parameters are chosen.")] = 365,
    test_days: Annotated[int, typer.Option(min=1, help="Days to trade with them afterwards.")] = 90,
    symbols: Symbols = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    processes: Processes = 2,
    as_json: AsJson = False,
) -> None:
    """Choose parameters on past days, trade the days after them, and repeat."""
    from cli.backtest_view import show_walk_forward
    from eightbells.backtest.walk_forward import walk_forward as walked

    values = dict(map(_choice, choices))
    asked, days = _prepared(_request(strategy, symbols, since, until, data)), (train_days, test_days)
    found = walked(asked.settings, asked.histories, asked.span, values, days, processes, asked.members)
    if as_json:
        facts: dict[str, Any] = {
            "tried": found.tried,
            "total_return": found.total_return,
            "sharpe": found.sharpe,
            "max_drawdown": found.max_drawdown,
            "notes": found.notes,
            "steps": [
                {"parameters": it.parameters, "trained": it.trained.facts, "tested": it.tested.facts}
                for it in found.folds
            ],
        }
        print(json.dumps(facts, default=plain))
    else:
        show_walk_forward(found, list(values))


def _prepared(wanted: Request) -> Prepared:
    from eightbells.backtest import request as asked
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    settings = load_settings()
    with nullcontext() if wanted.data is not None else open_database(settings) as engine:
        return asked.prepare(settings, wanted, engine)


def _request(
    strategy: str | None, symbols: str | None, since: str | None, until: str | None, data: Path | None
) -> Request:
    from eightbells.backtest import request as asked

    end = moment(until)
    return asked.Request(
        _names(strategy),
        [] if symbols is None else listed(symbols),
        moment(since),
        None if end is None else asked.end_of(end),
        data,
    )


@trials.command()
def report(
    file: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the report of live or paper trading, from the books: one HTML file, as for a backtest."""
    from eightbells.backtest import request as asked
    from eightbells.backtest.from_books import read_books
    from eightbells.backtest.report import write
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.universe.members import resolved

    settings, span = load_settings(), asked.span(_request(None, None, since, until, None))
    with open_database(settings) as engine, engine.connect() as connection:
        result, histories = read_books(connection, resolved(connection, settings), span)
    write(file, result, histories, f"{settings.mode.capitalize()} trading")
    print(f"the report is in {file}")


def _choice(given: str) -> tuple[str, list[Any]]:
    """A parameter with its values: numbers where they are, else text."""
    name, _, values = given.partition("=")
    if not name.strip() or not values.strip():
        raise EightbellsError(f"--set {given}: write a parameter and its values as fast=5,10,20")
    found = []
    for value in values.split(","):
        try:
            found.append(json.loads(value))
        except ValueError:
            found.append(value.strip())
    return name.strip(), found


@trials.command()
def replay(
    evaluation: Annotated[
        int | None, typer.Argument(help="The evaluation's number, as `eightbells explain` shows it.")
    ] = None,
    day: Annotated[str | None, typer.Option(help="All of a day's candles, 2021-03-01.")] = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a past decision with today's code and the candles known then. Exit code 1 if it differs."""
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.strategies import replay as replaying

    since = moment(day)
    if (evaluation is None) == (since is None):
        raise EightbellsError("name the number of an evaluation, or a day with --day")
    settings = load_settings()
    with open_database(settings) as engine, engine.connect() as connection:
        if since is None:
            assert evaluation is not None
            found = [replaying.replay(connection, settings, evaluation)]
        else:
            until = since + timedelta(days=1)
            found = list(replaying.replay_between(connection, settings, since, until))
    if as_json:
        print(json.dumps({"replayed": [{**asdict(it), "equal": it.equal} for it in found]}))
    elif not found:
        print("nothing was decided on that day")
    else:
        for it in found:
            print(it.line)
    if not all(it.equal for it in found):
        raise typer.Exit(1)


def _names(given: str | None) -> list[str]:
    if given is None:
        return []
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise EightbellsError("--strategy is empty: give names from the settings")
    return names
