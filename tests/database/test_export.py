"""`eightbells export`: Parquet files that say exactly what is stored, to DuckDB and to pandas."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.errors import EightbellsError
from eightbells.export import export
from tests.conftest import Configure
from tests.crash.command import command
from tests.klines import FIRST, admitted, after, kline, klines, rows_of

NEW_YEAR = 306 * 6  # slots from FIRST to the first of the next year
EXACT = {"volume": "98765432109876543210.00000001", "open": "100.12345678", "taker_buy_quote": "0.0000000001"}
COLUMNS = (
    'c.symbol, c."interval", c.open_time, c.close_time, c.open, c.high, c.low, c.close, c.volume, c.quote_volume, '
    "c.trades, c.taker_buy_base, c.taker_buy_quote, c.source, c.batch_id"
)


@pytest.fixture
def stored(engine: Engine, database: URL, configure: Configure) -> Engine:
    """Candles on both sides of a new year, of one symbol with many digits; a revision; another symbol."""
    configure(database=database, mode="paper")
    rows = [*klines(3, NEW_YEAR - 3), kline(NEW_YEAR, **EXACT), *klines(2, NEW_YEAR + 1)]
    admitted(engine, rows, after(NEW_YEAR + 3))
    admitted(engine, [kline(NEW_YEAR - 1, volume="13")], after(NEW_YEAR + 4))
    admitted(engine, klines(2), after(2), "ETHUSDT")
    return engine


def _exported(folder: Path, *arguments: str) -> list[str]:
    said = command({}, "export", str(folder), *arguments)
    assert said.code == 0, said.complaint
    return said.answer.splitlines()


def test_each_symbol_and_year_is_a_file_that_a_line_names(stored: Engine, tmp_path: Path) -> None:
    btc = tmp_path / "BTCUSDT"
    assert _exported(tmp_path) == [
        f"{btc}/BTCUSDT-4h-2021.parquet 3 rows",
        f"{btc}/BTCUSDT-4h-2022.parquet 3 rows",
        f"{tmp_path}/ETHUSDT/ETHUSDT-4h-2021.parquet 2 rows",
        "8 rows in 3 files",
    ]
    assert sorted(it.name for it in btc.iterdir()) == ["BTCUSDT-4h-2021.parquet", "BTCUSDT-4h-2022.parquet"]


def test_duckdb_reads_every_digit_and_the_ids_that_prove_it(stored: Engine, tmp_path: Path) -> None:
    _exported(tmp_path)
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        read = duck.read_parquet(f"{tmp_path}/*/*.parquet").order("symbol, open_time")
        found, types = read.fetchall(), dict(zip(read.columns, map(str, read.types), strict=True))
    expected = rows_of(
        stored,
        f"SELECT {COLUMNS}, v.id FROM candles AS c INNER JOIN validations AS v "
        "ON c.batch_id = v.batch_id AND c.symbol = v.symbol ORDER BY c.symbol, c.open_time",
    )
    assert found == expected
    assert types["close"] == "DECIMAL(38,8)"
    assert types["taker_buy_quote"] == "DECIMAL(38,10)", "the same in all files, with room for every digit"
    assert types["open_time"] == "TIMESTAMP WITH TIME ZONE"
    exact = next(row for row in found if row[8] > 1000)
    assert exact[8] == Decimal(EXACT["volume"])


def test_pandas_reads_it_with_fastparquet(stored: Engine, tmp_path: Path) -> None:
    _exported(tmp_path)
    with open(tmp_path / "BTCUSDT/BTCUSDT-4h-2021.parquet", "rb") as file:
        found = fastparquet.ParquetFile(file).to_pandas()
    assert found["close"].tolist() == [105.25] * 3
    assert found["volume"].tolist() == [12.5, 12.5, 13.0]
    assert found["open_time"].iloc[0] == pd.Timestamp("2021-12-31T12:00"), "UTC, without its zone"
    assert found["trades"].dtype == np.int64
    assert found["symbol"].tolist() == ["BTCUSDT"] * 3
    assert found[["batch_id", "validation_id"]].notna().all(axis=None)


def test_symbols_and_a_span_are_chosen(stored: Engine, tmp_path: Path) -> None:
    lines = _exported(
        tmp_path, "--symbols", "btcusdt", "--from", "2021-12-31T16:00", "--to", "2022-01-01T04:00Z"
    )
    assert [line.split()[-2] for line in lines[:-1]] == ["2", "1"]
    assert lines[-1] == "3 rows in 2 files"


def test_a_candle_without_a_validation_is_there_with_none(stored: Engine, tmp_path: Path) -> None:
    with stored.begin() as connection:
        connection.execute(text("DELETE FROM validations WHERE symbol = 'ETHUSDT'"))
    (done,) = export(stored, tmp_path, ["ETHUSDT"])
    assert done.rows == 2
    assert duckdb.read_parquet(str(done.file)).aggregate("count(validation_id)").fetchall() == [(0,)]


def test_an_export_that_ends_early_leaves_only_whole_files(stored: Engine, tmp_path: Path) -> None:
    writing = export(stored, tmp_path)
    first = next(writing)
    writing.close()  # type: ignore[attr-defined]
    assert [it for it in tmp_path.rglob("*") if it.is_file()] == [first.file]
    before = first.file.read_bytes()
    assert len([*export(stored, tmp_path)]) == 3
    assert first.file.read_bytes() == before, "a second export replaces it by the same"


def test_what_no_decimal_holds_is_refused_before_a_file_is_written(stored: Engine, tmp_path: Path) -> None:
    tiny = "0." + "0" * 27 + "1"
    admitted(stored, [kline(0, volume="12345678901234567890", taker_buy_base=tiny)], after(3), "XUSDT")
    admitted(stored, [kline(1, quote_volume=f"12345678901234567890.{'0' * 27}1")], after(3), "XUSDT")
    with pytest.raises(
        EightbellsError, match="quote_volume needs 20 digits before the point and 28 after it"
    ):
        next(export(stored, tmp_path, ["XUSDT"]))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbols", "NOPEUSDT"], "no candle of NOPEUSDT is stored in this span"),
        (["--from", "2030-01-01"], "no candle is stored in this span"),
        (["--to", "soon"], "soon is not a time"),
    ],
)
def test_a_mistake_is_one_line(stored: Engine, tmp_path: Path, arguments: list[str], words: str) -> None:
    said = command({}, "export", str(tmp_path), *arguments)
    assert (said.code, words in said.complaint, len(said.complaint.splitlines())) == (1, True, 1)


def test_a_folder_that_cannot_be_made_is_one_line(stored: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = command({}, "export", str(tmp_path / "file"))
    assert said.code == 1
    assert "cannot be made" in said.complaint


def test_the_new_year_is_where_the_slots_say() -> None:
    assert datetime.fromtimestamp((FIRST + NEW_YEAR * 4 * 3_600_000) / 1000, UTC) == datetime(
        2022, 1, 1, tzinfo=UTC
    )
