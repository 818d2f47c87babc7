"""What the demonstration shows on the terminal: a progress bar, a table per cycle, the comparison. Fits 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cli.history_view import loading

if TYPE_CHECKING:
    from tasks.trading import CycleReport

_MOST_ROWS = 12


class View:
    """The account that the demonstration gives of itself."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._console = Console(stderr=to_stderr, highlight=False)

    def opening(self, source: str, address: str) -> None:
        self._console.print("[bold]Eightbells[/] on a simulated exchange")
        self._console.print(f"  market data  {source}", soft_wrap=True)
        self._console.print(f"  Prefect UI   {address}", soft_wrap=True)
        self._console.print()

    @contextmanager
    def loading(self) -> Iterator[Callable[[int, int], None]]:
        """How far the history is; yields what it is moved with."""
        with loading(self._console) as show:
            yield show

    def cycle(self, number: int, of: int, report: CycleReport) -> None:
        ingested = report.ingested
        table = Table(title=f"Cycle {number} of {of}   candle {report.candle} UTC", title_justify="left")
        strategies = list(dict.fromkeys(decision.strategy for decision in report.evaluated.decisions))
        for name in ("symbol", "close", "data", *strategies, "orders"):
            table.add_column(name, justify="right" if name == "close" else "left", no_wrap=name != "orders")
        for row in self._rows(report, strategies)[:_MOST_ROWS]:
            table.add_row(*row)
        self._console.print(table)
        hidden = len({decision.symbol for decision in report.evaluated.decisions}) - _MOST_ROWS
        if hidden > 0:
            self._console.print(f"  and {hidden} more symbols")
        self._console.print(
            f"  {ingested.checked} candles checked, {ingested.inserted} new, {ingested.quarantined} quarantined · "
            f"{len(report.orders)} orders · {report.fills} fills · equity [bold]{report.equity:,.2f}[/]",
            soft_wrap=True,
        )
        for problem in [*report.problems, *ingested.failed.values()]:
            self._console.print(f"  [red]{problem}[/]", soft_wrap=True)
        self._console.print()

    def _rows(self, report: CycleReport, strategies: list[str]) -> list[list[str]]:
        by_symbol: dict[str, dict[str, Any]] = {}
        for decision in report.evaluated.decisions:
            by_symbol.setdefault(decision.symbol, {})[decision.strategy] = decision
        orders = {
            symbol: [order for order in report.orders if order.symbol == symbol] for symbol in by_symbol
        }
        rows = []
        for symbol, decisions in sorted(by_symbol.items(), key=lambda item: -len(orders[item[0]])):
            verdict = report.ingested.verdicts.get(symbol)
            proven = f"{verdict.checked - verdict.failed}/{verdict.checked} ok" if verdict else "none"
            close = f"{next(iter(decisions.values())).price.normalize():f}"
            targets = [decisions[name].target if name in decisions else "-" for name in strategies]
            placed = ", ".join(
                f"{order.side.lower()} {order.quantity.normalize():f} {order.state.lower().replace('_', ' ')}"
                for order in orders[symbol]
            )
            rows.append([symbol, close, proven, *targets, placed])
        return rows

    def differences(self, found: list[str]) -> None:
        for difference in found[:20]:
            self._console.print(f"  [red]{difference}[/]", soft_wrap=True)

    def closing(self, outcome: dict[str, Any]) -> None:
        table = Table(title="The exchange and the books", title_justify="left", show_header=False)
        for name, value in outcome.items():
            table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
        self._console.print(table)

    def staying(self, address: str) -> None:
        self._console.print()
        self._console.print(
            f"The Prefect UI is at [bold]{address}[/]: runs, artifacts, and deployments to start."
        )
        self._console.print("Ctrl-C ends everything.")

    def leaving(self) -> None:
        self._console.print("ending ...")
