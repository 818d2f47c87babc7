"""`eightbells strategies`: from nothing to a strategy that is checked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.backtest.past import walk
from tests.cli.test_commands import assert_one_line, eightbells


@pytest.fixture
def past(tmp_path):
    """A folder with candles of BTCUSDT."""
    history = walk(5, 700)
    lines = [
        f"{opened},{row.open},{row.high},{row.low},{row.close},1,0,1,1,0,0,0"
        for opened, row in zip(history.opens, history.frame.itertuples(), strict=True)
    ]
    folder = tmp_path / "klines"
    folder.mkdir()
    (folder / "BTCUSDT-4h.csv").write_text("\n".join(lines))
    return folder


def test_a_new_strategy_passes_its_own_test_and_the_check(folder, tmp_path, past):
    done = eightbells("strategies", "new", "my_trend", "--folder", str(tmp_path), folder=folder)
    assert done.returncode == 0, done.stderr
    assert 'kind = "my_trend:MyTrend"' in done.stdout
    test = subprocess.run(
        [sys.executable, "test_my_trend.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert test.returncode == 0, test.stderr
    assert test.stdout.count("passed") == 3
    given = ["strategies", "check", str(tmp_path / "my_trend.py"), "--data", str(past)]
    done = eightbells(*given, "--json", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (checked,) = json.loads(done.stdout)["checked"]
    assert (checked["problems"], checked["windows"]) == ([], 200)
    assert checked["changes"] > 0
    assert_one_line(
        eightbells("strategies", "new", "my_trend", "--folder", str(tmp_path), folder=folder),
        "is there already",
    )


def test_a_strategy_that_looks_ahead_fails_the_check(folder, tmp_path, past):
    (tmp_path / "seer.py").write_text(
        "from eightbells.strategies.contract import Opinion, Parameters\n"
        "class Seer:\n"
        "    version, Parameters, window = '1', Parameters, 3\n"
        "    def __init__(self, parameters): ...\n"
        "    def decide(self, candles): return Opinion('flat', '')\n"
        "    def signals(self, candles): return (candles['close'].shift(-1) > candles['close']).to_numpy()\n"
    )
    done = eightbells("strategies", "check", str(tmp_path / "seer.py"), "--data", str(past), folder=folder)
    assert done.returncode == 1
    assert "fail    signals looks ahead: on candle 2021-" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "My-Trend"], "is no name of a strategy"),
        (["check", "nowhere.py"], "there is no file nowhere.py"),
        (["check", "trand"], "did you mean trend"),
        (["check", "setup.txt.py"], "there is no file"),
        (["check", "trend", "--parameters", "[1]"], "--parameters is no JSON object"),
        (["check", "trend", "--parameters", '{"fats": 1}'], "did you mean fast"),
    ],
)
def test_a_mistake_is_one_clear_line(folder, arguments, words):
    assert_one_line(eightbells("strategies", *arguments, folder=folder), words)


def test_all_are_listed_within_80_columns(folder):
    done = eightbells("strategies", "list", folder=folder, COLUMNS="80")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for name in ("ma_cross", "donchian", "trend", "breakout"):
        assert name in done.stdout
    rows = json.loads(eightbells("strategies", "list", "--json", folder=folder).stdout)["strategies"]
    assert {"name": "trend", "built_in": False}.items() <= next(
        it for it in rows if it["name"] == "trend"
    ).items()
