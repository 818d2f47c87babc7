"""Steps of a backtest: trade the past, write the report, tell the main figures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import acreate_markdown_artifact

from eightbells.backtest.report import write
from eightbells.backtest.request import Request, backtest
from eightbells.backtest.result import Result
from eightbells.backtest.statistics import by_place, figures
from eightbells.backtest.words import ratio, refusals, rows, share
from eightbells.errors import EightbellsError
from orchestration.exchange_task import limited_task
from orchestration.limits import progressed
from tasks.session import Session


@dataclass(frozen=True)
class Backtested:
    """What is told of a backtest, as markdown and in short, and the file with all of it."""

    markdown: str
    short: str
    file: Path


@limited_task("trade the past")
async def trade_the_past(session: Session, request: Request) -> Backtested:
    """Run a backtest on stored candles, and write its report into the folder `reports` of the data folder."""
    folder = session.settings.directory / "reports"
    file = folder / f"backtest-{session.flow_run or 'by-hand'}.html"

    def run() -> Backtested:
        result, histories, _ = backtest(session.settings, request, session.engine, progressed)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EightbellsError(f"{folder} cannot be made: {error.strerror}") from None
        write(file, result, histories)
        found = figures(result)
        short = f"return {share(found.total_return)}, Sharpe {ratio(found.sharpe)}, {found.trades} trades"
        return Backtested(backtest_markdown(result, file), short, file)

    return await asyncio.to_thread(run)


@limited_task("report of the backtest")
async def publish_backtest(found: Backtested) -> None:
    """Publish the main figures, and where the whole report is."""
    await acreate_markdown_artifact(found.markdown, key="backtest", description=found.short)


def backtest_markdown(result: Result, file: Path) -> str:
    """Figures, profit by strategy and symbol, and what was not traded."""
    lines = ["# Backtest", "", "| figure | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows(figures(result), result.asset)]
    lines += ["", f"| strategy | symbol | profit in {result.asset} | trades | won | stops | fees |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for it in by_place(result):
        won = share(it["win_rate"])
        lines.append(
            f"| {it['strategy']} | {it['symbol']} | {it['profit']:,.2f} | {it['trades']} | {won} | {it['stops']} "
            f"| {it['fees']:,.2f} |"
        )
    reasons, more = refusals(result)
    if reasons:
        lines += ["", "## Not traded", "", *(f"- {reason}" for reason in reasons)]
        lines += [f"- and {more} more reasons"] if more else []
    lines += ["", *result.notes] if result.notes else []
    return "\n".join([*lines, "", f"The report with charts and every trade is the file `{file}`."])
