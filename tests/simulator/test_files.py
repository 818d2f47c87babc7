"""Data folders as people bring them: what is sound is read, and each other file is one line with a remedy."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated import FIRST, H4, RATE_LIMITS, entry, row, running, write_data

from simulator.info_files import read_info
from simulator.kline_files import BadFile, find_files, read_rows
from simulator.options import read_options
from simulator.sources import open_market
from tests.surroundings import ROOT

SOUND = [row(FIRST + number * H4, "1.10", "2.00", "1.00", "1.50") for number in range(3)]
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,trades,tb,tq,ignore"
HOUR = 3_600_000


def changed(number: int, column: int, text: str) -> str:
    fields = SOUND[number].split(",")
    fields[column] = text
    return ",".join(fields)


def in_microseconds(line: str) -> str:
    fields = line.split(",")
    fields[0], fields[6] = fields[0] + "000", fields[6] + "999"
    return ",".join(fields)


def packed(*lines: str) -> bytes:
    return gzip.compress("\n".join([*lines, ""]).encode())


def stored(folder: Path, content: bytes, name: str = "BTCUSDT-4h.csv.gz") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "content",
    [
        packed(*SOUND),
        packed(HEADER, *SOUND),
        packed(HEADER, *SOUND[:2], HEADER, *SOUND[2:]),
        packed("\ufeff" + HEADER, "", *SOUND, ""),
        packed(*(f"{line}\r" for line in SOUND)),
        packed(*map(in_microseconds, SOUND)),
        packed(*SOUND[:2], in_microseconds(SOUND[2])),
        packed(*SOUND[:1]) + packed(*SOUND[1:]),
        packed(*(line.replace(",40,", ", 40.0 ,").replace(",1.10,", ",110e-2,") for line in SOUND)),
    ],
    ids=["bare", "header", "headers", "BOM", "CRLF", "microseconds", "both units", "two members", "pandas"],
)
def test_files_as_they_are_found_are_read(tmp_path: Path, content: bytes) -> None:
    assert [",".join(fields) for fields in read_rows(stored(tmp_path, content))] == SOUND


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "holds no candles; download it again, or remove it"),
        (packed(), 1, "holds no candles"),
        (packed(HEADER), 1, "holds no candles"),
        (packed(HEADER, *SOUND)[:-40], 2, "its compressed data end too early; download it again"),
        (
            packed(*SOUND)[:-8] + b"\0" * 8,
            1,
            "its compressed data are damaged from about here on; download it again",
        ),
        (b"<html>403 Forbidden</html>", 1, "is not compressed with gzip"),
        (gzip.compress(b"\xff\xfe\n"), 1, "is not text"),
        (packed("<html>", *SOUND), 1, "1 column instead of 12 with commas between them; download it again"),
        (packed(*SOUND[:2], SOUND[2][:30]), 3, "5 columns instead of 12"),
        (packed(f"{SOUND[0]},0"), 1, "13 columns instead of 12"),
        (packed(*SOUND[:1], HEADER), 2, "open time is 'open_time', which is not a number"),
        (packed(SOUND[0], changed(1, 2, "high")), 2, "high is 'high', which is not a number"),
        (packed(SOUND[0], changed(1, 4, "")), 2, "close is '', which is not a number"),
        (packed(SOUND[0], changed(1, 5, "nan")), 2, "volume is nan, which is not a number of 0 or more"),
        (packed(SOUND[0], changed(1, 5, "-1.0")), 2, "volume is -1.0, which is not a number of 0 or more"),
        (packed(changed(0, 8, "4.5")), 1, "trades is 4.5, which is not a whole number"),
        (
            packed(changed(0, 0, "2020-09-13 12:00")),
            1,
            "open time is '2020-09-13 12:00', which is not a number",
        ),
        (packed(changed(0, 0, str(FIRST // 1000))), 1, f"open time {FIRST // 1000} is in seconds; write it"),
        (packed(changed(0, 6, f"{FIRST}000000")), 1, f"close time {FIRST}000000 is in nanoseconds"),
        (packed(changed(0, 0, "7")), 1, "open time 7 is in no known unit"),
        (
            packed(SOUND[0], row(FIRST + HOUR, "1", "2", "1", "2")),
            2,
            "between two four-hour candles; take a file",
        ),
        (packed(row(FIRST, "1", "2", "1", "2", FIRST + 6 * H4 - 1)), 1, "which is not within four hours"),
        (packed(row(FIRST, "1", "2", "1", "2", FIRST - 1)), 1, "which is not within four hours"),
        (packed(SOUND[1], SOUND[0]), 2, "sort the lines by their first column"),
        (packed(SOUND[0], SOUND[0]), 2, "is there twice; remove one of the two lines"),
    ],
    ids=itertools.count(),  # packed bytes hold the time, and every worker must name the tests alike
)
def test_a_bad_file_is_named_with_its_line_and_a_remedy(
    tmp_path: Path, content: bytes, line: int, words: str
) -> None:
    file = stored(tmp_path, content)
    with pytest.raises(BadFile) as raised:
        read_rows(file)
    told = str(raised.value)
    assert told.startswith(f"{file}:{line}: ")
    assert words in told
    assert "\n" not in told


def test_a_file_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-4h.csv.gz").mkdir()
    (tmp_path / "ETHUSDT-4h.csv.gz").symlink_to(tmp_path / "nowhere")
    for name in ("BTCUSDT", "ETHUSDT"):
        with pytest.raises(BadFile, match=f"{name}-4h.csv.gz: is not a file; put a file in its place"):
            read_rows(tmp_path / f"{name}-4h.csv.gz")
    with pytest.raises(BadFile, match=r"is compressed with gzip; name it SOLUSDT-4h\.csv\.gz"):
        read_rows(stored(tmp_path, packed(*SOUND), "SOLUSDT-4h.csv"))


def test_names_in_lower_case_are_taken_and_odd_names_are_reported(tmp_path: Path) -> None:
    for name in (
        "btcusdt-4h.csv",
        "BTCUSDT-4h.csv.gz",
        "ethusdt-4h.csv.gz",
        "SOLUSDT-1h.csv.gz",
        "._X-4h.csv",
    ):
        stored(tmp_path, b"", name)
    found, bad = find_files(tmp_path, None)
    assert set(found) == {"BTCUSDT", "ETHUSDT"}
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in bad] == [
        "SOLUSDT-1h.csv.gz: its name is not SYMBOL-4h.csv.gz; rename it, or move it away",
        "btcusdt-4h.csv: BTCUSDT-4h.csv.gz has BTCUSDT already; keep one of the two",
    ]
    assert find_files(tmp_path, ("ETHUSDT",)) == ({"ETHUSDT": tmp_path / "ethusdt-4h.csv.gz"}, [])


SYMBOL = entry("BTCUSDT")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", ":1: is not JSON: "),
        (b"{\n\n]", ":3: is not JSON: "),
        (b"\xff\xfe\xfd", ": is not JSON"),
        (b"[]", ":1: has no list 'symbols'"),
        ({"rateLimits": []}, "has no list 'symbols'"),
        ({"symbols": []}, "has no list 'rateLimits'"),
        ({"symbols": ["BTCUSDT"], "rateLimits": []}, "has something else than objects in 'symbols'"),
        ({"symbols": [{**SYMBOL, "filters": None}], "rateLimits": []}, "BTCUSDT has no 'filters'"),
        ({"symbols": [{"symbol": "BTCUSDT"}], "rateLimits": []}, "BTCUSDT has no 'status'"),
        (
            {"symbols": [{**SYMBOL, "filters": [{}]}], "rateLimits": []},
            "a filter of BTCUSDT has no 'filterType'",
        ),
        ({"symbols": [SYMBOL], "rateLimits": [{}]}, "a rate limit lacks its type"),
    ],
)
def test_what_is_no_exchange_info_is_named(tmp_path: Path, content: Any, words: str) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadFile) as raised:
        read_info(stored(tmp_path, gzip.compress(text), "info.json.gz"))
    assert words in str(raised.value)
    assert "; save Binance's answer to /api/v3/exchangeInfo there" in str(raised.value)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulator", "--port", "0", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one sound file."""
    write_data(tmp_path, {"BTCUSDT": SOUND})
    return tmp_path


def test_every_bad_file_has_its_line_and_others_can_be_chosen(folder: Path) -> None:
    klines = folder / "klines-4h"
    for name, content in {"ADAUSDT": b"", "DOTUSDT": packed(*SOUND)}.items():
        stored(klines, content, f"{name}-4h.csv.gz")
    done = simulate("--data", str(folder))
    info = folder / "exchange-info" / "exchangeInfo-2024-01-01.json.gz"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"simulator: {klines}/ADAUSDT-4h.csv.gz:1: holds no candles; download it again, or remove it",
        f"simulator: {klines}/DOTUSDT-4h.csv.gz: DOTUSDT is not listed in {info}; take a newer exchangeInfo",
    ]
    with running("--data", str(folder), "--symbols", "BTCUSDT") as simulator:
        assert [ticker["symbol"] for ticker in simulator.get("/api/v3/ticker/price").json()] == ["BTCUSDT"]


def _write_odd_filter(folder: Path) -> None:
    odd = {**SYMBOL, "filters": [{"filterType": "PRICE_FILTER", "tickSize": "small"}]}
    info = {"symbols": [odd], "rateLimits": RATE_LIMITS}
    stored(folder / "exchange-info", gzip.compress(json.dumps(info).encode()), "z.json.gz")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "klines-4h").rename(folder / "klines"), "there is no folder"),
        (lambda folder: (folder / "klines-4h" / "BTCUSDT-4h.csv.gz").unlink(), "holds no SYMBOL-4h.csv.gz"),
        (
            lambda folder: (folder / "exchange-info").rename(folder / "info"),
            "holds no exchangeInfo (*.json.gz)",
        ),
        (_write_odd_filter, "a filter cannot be read"),
    ],
)
def test_a_folder_that_lacks_something_is_one_line(
    folder: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as raised:
        open_market(read_options(["--data", str(folder)]))
    assert words in str(raised.value)
