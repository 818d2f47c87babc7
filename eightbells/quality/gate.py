"""The gate: every candle is judged here, good rows are stored and bad ones set aside, in one transaction."""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import Connection, Engine, text

from eightbells import metrics
from eightbells.candles import gaps, grid, store
from eightbells.candles.frame import concatenate, only_closed


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


@dataclass(frozen=True)
class Admission:
    """What became of a batch of klines."""

    batch: int
    checked: int = 0
    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)


def admit(
    engine: Engine, frames: list[pd.DataFrame], source: str, now_ms: int, flow_run: str | None = None
) -> Admission:
    """Judge the closed candles of any number of symbols, store the sound ones, quarantine the rest row by row.

    A batch that brings nothing new leaves no trace: it answers with the validations that are there already.

    Args:
        frames: candle frames; candles that still run are left out.
        source: `rest`, `ws` or `archive`.
        now_ms: the exchange's time.
    """
    frame = only_closed(concatenate(frames), now_ms) if frames else pd.DataFrame()
    if frame.empty:
        return Admission(batch=0)
    from eightbells.quality import suite  # two seconds to import: only where something is judged

    reasons = suite.judge(frame, now_ms)
    bad = frame.index.isin(list(reasons))
    with engine.connect() as connection, connection.begin() as transaction:
        written = store.write(connection, frame[~bad], source, now_ms, flow_run)
        kept = _quarantine(connection, frame[bad], reasons, written.batch)
        new = bool(written.inserted or written.revised or kept)
        record = functools.partial(_record, connection, frame, reasons, now_ms, written.batch, suite.NAME)
        verdicts = record(reuse=not new)
        _close_batch(connection, written, len(frame), kept)
        if not new and all(verdict.validation for verdict in verdicts.values()):
            transaction.rollback()
        elif not new:  # proven for the first time, though stored before
            verdicts = record(reuse=False)
    _count(written, kept, reasons)
    return Admission(written.batch, len(frame), written.inserted, written.revised, len(reasons), verdicts)


def _quarantine(connection: Connection, bad: pd.DataFrame, reasons: dict[int, list[str]], batch: int) -> int:
    rows = [
        {
            "batch": batch, "symbol": row.symbol, "interval": grid.INTERVAL, "reasons": reasons[int(str(index))],
            "opened": grid.to_time(row.open_time) if type(row.open_time) is int else None,
            "raw": _as_json(row.raw),
        }
        for index, row in zip(bad.index, bad.itertuples(), strict=True)
    ]  # fmt: skip
    return sum(
        connection.execute(
            text(
                'INSERT INTO quarantined_candles (batch_id, symbol, "interval", open_time, reasons, raw) '
                "VALUES (:batch, :symbol, :interval, :opened, :reasons, CAST(:raw AS jsonb)) ON CONFLICT DO NOTHING"
            ),
            row,
        ).rowcount
        for row in rows
    )


def _as_json(raw: object) -> str:
    """The row as JSON, or as Python shows it where Postgres cannot hold it: NaN, a zero byte, half a surrogate."""
    try:
        shown = json.dumps(raw, ensure_ascii=False, allow_nan=False)
        shown.encode()
    except (TypeError, ValueError):
        return json.dumps(repr(raw))
    return json.dumps(repr(raw)) if r"\u0000" in shown else shown


def _record(
    connection: Connection,
    frame: pd.DataFrame,
    reasons: dict[int, list[str]],
    now_ms: int,
    batch: int,
    suite: str,
    *,
    reuse: bool,
) -> dict[str, Verdict]:
    """One verdict for each symbol; with `reuse` those that are in the table already, else new rows."""
    verdicts = {}
    for symbol, rows in frame.groupby("symbol", sort=False):
        against = [reasons[index] for index in rows.index if index in reasons]
        # a row that claims to come from the future says nothing of what has been delivered
        opens = [opened for opened in rows["open_time"] if type(opened) is int and opened <= now_ms]
        verdict = Verdict(
            str(symbol), max(opens, default=0), len(rows), len(against),
            dict(Counter(reason for row in against for reason in row)), 0,
        )  # fmt: skip
        number = _known(connection, verdict) if reuse else _insert(connection, verdict, batch, suite)
        verdicts[verdict.symbol] = Verdict(**{**vars(verdict), "validation": number})
    return verdicts


def _known(connection: Connection, verdict: Verdict) -> int:
    found: int | None = connection.execute(
        text(
            'SELECT max(id) FROM validations WHERE symbol = :symbol AND "interval" = :interval '
            "AND last_open_time = :opened AND success = :success"
        ),
        _values(verdict),
    ).scalar_one()
    return found or 0


def _insert(connection: Connection, verdict: Verdict, batch: int, suite: str) -> int:
    number: int = connection.execute(
        text(
            'INSERT INTO validations (batch_id, suite, symbol, "interval", last_open_time, success, checked, failed, '
            "statistics) VALUES (:batch, :suite, :symbol, :interval, :opened, :success, :checked, :failed, "
            "CAST(:statistics AS jsonb)) RETURNING id"
        ),
        {
            **_values(verdict), "batch": batch, "suite": suite, "checked": verdict.checked,
            "failed": verdict.failed, "statistics": json.dumps(verdict.reasons),
        },
    ).scalar_one()  # fmt: skip
    return number


def _values(verdict: Verdict) -> dict[str, object]:
    return {
        "symbol": verdict.symbol, "interval": grid.INTERVAL,
        "opened": grid.to_time(verdict.last_open), "success": verdict.success,
    }  # fmt: skip


def _close_batch(connection: Connection, written: store.Written, checked: int, quarantined: int) -> None:
    connection.execute(
        text(
            "UPDATE batches SET checked = :checked, inserted = :inserted, revised = :revised, "
            "quarantined = :quarantined WHERE id = :batch"
        ),
        {**vars(written), "checked": checked, "quarantined": quarantined},
    )


def _count(written: store.Written, kept: int, reasons: dict[int, list[str]]) -> None:
    metrics.CANDLES_STORED.inc(written.inserted)
    metrics.CANDLES_REVISED.inc(written.revised)
    metrics.CANDLES_QUARANTINED.inc(kept)
    for reason, times in Counter(reason for row in reasons.values() for reason in row).items():
        metrics.VALIDATION_FAILURES.labels(reason).inc(times)


def objection(
    connection: Connection, verdict: Verdict | None, symbol: str, open_ms: int, window: pd.DataFrame
) -> str | None:
    """Why nothing may be decided on this symbol's candle, or None where the window is proven.

    Args:
        verdict: what the suite said of the batch that brought the candle, if there was one.
        open_ms: the candle to decide on.
        window: the candles that the decision looks at, as `store.read_window` gives them.
    """
    if verdict is None or verdict.last_open < open_ms:
        return "the exchange did not deliver the candle"
    if not verdict.success:
        return "validation failed: " + ", ".join(
            f"{reason} ({count})" for reason, count in verdict.reasons.items()
        )
    if window.empty or grid.to_ms(window.index[-1]) != open_ms:
        return "the candle is not stored"
    missing = gaps.missing(connection, symbol, grid.to_ms(window.index[0]), open_ms)
    if missing.size:
        return f"{missing.size} candle(s) of the window are missing, the first {grid.label(int(missing[0]))}"
    return None
