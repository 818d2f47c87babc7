"""The public archive: zipped CSV files of klines by month and day, each with its checksum."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta

from simulator import intervals
from simulator.market import MAX_ROWS, Market

NAME = re.compile(
    r"^/data/spot/(?P<every>monthly|daily)/klines/(?P<symbol>[A-Z0-9]+)/(?P<interval>\w+)/"
    r"(?P=symbol)-(?P=interval)-(?P<period>\d{4}-\d{2}(-\d{2})?)\.zip(?P<sum>\.CHECKSUM)?$"
)
MICROSECONDS_FROM = datetime(2025, 1, 1, tzinfo=UTC)
NEVER = (1980, 1, 1, 0, 0, 0)  # a fixed date inside the zip, so that its checksum stays the same


def file(market: Market, path: str, now: int) -> bytes | None:
    """The archive's file at a path; None when there is none, or not yet."""
    name = NAME.match(path)
    if name is None or name["interval"] not in intervals.NAMES or name["symbol"] not in market.series:
        return None
    span = _period(name["every"], name["period"])
    if span is None or now < _published(name["every"], span[1]):
        return None
    text = _csv(market, name["symbol"], name["interval"], span, now)
    stem = f"{name['symbol']}-{name['interval']}-{name['period']}"
    if not text:
        return None
    packed = _zip(f"{stem}.csv", text)
    if name["sum"]:
        return f"{hashlib.sha256(packed).hexdigest()}  {stem}.zip\n".encode()
    return packed


def _period(every: str, text: str) -> tuple[datetime, datetime] | None:
    """Beginning and end of a month or a day."""
    try:
        if every == "daily":
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return day, day + timedelta(days=1)
        month = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return month, (month + timedelta(days=31)).replace(day=1)
    except ValueError:
        return None


def _published(every: str, end: datetime) -> int:
    """When a file appears: a day's on the next day, a month's on the first Monday after it."""
    if every == "monthly":
        end += timedelta(days=-end.weekday() % 7)
    return round(end.timestamp() * 1000)


def _csv(market: Market, symbol: str, interval: str, span: tuple[datetime, datetime], now: int) -> bytes:
    start, stop = (round(moment.timestamp() * 1000) for moment in span)
    lines = []
    while start < stop:
        rows = json.loads(market.klines(symbol, interval, start, stop - 1, MAX_ROWS, now))
        if not rows:
            break
        lines += [_line(row, span[0] >= MICROSECONDS_FROM) for row in rows]
        start = rows[-1][0] + 1
    return "".join(lines).encode()


def _line(row: list[object], micro: bool) -> str:
    times = {0: "000", 6: "999"} if micro else {}
    return ",".join(f"{value}{times.get(column, '')}" for column, value in enumerate(row)) + "\n"


def _zip(name: str, text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo(name, NEVER), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
