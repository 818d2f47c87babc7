"""The crash matrix: every point between decision and settlement, crossed with what the exchange did.

    python -m tests.crash.matrix [--sample N --seed S | --part K/N]

Prints the cells as a table, `.` where everything held, and ends with 'N cells, M failed'.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator

from tests.crash.cells import SCENARIOS, Cell, Deed, Scenario, points, run
from tests.crash.world import World, standing

_NAME = 44  # columns of a point's name, so that the widest table stays below 80
Failures = dict[Cell, list[str]]


def every(world: World, part: int = 1, parts: int = 1) -> Iterator[Cell]:
    """All cells, found by runs that are not killed; or the `part`th of so many parts of them, counted from 1."""
    pairs = [(scenario, deed) for scenario in SCENARIOS for deed in scenario.deeds]
    for scenario, deed in pairs[part - 1 :: parts]:
        yield from (Cell(scenario, deed, point) for point in points(world, scenario, deed))


def sample(world: World, count: int, seed: int, deeds: int = 5) -> Iterator[Cell]:
    """Cells chosen by chance, spread over a few deeds of all scenarios."""
    chance = random.Random(seed)
    pairs = [(scenario, deed) for scenario in SCENARIOS for deed in scenario.deeds]
    chosen = chance.sample(pairs, min(deeds, count))
    for number, (scenario, deed) in enumerate(chosen):
        share = count // len(chosen) + (number < count % len(chosen))
        passed = points(world, scenario, deed)
        yield from (Cell(scenario, deed, point) for point in chance.sample(passed, min(share, len(passed))))


def try_out(world: World, cells: Iterable[Cell]) -> tuple[list[Cell], Failures]:
    """Try cells one after the other; what fails is told at once."""
    tried: list[Cell] = []
    failures: Failures = {}
    begun = time.monotonic()
    for cell in cells:
        if tried and (tried[-1].scenario, tried[-1].deed) != (cell.scenario, cell.deed):
            _progress(tried, failures, time.monotonic() - begun)
        tried.append(cell)
        if wrongs := run(world, cell):
            failures[cell] = wrongs
            print(f"FAILED {cell}", *wrongs, sep="\n    ", flush=True)
    _progress(tried, failures, time.monotonic() - begun)
    return tried, failures


def _progress(tried: list[Cell], failures: Failures, seconds: float) -> None:
    last = tried[-1]
    print(
        f"{seconds:6.0f} s  {len(tried):5} cells  {len(failures)} failed  "
        f"{last.scenario.name} / {last.deed.name}",
        flush=True,
    )


def table(tried: list[Cell], failures: Failures) -> Iterator[str]:
    """One table a scenario: points down, what the exchange did across."""
    for scenario in SCENARIOS:
        cells = {(cell.point, cell.deed.name): cell for cell in tried if cell.scenario is scenario}
        if not cells:
            continue
        deeds = [deed for deed in scenario.deeds if any(name == deed.name for _, name in cells)]
        yield from _head(scenario, deeds)
        for point in dict.fromkeys(point for point, _ in cells):
            marks = (_mark(cells.get((point, deed.name)), failures) for deed in deeds)
            yield f"  {point:{_NAME}} {' '.join(marks)}".rstrip()


def _head(scenario: Scenario, deeds: list[Deed]) -> Iterator[str]:
    yield ""
    yield scenario.name
    letters = [chr(ord("a") + number) for number in range(len(deeds))]
    line = " "
    for letter, deed in zip(letters, deeds, strict=True):
        entry = f" {letter} {deed.name};"
        if len(line + entry) > 79:
            yield line
            line = " "
        line += entry
    yield line
    yield f"  {'':{_NAME}} {' '.join(letters)}"


def _mark(cell: Cell | None, failures: Failures) -> str:
    if cell is None:
        return " "
    return "X" if cell in failures else "."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.matrix", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="so many cells instead of all")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--part", default="1/1", help="2/6: the second of six parts, to be run side by side")
    chosen = parser.parse_args(arguments)
    part, parts = map(int, chosen.part.split("/"))
    with standing() as world:
        cells = sample(world, chosen.sample, chosen.seed, 10) if chosen.sample else every(world, part, parts)
        tried, failures = try_out(world, cells)
    print(*table(tried, failures), sep="\n")
    print(f"\n{len(tried)} cells, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
