"""Every command that the README shows: run as it stands there, by a shell, against an installation of its own.

The tests share that installation and stand in the order of the README; what needs it ended comes last.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from eightbells.database.engine import connect
from eightbells.settings import PROJECT, StrategySettings, load_settings
from eightbells.strategies.contract import build
from tests.control_room.installation import PATIENCE, Installation, standing
from tests.control_room.webhook import Webhook
from tests.exchange import Simulator
from tests.klines import frame, kline, klines, rows_of, wait_until

# What takes long or is not for a test to run, and the file and its words that do run it.
ELSEWHERE = {
    "make demo": ("tests/cli/test_commands.py", '"demo", "--once", "--json"'),
    'make demo ARGS="--cycles 30 --symbols BTCUSDT,ETHUSDT"': ("tests/cli/test_commands.py", '"--cycles"'),
    'make demo ARGS="--data DIR"': ("tests/cli/test_commands.py", '"--data"'),
    'make demo ARGS="--once --json"': ("tests/cli/test_commands.py", '"demo", "--once", "--json"'),
    "make test": (".ci/run", "make test"),
    "make check": (".ci/run", "make check"),
    "make fresh": (".ci/run", "make fresh"),
    "make bench": ("Makefile", "-m tests.benchmarks"),  # by hand: its figures are a machine's
    "make parity": ("tests/backtest/test_parity.py", "tests.backtest.parity"),
    "make crash": ("tests/crash/test_crashes.py", "try_out("),
    "make soak": ("tests/stream/test_soak.py", "soak"),
    'eightbells accept-drift 3 --reason "sold by hand" --proceeds 512.30': (
        "tests/crash/test_acceptance.py",
        '"accept-drift"',
    ),
    'eightbells split DWNUSDT 100 --reason "redenominated"': ("tests/crash/test_holds.py", '"split"'),
    'eightbells confirm DWNUSDT --reason "it was the news"': ("tests/crash/test_holds.py", '"confirm"'),
    'eightbells adopt BTCUSDT trend --reason "bought by hand"': ("tests/crash/test_adoption.py", '"adopt"'),
    'eightbells quarantine release 3 --reason "the right one"': (
        "tests/database/test_quarantine.py",
        '"release"',
    ),
    ". .venv/bin/activate": ("Makefile", "-m venv"),  # here the path holds what it would bring
    "eightbells restore /backups/monday.dump": ("tests/docs/test_readme.py", "def test_the_restore"),
}
# The first quarter of an hour is a story of its own.
FIRST_QUARTER = ("tests/docs/test_first_quarter.py", "def test_the_first_quarter")
ELSEWHERE |= dict.fromkeys(
    (
        "eightbells backfill --symbols BTCUSDT --start 2025-01-01",
        "eightbells strategies new weekly",
        "python test_weekly.py",
        "eightbells strategies check weekly.py --symbols BTCUSDT",
        "eightbells backtest --strategy weekly --report weekly.html",
        "eightbells cycle --symbols BTCUSDT",
        "eightbells orders --strategy weekly",
    ),
    FIRST_QUARTER,
)
ENDLESS = {"eightbells serve", "eightbells metrics"}  # until Ctrl-C
LAST_WORDS = {"eightbells halt": "trading is off", "eightbells resume": "trading is on"}


def shown(language: str) -> list[str]:
    """What stands in each block of a language, as it is outside of a list."""
    text = (PROJECT / "README.md").read_text()
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def blocks() -> list[list[str]]:
    """The lines of each shell block, without comments."""
    lines = [[re.sub(r"\s+#.*", "", line).strip() for line in block.splitlines()] for block in shown("sh")]
    return [[line for line in block if line] for block in lines]


SHOWN = [line for block in blocks() for line in block]
COMMANDS = [line for line in SHOWN if line.startswith("eightbells ") and line not in ELSEWHERE]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def up(folder: Path, market: Simulator) -> Iterator[Installation]:
    """`eightbells up`, with a strategy that trades at once."""
    market.begin()
    place = folder / "up-readme"
    always = {"name": "always", "kind": "tests.always:Always", "capital": "10000"}
    given = {"strategies": [always], "trading__order_type": "market", "budgets__account": "exchange"}
    with standing(place, market, **given) as installation:
        yield installation


@pytest.fixture(scope="module")
def shell(up: Installation, tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Shell:
    return Shell(up, tmp_path_factory.mktemp("backups"), webhook)


class Shell:
    """A shell in the project's folder, as the README leaves it: `eightbells` on its path."""

    def __init__(self, up: Installation, backups: Path, webhook: Webhook) -> None:
        binaries = Path(sys.executable).parent
        assert (binaries / "eightbells").exists()
        path = f"{binaries}:{up.given['PATH']}"
        self._given = up.given | {
            "PATH": path,
            "PREFECT_API_URL": up.note.prefect_api,
        }
        self._up, self._backups, self._webhook = up, backups, webhook

    def start(self, line: str) -> subprocess.Popen[str]:
        """Start a line after what its block has exported."""
        (block,) = [block for block in blocks() if line in block]
        exports = [it for it in block if it.startswith("export ")]
        return subprocess.Popen(
            ["sh", "-ec", "\n".join([*map(self._real, exports), f"exec {self._real(line)}"])],
            cwd=PROJECT,
            env=self._given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, line: str) -> str:
        """Run a line to its end, which must be a good one; returns what it said."""
        process = self.start(line)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        assert "Traceback" not in said, said
        return said

    def _real(self, line: str) -> str:
        """The line with our own for what stands in the README for a reader's own."""
        return (
            line.replace("/backups/", f"{self._backups}/")
            .replace("json://host/path", self._webhook.url)
            .replace(" trend", " always")  # the strategy of this installation
            .replace("ORDER", self._order() if "ORDER" in line else "")
        )

    def _order(self) -> str:
        engine = connect(self._up.database)
        orders = rows_of(engine, "SELECT client_order_id FROM orders ORDER BY id")
        engine.dispose()
        return str(orders[0][0])


def test_every_command_is_run_here_or_elsewhere() -> None:
    others = {line for line in SHOWN if line not in COMMANDS and not line.startswith("export ")}
    assert others == set(ELSEWHERE)
    for line, (file, words) in ELSEWHERE.items():
        assert words in (PROJECT / file).read_text(), line
        target = re.match(r"make (\w+)", line)
        assert not target or re.search(rf"^{target[1]}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_does_what_the_readme_says(
    line: str, shell: Shell, up: Installation, webhook: Webhook
) -> None:
    if line == "eightbells up":
        assert up.process.poll() is None
    elif line in ENDLESS:
        _runs_on_and_ends(shell.start(line))
    else:
        said = shell.run(line)
        assert LAST_WORDS.get(line, "") in said
    if "notify --test" in line:
        assert len(webhook.got) == 1


def test_the_strategy_that_it_shows_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = shown("python")
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    (entry,) = [it for block in shown("toml") for it in tomllib.loads(block).get("strategies", [])]
    strategy = build(StrategySettings(**entry))
    candles = frame([*klines(strategy.window - 1), kline(strategy.window - 1, close="106")])
    assert strategy.decide(candles[["close"]].astype(float)).target == "long"


def test_the_settings_that_it_shows_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in shown("toml"):
        assert load_settings(**tomllib.loads(block))
    modes = []
    for line in SHOWN:
        if line.startswith("export "):
            with monkeypatch.context() as exported:
                for assignment in shlex.split(line)[1:]:
                    exported.setenv(*assignment.split("=", 1))
                modes.append(load_settings().mode)
    assert modes[-3:] == ["testnet", "paper", "live"]


def test_the_restore_brings_the_backup_back_once_all_has_ended(shell: Shell, up: Installation) -> None:
    up.end()
    assert "trading is off" in shell.run("eightbells restore /backups/monday.dump")


def _runs_on_and_ends(process: subprocess.Popen[str]) -> None:
    """It serves or asks somebody, and ends in order on Ctrl-C."""
    wait_until(lambda: process.poll() is not None or psutil.Process(process.pid).net_connections(), PATIENCE)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 130), said
    assert "Traceback" not in said, said
