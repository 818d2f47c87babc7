"""Four-hour klines from CSV files in Binance's format; each mistake is one line with file, line and remedy."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from simulator.candles import H4

Fields = list[str]

NAMED = re.compile(r"(?P<symbol>[^-\s]+)-4h\.csv(\.gz)?")
COLUMNS = (
    "open time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close time",
    "quote volume",
    "trades",
    "taker base volume",
    "taker quote volume",
)
OPENS, CLOSES, TRADES = 0, 6, 8
AS_BINANCE_WRITES = re.compile(r"\d{13}(,\d+\.\d+){5},\d{13},\d+\.\d+,\d+(,\d+\.\d+){2}(,[\d.]+)?")
FROM, UNTIL = 946_684_800_000, 4_102_444_800_000  # 2000 to 2100: what a time in milliseconds can be
GZIP, CHUNK = b"\x1f\x8b", 512
AGAIN = "download it again"


class BadFile(ValueError):
    """One file that cannot be used: where, what is wrong, and what to do."""

    def __init__(self, path: Path, what: str, remedy: str, line: int | None = None):
        super().__init__(f"{path}{'' if line is None else f':{line}'}: {what}; {remedy}")


def find_files(folder: Path, only: tuple[str, ...] | None) -> tuple[dict[str, Path], list[BadFile]]:
    """The kline files of a folder by symbol, and those whose names say no symbol or one that is there already."""
    found: dict[str, Path] = {}
    bad = []
    try:
        paths = sorted(path for path in folder.iterdir() if _is_table(path))
    except OSError as problem:
        what = "there is no folder" if isinstance(problem, FileNotFoundError) else problem.strerror
        raise ValueError(f"{folder}: {what}; put Binance's klines there as SYMBOL-4h.csv.gz") from None
    for path in paths:
        name = NAMED.fullmatch(path.name)
        symbol = name["symbol"].upper() if name else ""
        if only is not None and symbol not in only:
            continue
        if not symbol:
            bad.append(BadFile(path, "its name is not SYMBOL-4h.csv.gz", "rename it, or move it away"))
        elif symbol in found:
            bad.append(BadFile(path, f"{found[symbol].name} has {symbol} already", "keep one of the two"))
        else:
            found[symbol] = path
    return found, bad


def _is_table(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.endswith((".csv", ".csv.gz", ".zip"))


def read_rows(path: Path) -> list[Fields]:
    """The candles of a file in order, times in milliseconds, decimal strings as they stand there.

    Raises:
        BadFile: it cannot be read, holds no candle, or one of its lines is not a four-hour candle.
    """
    rows: list[Fields] = []
    header = ""
    for number, line in _lines(path):
        if not header and not rows and _is_header(line):
            header = line
        elif line != header:  # files that were put together have it again
            try:
                rows.append(_candle(line, rows[-1] if rows else None))
            except _Wrong as wrong:
                raise BadFile(path, wrong.what, wrong.remedy, line=number) from None
    if not rows:
        raise BadFile(path, "holds no candles", f"{AGAIN}, or remove it", line=1)
    return rows


class _Wrong(Exception):
    """What is wrong with a line, and what to do."""

    def __init__(self, what: str, remedy: str):
        super().__init__(what)
        self.what, self.remedy = what, remedy


def _is_header(line: str) -> bool:
    fields = line.split(",")
    return len(fields) >= len(COLUMNS) and not any(character.isdigit() for character in fields[0])


def _candle(line: str, before: Fields | None) -> Fields:
    fields = line.split(",")
    if not AS_BINANCE_WRITES.fullmatch(line):
        fields = _mended(fields)
    opened, closed = int(fields[OPENS]), int(fields[CLOSES])
    if opened % H4:
        raise _Wrong(f"opens at {_utc(opened)}, between two four-hour candles", "take a file of interval 4h")
    if not opened <= closed < opened + H4:
        what = f"opens at {_utc(opened)} and closes at {_utc(closed)}, which is not within four hours"
        raise _Wrong(what, "take a file of interval 4h")
    if before is not None and opened == int(before[OPENS]):
        raise _Wrong(f"the candle of {_utc(opened)} is there twice", "remove one of the two lines")
    if before is not None and opened < int(before[OPENS]):
        what = f"the candle of {_utc(opened)} stands below that of {_utc(int(before[OPENS]))}"
        raise _Wrong(what, "sort the lines by their first column")
    return fields


def _mended(fields: Fields) -> Fields:
    """A line that is not written as Binance's REST API does: other numbers of digits, microseconds."""
    if len(fields) not in (len(COLUMNS), len(COLUMNS) + 1):
        what = f"{len(fields)} column{'s' * (len(fields) > 1)} instead of 12 with commas between them"
        raise _Wrong(what, f"{AGAIN}, or remove the line")
    whole = (OPENS, CLOSES, TRADES)
    mended = [
        _number(name, text, whole=column in whole)
        for column, (name, text) in enumerate(zip(COLUMNS, fields, strict=False))
    ]
    for column in (OPENS, CLOSES):
        mended[column] = str(_milliseconds(COLUMNS[column], int(mended[column])))
    return [*mended, *(text.strip() for text in fields[len(COLUMNS) :])]


def _number(name: str, text: str, *, whole: bool) -> str:
    """A number as Binance writes it, also from 1e-05 and 40.0."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise _Wrong(f"{name} is {text.strip()[:40]!r}, which is not a number", AGAIN) from None
    if not number.is_finite() or number < 0 or (whole and number % 1):
        kind = "a whole number of 0 or more" if whole else "a number of 0 or more"
        raise _Wrong(f"{name} is {text.strip()[:40]}, which is not {kind}", AGAIN)
    return f"{number:f}" if not whole else str(int(number))


def _milliseconds(name: str, time: int) -> int:
    """Milliseconds; Binance's archive has microseconds from 2025 on."""
    if FROM <= time < UNTIL:
        return time
    if FROM <= time // 1000 < UNTIL:
        return time // 1000
    unit = "seconds" if FROM <= time * 1000 < UNTIL else "nanoseconds"
    unit = unit if FROM <= time * 1000 < UNTIL or FROM <= time // 10**6 < UNTIL else "no known unit"
    raise _Wrong(f"{name} {time} is in {unit}", "write it in milliseconds or microseconds since 1970")


def _utc(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


# The file's text


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Its lines with their numbers, without the empty ones."""
    raw = read_file(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise BadFile(path, "is not text", AGAIN, line=line) from None
    for number, content in enumerate(text.split("\n"), start=1):
        if stripped := content.strip():
            yield number, stripped


def read_file(path: Path) -> bytes:
    """What is in a file, unpacked where its name ends in .gz; raises BadFile."""
    try:
        if not path.is_file():
            raise BadFile(path, "is not a file", "put a file in its place, or remove it")
        raw = path.read_bytes()
    except OSError as problem:
        what = f"cannot be read: {problem.strerror}"
        raise BadFile(path, what, "let this user read it, or remove it") from None
    packed = raw.startswith(GZIP)
    if path.suffix != ".gz" and packed:
        raise BadFile(path, "is compressed with gzip", f"name it {path.name}.gz")
    if path.suffix == ".gz" and raw and not packed:
        what = "is not compressed with gzip, though its name ends in .gz"
        raise BadFile(path, what, f"name it {path.stem}, or {AGAIN}", line=1)
    return _unpacked(path, raw) if packed else raw


def _unpacked(path: Path, packed: bytes) -> bytes:
    """The text of one gzip member after another."""
    text, member = bytearray(), zlib.decompressobj(31)
    try:
        for at in range(0, len(packed), CHUNK):
            rest = packed[at : at + CHUNK]
            while rest:
                member = zlib.decompressobj(31) if member.eof else member
                text += member.decompress(rest)
                rest = member.unused_data
    except zlib.error:
        line = text.count(b"\n") + 1
        raise BadFile(path, "its compressed data are damaged from about here on", AGAIN, line=line) from None
    if not member.eof:
        raise BadFile(path, "its compressed data end too early", AGAIN, line=text.count(b"\n") + 1)
    return bytes(text)
