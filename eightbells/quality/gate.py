"""The gate: every candle is judged here, good rows are stored and bad ones set aside, in one transaction."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, text

from eightbells import events, metrics
from eightbells.candles import grid, store
from eightbells.candles.frame import INTEGERS, KLINE, concatenate, only_closed
from eightbells.candles.klines import Klines, PlainKlines, plain
from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.errors import UnusableBatch
from eightbells.quality import data_docs, oddities
from eightbells.quality.oddities import Asked, Bounds, Digits
from eightbells.quality.verdicts import Verdict, keep_validations, validated, verdicts_of

_BOUNDS = Bounds()


@dataclass(frozen=True)
class Admission:
    """What became of a batch of klines. `warned` counts stored candles by what is odd about them."""

    batch: int
    checked: int = 0
    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)

    def and_then(self, other: Admission) -> Admission:
        """This one and a later one, of other symbols."""
        return Admission(
            other.batch or self.batch,
            self.checked + other.checked,
            self.inserted + other.inserted,
            self.revised + other.revised,
            self.quarantined + other.quarantined,
            self.verdicts | other.verdicts,
            Counter(self.warned) + Counter(other.warned),
        )


def admit(
    engine: Engine,
    frames: list[pd.DataFrame],
    source: str,
    now_ms: int,
    flow_run: str | None = None,
    bounds: Bounds = _BOUNDS,
    timeframe: Timeframe = CYCLE,
) -> Admission:
    """Judge the closed candles of any number of symbols, store the sound ones, quarantine the rest row by row.

    A batch that brings nothing new leaves no trace: it answers with the validations that are there already.

    Args:
        frames: candle frames; candles that still run are left out.
        source: `rest`, `ws` or `archive`.
        now_ms: the exchange's time.
        bounds: from where on a sound candle is odd, and noted.

    Raises:
        UnusableBatch: most rows are wrong in the same way; nothing is stored.
    """
    judged = _by_rows(frames, now_ms, 0, source, timeframe)
    if judged is None:
        return Admission(batch=0)
    return _admit(engine, judged, source, now_ms, flow_run, {}, bounds)


def admit_klines(
    engine: Engine,
    klines: Sequence[Klines],
    source: str,
    now_ms: int,
    flow_run: str | None = None,
    bounds: Bounds = _BOUNDS,
) -> Admission:
    """Judge and store as `admit` does. Of a symbol about which nothing is odd no row is looked at by itself.

    Args:
        klines: of any number of symbols and one timeframe, as the exchange sent them.
    """
    timeframe = klines[0].timeframe if klines else CYCLE
    plains = [(it, plain(it, now_ms)) for it in klines if len(it)]
    odd = {it.symbol for it, read in plains if read is None}
    sound = _sound(
        [read for it, read in plains if read is not None and it.symbol not in odd], now_ms, timeframe
    )
    if sound is None:
        sound, odd = _nothing(timeframe), {it.symbol for it, _ in plains}
    asked: dict[str, list[range]] = {}
    for it, _ in plains:
        asked.setdefault(it.symbol, []).append(it.asked)
    frames = [it.frame for it, _ in plains if it.symbol in odd]
    parts = [sound if sound.checked else None, _by_rows(frames, now_ms, sound.checked, source, timeframe)]
    admission = Admission(batch=0)
    for part in parts:
        if part is not None:
            admission = admission.and_then(_admit(engine, part, source, now_ms, flow_run, asked, bounds))
    return admission


@dataclass(frozen=True)
class _Judged:
    """Rows after the suite: what is to be stored, the bad ones with their reasons, and the verdicts by symbol.

    `good` are blocks of lines, `numbers` the same rows as floats and integers; `result` is what Great Expectations
    returned.
    """

    good: Sequence[bytes]
    numbers: pd.DataFrame
    bad: pd.DataFrame
    reasons: dict[int, list[str]]
    verdicts: dict[str, Verdict]
    checked: int
    timeframe: Timeframe
    result: Any = None


def _nothing(timeframe: Timeframe) -> _Judged:
    return _Judged([], pd.DataFrame(), pd.DataFrame(), {}, {}, 0, timeframe)


def _by_rows(
    frames: list[pd.DataFrame], now_ms: int, others: int, source: str, timeframe: Timeframe
) -> _Judged | None:
    """The closed candles of the frames, judged row by row; None where there are none.

    Args:
        others: how many sound rows the batch has besides.
    """
    frame = only_closed(concatenate(frames), now_ms, timeframe) if frames else pd.DataFrame()
    if frame.empty:
        return None
    from eightbells.quality import suite  # over a second to import: only where something is judged

    reasons = suite.judge(frame, now_ms, timeframe)
    result = suite.last_result()
    if reasons:
        try:
            suite.require_usable(frame, reasons, others, now_ms, timeframe)
        except UnusableBatch:
            facts = data_docs.Facts(0, source, timeframe.name, frame["symbol"].nunique(), len(frame) + others)
            data_docs.note(facts, suite.last_result())
            raise
    bad = frame.index.isin(list(reasons))
    good = frame[~bad]
    numbers = good[[*KLINE]].astype({name: "int64" if name in INTEGERS else "float64" for name in KLINE})
    numbers["symbol"] = pd.Categorical(good["symbol"])
    verdicts = verdicts_of(frame, reasons, now_ms)
    return _Judged(
        [store.lines_of(good)],
        numbers.reset_index(drop=True),
        frame[bad],
        reasons,
        verdicts,
        len(frame),
        timeframe,
        result,
    )


def _sound(found: Sequence[PlainKlines], now_ms: int, timeframe: Timeframe = CYCLE) -> _Judged | None:
    """The klines as judged, where all of them are sound; else None."""
    verdicts: dict[str, Verdict] = {}
    for read in found:
        if len(read):
            before = verdicts.get(read.symbol, Verdict(read.symbol, 0, 0, 0, {}, 0))
            newest = max(int(read.numbers["open_time"].max()), before.last_open)
            verdicts[read.symbol] = replace(before, last_open=newest, checked=before.checked + len(read))
    if not verdicts:
        return _nothing(timeframe)
    from eightbells.quality import suite

    counts = [len(read) for read in found]
    numbers = pd.DataFrame({name: np.concatenate([read.numbers[name] for read in found]) for name in KLINE})
    numbers["symbol"] = pd.Categorical(np.repeat([read.symbol for read in found], counts))
    numbers["asked"] = np.concatenate([read.asked for read in found])
    if not suite.is_sound(numbers, now_ms, timeframe):
        return None
    good = [read.lines for read in found]
    return _Judged(good, numbers, pd.DataFrame(), {}, verdicts, len(numbers), timeframe, suite.last_result())


def _admit(
    engine: Engine,
    judged: _Judged,
    source: str,
    now_ms: int,
    flow_run: str | None,
    asked: Asked,
    bounds: Bounds,
) -> Admission:
    from eightbells.quality import suite

    verdicts, timeframe, odd = judged.verdicts, judged.timeframe, _odd(engine, judged, asked, bounds)
    oddness = suite.last_result() if odd else None
    with engine.connect() as connection, connection.begin() as transaction:
        written = store.write(connection, judged.good, source, now_ms, flow_run, timeframe)
        kept = _quarantine(connection, judged.bad, judged.reasons, written.batch, timeframe)
        new = bool(written.inserted or written.revised or kept)
        known = {} if new else validated(connection, verdicts, timeframe)
        if known and all(verdict.validation for verdict in known.values()):
            verdicts = known
            transaction.rollback()
            warned, is_kept = Counter[str](), False
        else:  # news, or proven for the first time, though stored before
            verdicts = keep_validations(connection, verdicts, written.batch, suite.NAME, timeframe)
            warned = _warn(connection, judged.numbers, odd, written.batch, timeframe)
            _close_batch(connection, written, judged.checked, kept)
            is_kept = True
    _count(written, kept, judged.reasons, warned)
    admission = Admission(
        written.batch,
        judged.checked,
        written.inserted,
        written.revised,
        len(judged.reasons),
        verdicts,
        warned,
    )
    if is_kept:
        _note_results(judged, source, written.batch, odd if warned else {}, oddness)
        events.publish(_event(admission, source, timeframe, flow_run))
    return admission


def _note_results(judged: _Judged, source: str, batch: int, odd: dict[int, list[str]], oddness: Any) -> None:
    """Put aside, for Data Docs, what the suite said of a batch."""
    facts = data_docs.Facts(batch, source, judged.timeframe.name, len(judged.verdicts), judged.checked)
    bad = (
        (row.symbol, row.open_time, judged.reasons[int(str(at))])
        for at, row in zip(judged.bad.index, judged.bad.itertuples(), strict=True)
    )
    data_docs.note(replace(facts, rows=data_docs.first_rows(bad)), judged.result)
    if odd:
        symbols, opens = (judged.numbers[name] for name in ("symbol", "open_time"))
        rows = ((symbols[at], int(opens[at]), codes) for at, codes in odd.items())
        data_docs.note(replace(facts, rows=data_docs.first_rows(rows)), oddness)


def _event(admission: Admission, source: str, timeframe: Timeframe, flow_run: str | None) -> events.Event:
    """That a batch was validated, for those who may act on it."""
    passed = not admission.quarantined
    return events.Event(
        events.CANDLES_VALIDATED,
        f"batch.{admission.batch}",
        f"batch {admission.batch}",
        {"interval": timeframe.name, "source": source, "passed": "yes" if passed else "no"},
        {
            "batch": admission.batch,
            "interval": timeframe.name,
            "source": source,
            "symbols": len(admission.verdicts),
            "candles": admission.checked,
            "stored": admission.inserted,
            "revised": admission.revised,
            "quarantined": admission.quarantined,
            "warnings": dict(admission.warned),
            "failed": sorted(it.symbol for it in admission.verdicts.values() if not it.success),
            "validations": [it.validation for it in admission.verdicts.values()],
        },
        flow_run,
    )


def _odd(engine: Engine, judged: _Judged, asked: Asked, bounds: Bounds) -> dict[int, list[str]]:
    """What is odd about the good rows, by their place."""
    if judged.numbers.empty:
        return {}
    from eightbells.quality import suite

    past = oddities.past_of(engine, judged.numbers, judged.timeframe)
    digits = _digits(judged.good)
    return suite.warnings_of(oddities.look(judged.numbers, digits, past, asked, bounds, judged.timeframe))


def _digits(good: Sequence[bytes]) -> Digits:
    """What gives a row's figures as they are stored; the lines are taken apart once, for the first of them."""
    lines = functools.cache(lambda: b"".join(good).splitlines())
    return lambda row: dict(zip(store.LINE, lines()[row].decode().split("\t"), strict=False))


def _warn(
    connection: Connection, numbers: pd.DataFrame, odd: dict[int, list[str]], batch: int, timeframe: Timeframe
) -> Counter[str]:
    """Note what is odd beside the candles; returns how often each code is new."""
    if not odd:
        return Counter()
    symbols, opens = numbers["symbol"], numbers["open_time"]
    noted = [(symbols[row], int(opens[row]), code) for row, codes in odd.items() for code in codes]
    rows = connection.execute(
        text(
            'INSERT INTO candle_warnings (symbol, "interval", open_time, warning, batch_id) '
            "SELECT symbol, :interval, timestamptz 'epoch' + open_ms * interval '1 millisecond', warning, :batch "
            "FROM unnest(CAST(:symbols AS text[]), CAST(:opens AS bigint[]), CAST(:codes AS text[])) "
            "AS w (symbol, open_ms, warning) ON CONFLICT DO NOTHING RETURNING warning"
        ),
        {
            "interval": timeframe.name,
            "batch": batch,
            "symbols": [symbol for symbol, _, _ in noted],
            "opens": [opened for _, opened, _ in noted],
            "codes": [code for _, _, code in noted],
        },
    )
    return Counter(row.warning for row in rows)


def _quarantine(
    connection: Connection,
    bad: pd.DataFrame,
    reasons: dict[int, list[str]],
    batch: int,
    timeframe: Timeframe,
) -> int:
    rows = [
        {
            "batch": batch,
            "symbol": row.symbol,
            "interval": timeframe.name,
            "reasons": reasons[int(str(index))],
            "opened": grid.to_time(row.open_time) if type(row.open_time) is int else None,
            "raw": _as_json(row.raw),
        }
        for index, row in zip(bad.index, bad.itertuples(), strict=True)
    ]
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


def _close_batch(connection: Connection, written: store.Written, checked: int, quarantined: int) -> None:
    connection.execute(
        text(
            "UPDATE batches SET checked = :checked, inserted = :inserted, revised = :revised, "
            "quarantined = :quarantined WHERE id = :batch"
        ),
        {**vars(written), "checked": checked, "quarantined": quarantined},
    )


def _count(written: store.Written, kept: int, reasons: dict[int, list[str]], warned: Counter[str]) -> None:
    metrics.CANDLES_STORED.inc(written.inserted)
    metrics.CANDLES_REVISED.inc(written.revised)
    metrics.CANDLES_QUARANTINED.inc(kept)
    for reason, times in Counter(reason for row in reasons.values() for reason in row).items():
        metrics.VALIDATION_FAILURES.labels(reason).inc(times)
    for reason, times in warned.items():
        metrics.CANDLE_WARNINGS.labels(reason).inc(times)
