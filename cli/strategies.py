"""The commands `strategies list`, `strategies new` and `strategies check`."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cli.answers import AsJson, listed
from cli.backtest import Data, Symbols
from eightbells.errors import EightbellsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eightbells.backtest.checks import Checked
    from eightbells.backtest.history import History
    from eightbells.settings import Settings, StrategySettings

strategies = typer.Typer(help="List the strategies, create one, or check one.", no_args_is_help=True)


@strategies.command("list")
def list_strategies(as_json: AsJson = False) -> None:
    """List the built-in strategies and those of the settings."""
    from rich.console import Console
    from rich.table import Table

    from eightbells.settings import StrategySettings, load_settings
    from eightbells.strategies.contract import BUILT_IN, build

    rows: list[dict[str, Any]] = []
    for kind in BUILT_IN:
        made = build(StrategySettings(name=kind, kind=kind, capital=Decimal(1)))
        parameters = type(made).Parameters().model_dump(mode="json")
        about = inspect.getdoc(sys.modules[type(made).__module__]) or ""
        rows.append(
            {"name": kind, "built_in": True, "window": made.window, "parameters": parameters, "about": about}
        )
    for entry in load_settings().strategies:
        row: dict[str, Any] = {
            "name": entry.name,
            "built_in": False,
            "kind": entry.kind,
            "parameters": entry.parameters,
        }
        try:
            rows.append({**row, "window": build(entry).window})
        except EightbellsError as error:
            rows.append({**row, "problem": str(error)})
    if as_json:
        print(json.dumps({"strategies": rows}, default=str))
        return
    table = Table(box=None, pad_edge=False, show_edge=False)
    for head in ("strategy", "candles", "what it is"):
        table.add_column(head)
    for it in rows:
        words = it.get("problem") or it.get("about", "").partition("\n\n")[0].replace("\n", " ")
        given = ", ".join(f"{name} {value}" for name, value in it["parameters"].items())
        what = (
            f"{words} ({given})"
            if it["built_in"]
            else f"{it['kind']}, of the settings ({given}) {words}".strip()
        )
        table.add_row(it["name"], str(it.get("window", "")), what)
    Console(highlight=False).print(table)


@strategies.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the strategy, such as my_trend.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(),
) -> None:
    """Write a small working strategy and its test."""
    from eightbells.strategies import template

    file, test = template.write(name, folder)
    print(
        f"{file} is the strategy, {test} its test. Its entry for eightbells.toml:\n\n{template.entry(name)}"
    )


@strategies.command()
def check(
    strategy: Annotated[str, typer.Argument(help="A file, or the name of a strategy in the settings.")],
    symbols: Symbols = None,
    data: Data = None,
    parameters: Annotated[
        str | None, typer.Option(help='As JSON: {"candles": 42}; default: its own.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a strategy's signals and speed on past candles, and whether it looks ahead. Exit code 1 if it fails."""
    from eightbells.backtest.history import symbols_in
    from eightbells.backtest.request import candles
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.strategies.contract import build, needs_of

    settings = load_settings()
    entry = _entry(strategy, settings, parameters)
    built = build(entry)  # what is wrong with it is told before any candle is read
    chosen = listed(symbols) if symbols is not None else settings.symbols_of(entry)
    if data is not None and symbols is None:
        chosen = [symbol for symbol in chosen if symbol in symbols_in(data)] or chosen
    chosen = list(dict.fromkeys([*chosen, *needs_of(built)]))
    with nullcontext() if data is not None else open_database(settings) as engine:
        histories = candles(settings, chosen, 2**42, data, engine)
    found = _checked(entry, histories, settings.candles.max_pause)
    if as_json:
        print(json.dumps({"kind": entry.kind, "checked": [asdict(it) for it in found]}))
    else:
        _show(found)
    if any(it.problems for it in found):
        raise typer.Exit(1)


def _checked(entry: StrategySettings, histories: Sequence[History], max_pause: int) -> list[Checked]:
    """Symbol by symbol, or of all symbols at once where the strategy decides so."""
    from eightbells.backtest.checks import check as examine
    from eightbells.backtest.universe_checks import check_all
    from eightbells.strategies.contract import Strategy, UniverseStrategy, build, sees_all

    if sees_all(build(entry)):
        return [check_all(lambda: cast("UniverseStrategy", build(entry)), entry, histories, max_pause)]
    return [examine(lambda: cast("Strategy", build(entry)), history) for history in histories]


def _show(found: list[Checked]) -> None:
    for it in found:
        print(f"{it.symbol}: {it.windows} windows, {it.long} long, {it.changes} changes")
        if it.windows:
            print(f"  newest  {it.last}")
            print(f"  time    {it.seconds * 1000:.2f} ms a decision, {it.slowest * 1000:.2f} ms the slowest")
        for problem in it.problems:
            print(f"  fail    {problem}")
        for warning in it.warnings:
            print(f"  warn    {warning}")
        if not it.problems:
            print("  ok      no look-ahead found, and the same answers twice")


def _entry(given: str, settings: Settings, parameters: str | None) -> StrategySettings:
    """The strategy as an entry of the settings."""
    from eightbells.settings import StrategySettings
    from eightbells.settings.names import suggestion

    path = Path(given)
    if path.suffix == ".py":
        entry = StrategySettings(name="checked", kind=_kind_in(path), capital=Decimal(1))
    else:
        names = [it.name for it in settings.strategies]
        if given not in names:
            raise EightbellsError(
                f"{given} is neither a file that ends in .py nor a strategy of the settings{suggestion(given, names)}"
            )
        entry = settings.strategies[names.index(given)]
    if parameters is None:
        return entry
    try:
        read = json.loads(parameters)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise EightbellsError('--parameters is no JSON object: write it as {"candles": 42}')
    return entry.model_copy(update={"parameters": read})


def _kind_in(path: Path) -> str:
    """`module:Class` of the one strategy in a file, whose folder is made importable."""
    if not path.is_file():
        raise EightbellsError(f"there is no file {path}")
    if not path.stem.isidentifier():
        raise EightbellsError(f"{path.name} cannot be imported: name it with letters, digits and _ only")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:
        said = "".join(str(error).splitlines()[:1])
        raise EightbellsError(f"{path} cannot be imported: {type(error).__name__}: {said}") from None
    kinds = [
        name
        for name, it in vars(module).items()
        if isinstance(it, type)
        and it.__module__ == module.__name__
        and (hasattr(it, "decide") or hasattr(it, "decide_all"))
        and hasattr(it, "Parameters")
    ]
    if len(kinds) != 1:
        what = (
            f"several strategies: {', '.join(kinds)}"
            if kinds
            else "no class with Parameters and decide or decide_all"
        )
        raise EightbellsError(f"{path} has {what}; a file to check has one")
    return f"{path.stem}:{kinds[0]}"
