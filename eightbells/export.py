"""Stored candles as Parquet files, one per symbol and year, each with the ids of its batch and validation."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
from sqlalchemy import Connection, Engine, text

from eightbells.candles.timeframe import CYCLE, Timeframe
from eightbells.errors import EightbellsError

_AMOUNTS = (
    "open", "high", "low", "close", "volume", "quote_volume", "taker_buy_base", "taker_buy_quote",
)  # fmt: skip
_DIGITS = 38  # the most that Parquet's and DuckDB's DECIMAL hold
_PLACES = 8  # what the exchange uses; more where a stored value has more
_SAFE_NAME = re.compile(r"\w[\w.-]*")
_CHOSEN = """
c."interval" = :interval AND (CAST(:symbols AS text[]) IS NULL OR c.symbol = ANY(:symbols))
AND c.open_time >= coalesce(CAST(:first AS timestamptz), '-infinity')
AND c.open_time < coalesce(CAST(:last AS timestamptz), 'infinity')
"""
_ROWS = """
SELECT
    c.symbol, c."interval", c.open_time, c.close_time, c.open, c.high, c.low, c.close, c.volume, c.quote_volume,
    c.trades, c.taker_buy_base, c.taker_buy_quote, c.source, c.batch_id, v.id AS validation_id
FROM candles AS c LEFT JOIN validations AS v ON c.batch_id = v.batch_id AND c.symbol = v.symbol
WHERE c.symbol = %(symbol)s AND c."interval" = %(interval)s
AND c.open_time >= %(first)s AND c.open_time < %(last)s ORDER BY c.open_time
"""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    file: Path
    symbol: str
    year: int
    rows: int


def export(
    engine: Engine,
    folder: Path,
    symbols: Collection[str] | None = None,
    first: datetime | None = None,
    last: datetime | None = None,
    timeframe: Timeframe = CYCLE,
) -> Iterator[Exported]:
    """Write FOLDER/SYMBOL/SYMBOL-INTERVAL-YEAR.parquet for each symbol and year, all as of one moment of the database.

    A file is complete or not there; one of the same name is replaced. Prices and volumes are DECIMAL, exactly as
    stored. Times are UTC. validation_id is NULL where the symbol's rows of the batch have no validation.

    Args:
        symbols: those to export. None: all that are stored.
        first: the first open time, included. None: the first that is stored.
        last: the last open time, excluded. None: up to the newest that is stored.

    Raises:
        EightbellsError: nothing is stored of it, the folder cannot be written, or a value has too many digits.
    """
    given: dict[str, object] = {
        "interval": timeframe.name, "first": first, "last": last,
        "symbols": None if symbols is None else list(symbols),
    }  # fmt: skip
    with engine.connect() as connection:
        years = _years(connection, given)
        if symbols is not None and (missing := sorted({*symbols} - {symbol for symbol, *_ in years})):
            raise EightbellsError(f"no candle of {', '.join(missing)} is stored in this span")
        if not years:
            raise EightbellsError("no candle is stored in this span")
        types = _types(connection, given)
        for symbol, year, begin, end in years:
            file = _file(folder, symbol, year, timeframe)
            span = {
                "symbol": symbol,
                "interval": timeframe.name,
                "first": begin,
                "last": end + timeframe.step,
            }
            yield Exported(file, symbol, year, _write(connection, span, types, file))


def _years(connection: Connection, given: dict[str, object]) -> list[tuple[str, int, datetime, datetime]]:
    """Symbol, year, and the first and last open time of what is stored of the two."""
    rows = connection.execute(
        text(
            "SELECT c.symbol, CAST(extract(year FROM c.open_time AT TIME ZONE 'UTC') AS integer) AS year, "
            f"min(c.open_time), max(c.open_time) FROM candles AS c WHERE {_CHOSEN} GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        given,
    )
    return [(symbol, year, begin, end) for symbol, year, begin, end in rows]


def _types(connection: Connection, given: dict[str, object]) -> dict[str, str]:
    """The DECIMAL of each amount that holds every digit, the same in all files.

    Raises:
        EightbellsError: there is none.
    """
    measured = ", ".join(
        f"max(scale(trim_scale(c.{name}))), max(length(trunc(c.{name})::text))" for name in _AMOUNTS
    )
    found = connection.execute(text(f"SELECT {measured} FROM candles AS c WHERE {_CHOSEN}"), given).one()
    types = {}
    for name, places, whole in zip(_AMOUNTS, found[::2], found[1::2], strict=True):
        if max(places, _PLACES) + whole > _DIGITS:
            raise EightbellsError(
                f"{name} needs {whole} digits before the point and {places} after it, a DECIMAL has {_DIGITS} in all: "
                "choose symbols with --symbols"
            )
        types[name] = f"DECIMAL({_DIGITS}, {max(places, _PLACES)})"
    return types


def _file(folder: Path, symbol: str, year: int, timeframe: Timeframe) -> Path:
    if not _SAFE_NAME.fullmatch(symbol):
        raise EightbellsError(f"{symbol!r} cannot be the name of a file: choose symbols with --symbols")
    place = folder / symbol
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EightbellsError(f"the folder {place} cannot be made: {error.strerror}") from None
    return place / f"{symbol}-{timeframe.name}-{year}.parquet"


def _write(connection: Connection, span: dict[str, object], types: dict[str, str], file: Path) -> int:
    """Write one file, through a folder beside it that goes in any case; returns how many rows it has."""
    columns = {
        "symbol": "VARCHAR", "interval": "VARCHAR", "open_time": "TIMESTAMPTZ", "close_time": "TIMESTAMPTZ",
        **{name: types[name] for name in _AMOUNTS[:6]}, "trades": "BIGINT",
        **{name: types[name] for name in _AMOUNTS[6:]}, "source": "VARCHAR", "batch_id": "BIGINT",
        "validation_id": "BIGINT",
    }  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=file.parent) as scratch:
            rows, made = Path(scratch, "rows.csv"), Path(scratch, "made.parquet")
            with (
                open(rows, "wb") as out,
                connection.connection.cursor().copy(f"COPY ({_ROWS}) TO STDOUT (FORMAT csv)", span) as copy,
            ):
                for block in copy:
                    out.write(block)
            with duckdb.connect() as duck:
                duck.execute("SET TimeZone = 'UTC'")
                read = duck.read_csv(str(rows), header=False, columns=columns, auto_detect=False)
                read.to_parquet(str(made), compression="zstd")
                ((written,),) = duck.execute("SELECT count(*) FROM read_parquet(?)", [str(made)]).fetchall()
            os.replace(made, file)
    except OSError as error:
        raise EightbellsError(f"{file} cannot be written: {error.strerror}") from None
    return int(written)
