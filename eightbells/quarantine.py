"""Quarantined rows, and what a person decides on them: released and stored after all, or dismissed."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid, store
from eightbells.candles.frame import candle_frame
from eightbells.candles.timeframe import Timeframe
from eightbells.errors import EightbellsError

Action = Literal["release", "dismiss"]
# Which of two rows is right, and whether one that was not asked for is, a person can know. No other broken rule is a
# matter of opinion: prices that contradict each other, a candle that still ran.
DECIDABLE = frozenset({"duplicate", "not_requested"})
BY_HAND = "released-by-hand"


@dataclass(frozen=True)
class Quarantined:
    """A row that the suite refused. `raw` is the row as it came; the decision is None while the row is open."""

    id: int
    symbol: str
    open_time: datetime | None
    reasons: list[str]
    raw: Any
    state: str
    why: str | None
    by_whom: str | None
    decided_at: datetime | None
    source: str
    interval: str


_LISTED = """
SELECT q.id, q.symbol, q.open_time, q.reasons, q.raw, q.state, q.why, q.by_whom, q.decided_at, b.source, q."interval"
FROM quarantine AS q INNER JOIN batches AS b ON q.batch_id = b.id
"""


def quarantined(
    connection: Connection,
    symbols: Collection[str] | None = None,
    state: str | None = None,
    limit: int | None = None,
) -> list[Quarantined]:
    """Rows in quarantine, the newest first; of some symbols, or in one state only."""
    rows = connection.execute(
        text(
            f"{_LISTED} WHERE (CAST(:symbols AS text[]) IS NULL OR q.symbol = ANY(:symbols)) "
            "AND (CAST(:state AS text) IS NULL OR q.state = :state) ORDER BY q.id DESC LIMIT :limit"
        ),
        {"symbols": None if symbols is None else list(symbols), "state": state, "limit": limit},
    )
    return [Quarantined(*row) for row in rows]


def decide(
    engine: Engine, account: str, action: Action, numbers: Collection[int], why: str, by: str
) -> list[str]:
    """Release or dismiss open rows, all of them or none; returns a line per row.

    A released row is stored as a candle by a batch of its own, with a validation that names it as released. It replaces
    a candle that is stored in its slot; the old version is kept. A dismissed row no longer keeps its slot open.

    Args:
        numbers: of the rows, as `quarantined` lists them.
        why: for the record.
        by: who decides.

    Raises:
        EightbellsError: there is no such row, it is decided already, nobody may release it, or there is no reason.
    """
    if not why.strip():
        raise EightbellsError("a reason is needed: the books keep it")
    if not numbers:
        raise EightbellsError("no row is named: `eightbells quarantine list` shows their numbers")
    with engine.begin() as connection:
        if action == "release":
            _require_one_per_slot(connection, numbers)
        return [
            _decide(connection, account, action, number, why.strip(), by) for number in dict.fromkeys(numbers)
        ]


def _require_one_per_slot(connection: Connection, numbers: Collection[int]) -> None:
    rival = connection.execute(
        text(
            "SELECT symbol, string_agg(id::text, ', ' ORDER BY id) FROM quarantine WHERE id = ANY(:numbers) "
            "GROUP BY symbol, open_time HAVING count(*) > 1 LIMIT 1"
        ),
        {"numbers": list(numbers)},
    ).one_or_none()
    if rival is not None:
        raise EightbellsError(f"rows {rival[1]} of {rival[0]} are for one slot: release only the right one")


def _decide(connection: Connection, account: str, action: Action, number: int, why: str, by: str) -> str:
    # the lock lets a second decision on the row wait, and find it decided
    connection.execute(text("SELECT FROM quarantined_candles WHERE id = :id FOR UPDATE"), {"id": number})
    found = connection.execute(text(f"{_LISTED} WHERE q.id = :id"), {"id": number}).one_or_none()
    if found is None:
        raise EightbellsError(
            f"no row {number} is in quarantine: `eightbells quarantine list` shows their numbers"
        )
    row = Quarantined(*found)
    if row.state != "open":
        raise EightbellsError(f"row {number} was {row.state} already, by {row.by_whom}: {row.why}")
    batch = _store(connection, row) if action == "release" else None
    command = connection.execute(
        text(
            "INSERT INTO commands (account, command, arguments, why, by_whom) "
            "VALUES (:account, :command, CAST(:arguments AS jsonb), :why, :by) RETURNING id"
        ),
        {
            "account": account,
            "command": action,
            "arguments": json.dumps({"quarantined": number}),
            "why": why,
            "by": by,
        },
    ).scalar_one()
    state = "dismissed" if batch is None else "released"
    connection.execute(
        text("INSERT INTO quarantine_decisions VALUES (:id, :state, :command, :batch)"),
        {"id": number, "state": state, "command": command, "batch": batch},
    )
    slot = "no readable time" if row.open_time is None else grid.label(grid.to_ms(row.open_time))
    return f"{state}: row {number}, {row.symbol} {slot}" + (f", stored by batch {batch}" if batch else "")


def _store(connection: Connection, row: Quarantined) -> int:
    """Store the row as a candle, judged again by itself; returns its batch.

    Raises:
        EightbellsError: it breaks a rule that nobody may set aside.
    """
    from eightbells.quality import suite  # over a second to import

    now_ms = time.time_ns() // 1_000_000
    timeframe = Timeframe.named(row.interval)
    frame = candle_frame(row.symbol, [row.raw])
    broken = sorted({*row.reasons} - DECIDABLE) or suite.judge(frame, now_ms, timeframe).get(0, [])
    if broken:
        words = ", ".join(broken).replace("_", " ")
        raise EightbellsError(
            f"row {row.id} of {row.symbol} cannot be released: {words}; dismiss it, and backfill once the exchange has "
            "corrected its data"
        )
    written = store.write(connection, [store.lines_of(frame)], row.source, now_ms, None, timeframe)
    connection.execute(
        text("DELETE FROM incoming")
    )  # the table of a transaction's rows, of which this is not the last
    connection.execute(
        text(
            'INSERT INTO validations (batch_id, suite, symbol, "interval", last_open_time, success, checked, failed, '
            "statistics) VALUES (:batch, :suite, :symbol, :interval, :opened, TRUE, 1, 0, CAST(:said AS jsonb))"
        ),
        {
            "batch": written.batch,
            "suite": BY_HAND,
            "symbol": row.symbol,
            "interval": row.interval,
            "opened": row.open_time,
            "said": json.dumps({"released": row.id, "set_aside": row.reasons}),
        },
    )
    connection.execute(
        text("UPDATE batches SET checked = 1, inserted = :inserted, revised = :revised WHERE id = :batch"),
        {"batch": written.batch, "inserted": written.inserted, "revised": written.revised},
    )
    return written.batch
