"""What the suite says of each symbol in a batch, and the validations that keep it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd
from sqlalchemy import Connection, Row, text

from eightbells.candles import grid
from eightbells.candles.timeframe import Timeframe


@dataclass(frozen=True)
class Verdict:
    """What the suite said of one symbol's rows; `validation` is what a decision on `last_open` may refer to."""

    symbol: str
    last_open: int
    checked: int
    failed: int
    reasons: dict[str, int]
    validation: int

    @property
    def success(self) -> bool:
        return self.failed == 0

    @property
    def words(self) -> str:
        """What the rows break, for a person: `low above open (1)`."""
        return ", ".join(f"{code.replace('_', ' ')} ({count})" for code, count in self.reasons.items())


def verdicts_of(frame: pd.DataFrame, reasons: dict[int, list[str]], now_ms: int) -> dict[str, Verdict]:
    """One verdict for each symbol, not yet kept."""
    newest: dict[str, int] = {}
    checked, failed, against = Counter[str](), Counter[str](), defaultdict[str, Counter[str]](Counter)
    for index, symbol, opened in zip(frame.index, frame["symbol"], frame["open_time"], strict=True):
        checked[symbol] += 1
        # a row that claims to come from the future says nothing of what has been delivered
        says = opened if type(opened) is int and opened <= now_ms else 0
        newest[symbol] = max(newest.get(symbol, 0), says)
        if index in reasons:
            failed[symbol] += 1
            against[symbol].update(reasons[index])
    return {
        symbol: Verdict(symbol, newest[symbol], times, failed[symbol], dict(against[symbol]), 0)
        for symbol, times in checked.items()
    }


def validated(
    connection: Connection, verdicts: dict[str, Verdict], timeframe: Timeframe
) -> dict[str, Verdict]:
    """The verdicts with the validations that are in the table already; 0 where there is none."""
    rows = connection.execute(
        text(
            "SELECT v.symbol, max(v.id) FROM validations AS v "
            "INNER JOIN unnest("
            "CAST(:symbols AS text[]), CAST(:opened AS timestamptz[]), CAST(:success AS boolean[])"
            ") AS w (symbol, opened, success) "
            "ON v.symbol = w.symbol AND v.last_open_time = w.opened AND v.success = w.success "
            'WHERE v."interval" = :interval GROUP BY v.symbol'
        ),
        _columns(verdicts, timeframe),
    )
    return _numbered(verdicts, rows)


def keep_validations(
    connection: Connection, verdicts: dict[str, Verdict], batch: int, suite: str, timeframe: Timeframe
) -> dict[str, Verdict]:
    """The verdicts with new validations of this batch."""
    given = verdicts.values()
    rows = connection.execute(
        text(
            'INSERT INTO validations (batch_id, suite, symbol, "interval", last_open_time, success, checked, failed, '
            "statistics) SELECT :batch, :suite, symbol, :interval, opened, success, checked, failed, statistics "
            "FROM unnest(CAST(:symbols AS text[]), CAST(:opened AS timestamptz[]), CAST(:success AS boolean[]), "
            "CAST(:checked AS integer[]), CAST(:failed AS integer[]), CAST(:statistics AS jsonb[])) "
            "AS w (symbol, opened, success, checked, failed, statistics) RETURNING symbol, id"
        ),
        {
            **_columns(verdicts, timeframe),
            "batch": batch,
            "suite": suite,
            "checked": [verdict.checked for verdict in given],
            "failed": [verdict.failed for verdict in given],
            "statistics": [json.dumps(verdict.reasons) for verdict in given],
        },
    )
    return _numbered(verdicts, rows)


def _columns(verdicts: dict[str, Verdict], timeframe: Timeframe) -> dict[str, object]:
    return {
        "interval": timeframe.name,
        "symbols": list(verdicts),
        "opened": [grid.to_time(verdict.last_open) for verdict in verdicts.values()],
        "success": [verdict.success for verdict in verdicts.values()],
    }


def _numbered(verdicts: dict[str, Verdict], rows: Iterable[Row[tuple[str, int]]]) -> dict[str, Verdict]:
    numbers = {row.symbol: row[1] for row in rows}
    return {
        symbol: replace(verdict, validation=numbers.get(symbol, 0)) for symbol, verdict in verdicts.items()
    }
