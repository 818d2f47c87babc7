"""Great Expectations' Data Docs: results of validations, kept as files, and the static site that is made of them.

Where candles are judged a result is only put aside in memory. A run writes its results at its end; the pages are made
when somebody builds the site.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from eightbells.atomic_file import replace_text
from eightbells.candles import grid
from eightbells.quality import data_docs_pages as pages

FOLDER = "data-docs"  # in the data folder, and below the address of /metrics
_MOST_FAILED = 20  # results with a finding that wait in memory
_MOST_ROWS = 20  # named on a page
_EVERY_ROW = (
    "unexpected_list",
    "unexpected_index_list",
    "unexpected_index_query",
    "partial_unexpected_index_list",
)


@dataclass(frozen=True)
class Facts:
    """What a result is about: the batch, and the first rows of which it has found something, in words."""

    batch: int
    source: str
    interval: str
    symbols: int
    candles: int
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Result:
    at: datetime
    facts: Facts
    result: Any

    @property
    def name(self) -> str:
        return f"{self.at:%Y%m%dT%H%M%S%f}-{self.facts.batch}-{self.result.suite_name.rsplit('-', 1)[-1]}"


_lock = threading.Lock()
_failed: deque[_Result] = deque(maxlen=_MOST_FAILED)
_sound: dict[tuple[str, str], _Result] = {}


def note(facts: Facts, result: Any) -> None:
    """Put a result aside: the newest that found something, and of the others the newest of each source and interval."""
    noted = _Result(datetime.now(UTC), facts, result)
    with _lock:
        if result.success:
            _sound[facts.source, facts.interval] = noted
        else:
            _failed.append(noted)


def first_rows(rows: Iterable[tuple[object, object, Iterable[str]]]) -> tuple[str, ...]:
    """The first rows in words, of symbol, open time (ms) and what is wrong: `BTCUSDT 2021-03-01 04:00: duplicate`."""
    return tuple(
        f"{symbol} {grid.label(opened) if type(opened) is int else 'at no time'}: "
        f"{', '.join(reasons).replace('_', ' ')}"
        for symbol, opened, reasons in islice(rows, _MOST_ROWS)
    )


def write(directory: Path, most: int) -> None:
    """Write what waits in memory as files of the data folder, at most so many results in all."""
    with _lock:
        waiting = [*_failed, *_sound.values()]
        _failed.clear()
        _sound.clear()
    if not waiting:
        return
    folder = directory / FOLDER / "results"
    folder.mkdir(parents=True, exist_ok=True)
    for it in waiting:
        kept = {"at": it.at.isoformat(), "facts": vars(it.facts), "result": _as_json(it)}
        replace_text(folder / f"{it.name}.json", json.dumps(kept, default=str))
    prune(directory, most)


def _as_json(noted: _Result) -> dict[str, Any]:
    """What the library's `to_json_dict` gives, at a tenth of the time or less, without the lists of every bad value."""
    result, batch = noted.result, noted.facts.batch
    run = {"run_name": f"batch {batch}" if batch else "refused", "run_time": noted.at.isoformat()}
    outcomes = [
        {
            "success": it.success,
            "expectation_config": {
                "type": it.expectation_config.type,
                "kwargs": it.expectation_config.kwargs,
                "meta": it.expectation_config.meta,
                "severity": it.expectation_config.severity,
            },
            "result": {name: _shown(value) for name, value in it.result.items() if name not in _EVERY_ROW},
            "meta": {},
            "exception_info": dict(it.exception_info),
        }
        for it in result.results
    ]
    return {
        "success": result.success,
        "suite_name": result.suite_name,
        "statistics": result.statistics,
        "meta": {
            "great_expectations_version": result.meta["great_expectations_version"],
            "run_id": run,
        },
        "results": outcomes,
    }


def _shown(value: Any) -> Any:
    """A figure, or first bad values; pairs as text, since the library's page shows 1 and 9 as 19."""
    if not isinstance(value, list):
        return value
    return [
        {**it, "value": _pair(it["value"])} if isinstance(it, dict) and "value" in it else _pair(it)
        for it in value
    ]


def _pair(value: Any) -> Any:
    return " and ".join(map(str, value)) if isinstance(value, list | tuple) else value


def prune(directory: Path, most: int) -> None:
    """Delete all but so many of the newest results, and the pages of those that are gone."""
    names = [it.stem for it in sorted((directory / FOLDER / "results").glob("*.json"))]
    for name in names[: max(0, len(names) - most)]:
        (directory / FOLDER / "results" / f"{name}.json").unlink(missing_ok=True)
    left = {*names[max(0, len(names) - most) :]}
    for page in (directory / FOLDER / "validations").glob("*.html"):
        if page.stem not in left:
            page.unlink(missing_ok=True)


def build(directory: Path, most: int, seconds: float = math.inf) -> int:
    """Make the missing pages and write the index; returns how many validations it lists.

    A page takes half a second: this is nothing for the way of a candle to its order.

    Args:
        seconds: after so many no further page is begun; the index lists it without a link.
    """
    until = time.monotonic() + seconds
    write(directory, most)
    prune(directory, most)
    folder = directory / FOLDER
    (folder / "validations").mkdir(parents=True, exist_ok=True)
    lines = list[str]()
    for file in sorted((folder / "results").glob("*.json"), reverse=True):
        try:
            kept = json.loads(file.read_text())
            page = folder / "validations" / f"{file.stem}.html"
            if not page.exists() and time.monotonic() < until:
                replace_text(page, pages.validation(kept))
            lines.append(pages.line(file.stem if page.exists() else "", kept))
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            continue  # pruned by another process, cut off when the machine failed, or of another version
    replace_text(folder / "style.css", pages.STYLE)
    replace_text(folder / "index.html", pages.index(lines))
    return len(lines)


def page_of(directory: Path, path: str) -> tuple[str, bytes] | None:
    """Content type and content of a page of the site by its path below `data-docs/`; None where there is none."""
    site = (directory / FOLDER).resolve()
    file = (site / (path.strip("/") or "index.html")).resolve()
    kind = {".html": "text/html; charset=utf-8", ".css": "text/css"}.get(file.suffix)
    if kind is None or not file.is_relative_to(site) or not file.is_file():
        return None
    return kind, file.read_bytes()
