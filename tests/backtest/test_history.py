"""Candles of a backtest from files and from the database, and the command that reads them."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import pytest

from eightbells.backtest.history import read_folder, read_stored
from eightbells.backtest.request import Request, backtest, chosen
from eightbells.errors import EightbellsError
from eightbells.settings import load_settings
from tests.backtest.past import FIRST, given
from tests.cli.test_commands import assert_one_line, eightbells
from tests.klines import admitted, after, kline, klines

STEP = 4 * 3600 * 1000


def written(folder, rows, name="BTCUSDT-4h.csv"):
    text = "\n".join(",".join(map(str, row)) for row in rows)
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


@pytest.mark.parametrize("name", ["BTCUSDT-4h.csv", "BTCUSDT-4h.csv.gz"])
def test_files_are_read_exactly(tmp_path, name):
    rows = klines(3)
    rows[2][0] *= 1000  # Binance's archive writes microseconds from 2025 on
    (history,) = read_folder(written(tmp_path, [["open_time", *range(11)], *rows], name), ["BTCUSDT"])
    assert history.opens.tolist() == [FIRST, FIRST + STEP, FIRST + 2 * STEP]
    assert history.column("close") == [Decimal("105.25")] * 3
    assert history.assumed


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["no", "kline"], r":4: no kline"),
        (kline(2, low="200"), r":4: its prices do not lie"),
        (kline(2, volume="-1"), r":4: a value is no number"),
        (kline(2, close="NaN"), r":4: a value is no number"),
        (kline(2, open_time=FIRST + 9 * STEP + 5), r":4: it does not open on the four-hour grid"),
        (kline(1), r":4: it does not come after"),
    ],
)
def test_a_line_that_is_no_candle_is_named(tmp_path, row, words):
    folder = written(tmp_path, [*klines(2), [], row])
    with pytest.raises(EightbellsError, match=words):
        read_folder(folder, ["BTCUSDT"])


def test_stored_candles_give_what_the_files_give(engine, tmp_path):
    admitted(engine, klines(40), after(40))
    with engine.connect() as connection:
        (stored,) = read_stored(connection, "paper", ["BTCUSDT"], FIRST + 100 * STEP)
        with pytest.raises(EightbellsError, match="eightbells backfill --symbols ETHUSDT"):
            read_stored(connection, "paper", ["ETHUSDT"], FIRST + 100 * STEP)
    (read,) = read_folder(written(tmp_path, klines(40)), ["BTCUSDT"])
    assert stored.opens.tolist() == read.opens.tolist()
    assert all(
        stored.column(name) == read.column(name) for name in ("open", "high", "low", "close", "volume")
    )
    settings = given()
    ours, _, _ = backtest(settings, Request(), engine)
    theirs, _, _ = backtest(settings, Request(data=tmp_path))
    assert ours.equity == theirs.equity
    assert ours.orders == theirs.orders


def test_choosing_narrows_strategies_and_symbols():
    settings = load_settings()
    narrowed = chosen(settings, Request(["trend"], ["BTCUSDT"]))
    assert [entry.name for entry in narrowed.strategies] == ["trend"]
    assert narrowed.symbols == ["BTCUSDT"]
    with pytest.raises(EightbellsError, match=r"there is no strategy 'trand'.*did you mean trend"):
        chosen(settings, Request(["trand"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "/nowhere"], "/nowhere"),
        (["--data", ".", "--symbols", "BTCUSDT"], "there is no BTCUSDT-4h.csv.gz"),
        (["--from", "2021-13-01"], "2021-13-01 is not a time"),
        (["--strategy", "moon", "--data", "."], "there is no strategy 'moon'"),
        (["--from", "2021-03-02", "--to", "2021-03-01", "--data", "."], "does not lie before the end"),
    ],
)
def test_a_mistake_is_one_clear_line(folder, arguments, words):
    assert_one_line(eightbells("backtest", *arguments, folder=folder), words)


def test_the_command_prints_within_80_columns_and_as_json(folder, tmp_path):
    rows = [kline(slot, close=f"{100 + slot % 9}.5") for slot in range(200)]
    written(tmp_path, rows)
    config = tmp_path / "eightbells.toml"
    config.write_text(
        'symbols = ["BTCUSDT"]\n[[strategies]]\nname = "trend"\nkind = "ma_cross"\ncapital = "1000"\n'
        "parameters = { fast = 3, slow = 9 }\n"
    )
    given_ = {"folder": folder, "EIGHTBELLS_CONFIG": str(config), "COLUMNS": "80"}
    done = eightbells("backtest", "--data", str(tmp_path), **given_)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for word in ("Sharpe", "buy and hold", "worst day", "not traded", "trend"):
        assert word in done.stdout
    done = eightbells("backtest", "--data", str(tmp_path), "--from", "2021-03-05", "--json", **given_)
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["figures"]["start"] == "2021-03-05 00:00"
    assert facts["figures"]["trades"] == len(facts["trades"]) > 0
