"""How far a load of history is: a bar on a terminal, a line now and then on a pipe, each with rate and time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eightbells.progress import words

if TYPE_CHECKING:
    from tasks.certifying import Certified

_LINE_EVERY_SECONDS = 10.0


@contextmanager
def loading(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yields what is told how many candles are stored, and how many are to be."""
    yield from _bar(console) if console.is_terminal else _lines(console)


def _bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    began = time.monotonic()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("history", total=None, rate="")

        def show(done: int, total: int) -> None:
            rate = done / max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, rate=f"{rate:,.0f}/s")

        yield show


def _lines(console: Console) -> Iterator[Callable[[int, int], None]]:
    began = said = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done and (now - said >= _LINE_EVERY_SECONDS or done == total):
            said, line = now, f"history: {words(done, total, now - began)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    yield show


def show_certified(certified: Certified) -> None:
    """Print every difference with both values."""
    for it in certified.differences:
        said = "the exchange has no such candle" if it.exchange is None else f"the exchange {it.exchange}"
        print(
            f"{it.symbol} {it.open_time:%Y-%m-%d %H:%M} {it.figure}: stored {it.stored} ({it.source}), {said}"
        )
    for symbol, why in certified.failed.items():
        print(f"{symbol} is left out: {why}")
    print(f"{certified.candles:,} candles compared, {len(certified.differences):,} differences")
