"""The README's first quarter of an hour, as it stands there: from history to a strategy that runs on paper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from eightbells.settings import PROJECT
from tests.klines import one

BUDGETS = {"budgets__klines": "exchange", "budgets__account": "exchange", "budgets__orders": "exchange"}


def commands() -> list[str]:
    """The lines of the section, without comments."""
    section = (PROJECT / "README.md").read_text().partition("## The first quarter of an hour")[2]
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]


def test_the_first_quarter(
    simulator, database, engine, configure, prefect_server, monkeypatch, tmp_path: Path
) -> None:
    configure(simulator, database, symbols=["BTCUSDT"], candles__settle_seconds="0", **BUDGETS)
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    said = {}
    for line in commands():
        done = subprocess.run(
            ["sh", "-ec", line], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        said[line] = done.stdout
        if "strategies new" in line:
            entry = done.stdout[done.stdout.index("[[strategies]]") :]
            (tmp_path / "eightbells.toml").write_text(entry)
    assert len(said) == 7
    assert one(engine, "SELECT count(*) FROM candles") > 1000
    checked = said["eightbells strategies check weekly.py --symbols BTCUSDT"]
    assert "no look-ahead found" in checked
    assert (
        "the report is in weekly.html" in said["eightbells backtest --strategy weekly --report weekly.html"]
    )
    assert "<title>Backtest</title>" in (tmp_path / "weekly.html").read_text()
    assert one(engine, "SELECT count(*) FROM evaluations WHERE strategy = 'weekly'") == 1
