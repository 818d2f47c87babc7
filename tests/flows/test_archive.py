"""Backfill from the archive: the same candles as over REST, and REST for every file that cannot be used."""

from __future__ import annotations

import csv
import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eightbells.candles import grid
from eightbells.candles.timeframe import CYCLE
from flows.backfill import backfill
from tests.database.test_real_klines import read
from tests.flows.conftest import Watch

START = date(2024, 12, 1)
COLUMNS = "symbol, open_time, close_time, open::text, high::text, low::text, close::text, volume::text, "
COLUMNS += "quote_volume::text, trades, taker_buy_base::text, taker_buy_quote::text"
LAID = "data/spot/monthly/klines/BTCUSDT/1h"


def candles(watch: Watch, source: str | None = None) -> list[tuple[Any, ...]]:
    return watch.rows(
        f"SELECT {COLUMNS} FROM candles WHERE source = :source OR CAST(:source AS text) IS NULL ORDER BY 1, 2",
        source=source,
    )


def pages(watch: Watch) -> int:
    """How often REST was asked for more than a look."""
    log = watch.simulator.ask("/simulator/truth?log=100000")["requests"]["log"]
    return sum(it["path"].endswith("/klines") and int(it["limit"] or 0) > 10 for it in log)


@pytest.fixture
def archive(watch: Watch) -> Watch:
    watch.use(symbols=["BTCUSDT", "ETHUSDT"], exchange__archive_url=watch.simulator.url)
    return watch


async def test_the_archive_brings_what_rest_serves(archive: Watch) -> None:
    """Months to 2024 are in milliseconds, later ones in microseconds; the newest month has daily files."""
    ingested = await backfill(start=START, source="archive")
    assert (ingested.quarantined, ingested.unusable, pages(archive)) == (0, {}, 0)
    assert {source for (source,) in archive.rows("SELECT DISTINCT source FROM candles")} == {
        "archive",
        "rest",
    }
    found = candles(archive)
    assert len(found) == 2 * 396 * 6  # to the end of 2025
    assert len(candles(archive, "archive")) >= 2 * 394 * 6  # the last days are not published yet
    for symbol in ("BTCUSDT", "ETHUSDT"):
        stored = [it[1:] for it in found if it[0] == symbol]
        served = [
            kline
            for first in range(grid.to_ms(stored[0][0]), grid.to_ms(stored[-1][0]), 1000 * CYCLE.step_ms)
            for kline in archive.simulator.klines(symbol, first)
        ]
        assert stored == [
            (grid.to_time(it[0]), grid.to_time(it[6]), *it[1:6], *it[7:11])
            for it in {it[0]: it for it in served}.values()
        ]


async def test_a_wrong_checksum_is_reported_and_the_month_fetched_over_rest(archive: Watch) -> None:
    archive.simulator.fault("GET *BTCUSDT-4h-2025-03.zip.CHECKSUM", {"body": "0" * 64 + "  x.zip\n"})
    ingested = await backfill(["BTCUSDT"], start=START, source="archive")
    assert ingested.unusable == {
        "data/spot/monthly/klines/BTCUSDT/4h/BTCUSDT-4h-2025-03.zip": "its checksum is wrong"
    }
    assert (ingested.absent, len(candles(archive))) == (0, 396 * 6)
    months = archive.rows(
        "SELECT DISTINCT to_char(open_time AT TIME ZONE 'UTC', 'YYYY-MM') FROM candles WHERE source = 'rest' ORDER BY 1"
    )
    assert months == [("2025-03",), ("2025-12",)]


async def test_a_missing_file_is_reported_and_fetched_over_rest(archive: Watch) -> None:
    archive.simulator.fault("GET *BTCUSDT-4h-2025-05.zip", {"status": 404, "body": ""})
    ingested = await backfill(["BTCUSDT"], start=START, source="archive")
    ((file, why),) = ingested.unusable.items()
    assert file.endswith("/BTCUSDT-4h-2025-05.zip")
    assert why == "the archive does not have it"
    assert len(candles(archive)) == 396 * 6


async def test_an_archive_that_does_not_answer_is_named_once(archive: Watch) -> None:
    archive.use(exchange__archive_url="http://127.0.0.1:9")
    ingested = await backfill(start=date(2025, 11, 1), source="archive")
    ((address, why),) = ingested.unusable.items()
    assert address == "http://127.0.0.1:9"
    assert why.startswith("the archive does not answer")
    assert len(candles(archive, "rest")) == 2 * 61 * 6


async def test_auto_takes_from_the_archive_what_rest_needs_more_than_one_request_for(archive: Watch) -> None:
    november = date(2025, 11, 1), date(2025, 11, 30)
    await backfill(["BTCUSDT"], start=november[0], end=november[1], source="auto")
    assert {it for (it,) in archive.rows("SELECT DISTINCT source FROM candles")} == {"rest"}
    ingested = await backfill(["BTCUSDT"], start=november[0], end=november[1], interval="15m", source="auto")
    assert (ingested.inserted, ingested.quarantined) == (30 * 96, 0)
    assert {
        it for (it,) in archive.rows("""SELECT DISTINCT source FROM candles WHERE "interval" = '15m'""")
    } == {"archive"}


# Files that Binance has served


@pytest.fixture
def served(market_data: Path, tmp_path: Path) -> Iterator[str]:
    """The archive files of the market data, zipped as the archive has them, at an address of this machine."""
    place = tmp_path / LAID
    place.mkdir(parents=True)
    for file in (market_data / "archive-csv").glob("*.csv"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
            made.write(file, file.name)
        (place / f"{file.stem}.zip").write_bytes(packed.getvalue())
        checksum = hashlib.sha256(packed.getvalue()).hexdigest()
        (place / f"{file.stem}.zip.CHECKSUM").write_text(f"{checksum}  {file.stem}.zip\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2023, 1, 1), date(2023, 1, 31)),
        (date(2024, 12, 1), date(2024, 12, 31)),
        (date(2025, 1, 1), date(2025, 1, 31)),
    ],
    ids=["header, ms", "no header, ms", "no header, us"],
)
async def test_real_files_give_the_rows_of_rest(
    archive: Watch, served: str, market_data: Path, first: date, last: date
) -> None:
    """Four hours of a file make up the candle that REST served for them, and every digit is as it stands there."""
    archive.use(exchange__archive_url=served)
    ingested = await backfill(["BTCUSDT"], start=first, end=last, interval="1h", source="archive")
    assert (ingested.inserted, ingested.quarantined, ingested.unusable) == (744, 0, {})
    text = (market_data / f"archive-csv/BTCUSDT-1h-{first:%Y-%m}.csv").read_text()
    written = [row for row in csv.reader(text.splitlines()) if row[0].isdigit()]
    found = candles(archive, "archive")
    assert [it[3:8] for it in found] == [tuple(row[1:6]) for row in written]
    assert [it[8:] for it in found] == [(row[7], int(row[8]), *row[9:11]) for row in written]
    of_rest = {row[0]: row for row in read(market_data / "klines-4h/BTCUSDT-4h.csv.gz")}
    for number in range(0, len(found), 4):
        assert _joined(found[number : number + 4]) == _of_rest(of_rest[grid.to_ms(found[number][1])])


def _joined(hours: list[tuple[Any, ...]]) -> list[Any]:
    column: Callable[[int], list[Decimal]] = lambda at: [Decimal(hour[at]) for hour in hours]  # noqa: E731
    return [
        hours[0][1], hours[-1][2], column(3)[0], max(column(4)), min(column(5)), column(6)[-1],
        *(sum(column(at)) for at in range(7, 12)),
    ]  # fmt: skip


def _of_rest(row: list[Any]) -> list[Any]:
    return [grid.to_time(row[0]), grid.to_time(row[6]), *map(Decimal, row[1:6]), *map(Decimal, row[7:11])]
