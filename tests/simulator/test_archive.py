"""The public archive: zipped candles by month and day with their checksums."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from typing import Any

from simulated import H4

from tests.exchange import Simulator

MONTHLY = "/data/spot/monthly/klines/BTCUSDT/4h/BTCUSDT-4h-{}.zip"
DAILY = "/data/spot/daily/klines/BTCUSDT/4h/BTCUSDT-4h-{}.zip"


def rows(simulator: Simulator, path: str) -> list[list[str]]:
    packed = simulator.get(path).content
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        name = path.rsplit("/", 1)[1].replace(".zip", ".csv")
        assert archive.namelist() == [name]
        return list(csv.reader(io.TextIOWrapper(archive.open(name))))


def klines(simulator: Simulator, **params: Any) -> list[list[Any]]:
    return list(simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h", **params).json())


def test_a_month_holds_what_klines_serves_in_milliseconds_before_2025(simulator: Simulator) -> None:
    got = rows(simulator, MONTHLY.format("2024-12"))
    expected = klines(simulator, startTime=1_733_011_200_000, endTime=1_735_689_599_999)
    assert got == [[str(value) for value in row] for row in expected]
    assert len(got) == 31 * 6


def test_from_2025_times_are_in_microseconds(simulator: Simulator) -> None:
    got = rows(simulator, DAILY.format("2025-01-15"))
    first = klines(simulator, startTime=int(got[0][0]) // 1000, limit=1)[0]
    assert (got[0][0], got[0][6]) == (f"{first[0]}000", f"{first[6]}999")
    assert got[0][1:6] == first[1:6]
    assert len(got) == 6


def test_a_checksum_goes_with_each_file(simulator: Simulator) -> None:
    path = MONTHLY.format("2025-03")
    told, name = simulator.get(path + ".CHECKSUM").text.split()
    assert name == "BTCUSDT-4h-2025-03.zip"
    assert told == hashlib.sha256(simulator.get(path).content).hexdigest()


def test_a_day_comes_the_next_day_and_a_month_on_the_first_monday_after(simulator: Simulator) -> None:
    assert simulator.get(DAILY.format("2025-12-31")).status_code == 200
    assert simulator.get(DAILY.format("2026-01-01")).status_code == 404
    assert simulator.get(MONTHLY.format("2025-12")).status_code == 404
    simulator.control("clock", time="2026-01-05T00:00Z")  # a Monday
    assert simulator.get(MONTHLY.format("2025-12")).status_code == 200


def test_other_intervals_are_there_and_other_things_are_not(simulator: Simulator) -> None:
    path = "/data/spot/daily/klines/ETHUSDT/1h/ETHUSDT-1h-2025-06-01.zip"
    assert len(rows(simulator, path)) == 24
    for wrong in (
        path.replace("ETH", "NOSUCH"),
        path.replace("2025-06-01", "2025-02-30"),
        path.replace("1h", "7h"),
        path.replace("2025", "2015"),
        "/data/spot/daily/trades/ETHUSDT/ETHUSDT-trades-2025-06-01.zip",
    ):
        assert simulator.get(wrong).status_code == 404


def test_a_checksum_can_be_made_wrong(simulator: Simulator) -> None:
    simulator.control("faults", match={"path": "*.CHECKSUM"}, action={"body": "0" * 64 + "  wrong.zip\n"})
    assert simulator.get(DAILY.format("2025-06-01") + ".CHECKSUM").text.startswith("0" * 64)


def test_the_archive_shows_restated_candles(simulator: Simulator) -> None:
    opened = 1_750_000_000_000 - 1_750_000_000_000 % H4
    simulator.control("candles", symbol="BTCUSDT", restate=[{"at": opened, "volume": "7.00000000"}])
    got = rows(simulator, MONTHLY.format("2025-06"))
    assert [row[5] for row in got if row[0] == f"{opened}000"] == ["7.00000000"]
