"""The strategies' process: whatever a strategy does is one line about it, and the next one is asked all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from eightbells.settings import LimitSettings, StrategySettings
from eightbells.strategies.contract import Opinion
from eightbells.strategies.process import NoAnswer, StrategyProcess
from tests.unit.test_strategies import walk

LIMITS = LimitSettings()
SOUND = StrategySettings(
    name="sound", kind="tests.always:Always", capital=1, parameters={"target": "long", "window": 5}
)


def misbehaving(how: str, kind: str = "Misbehaving") -> StrategySettings:
    return StrategySettings(name="mine", kind=f"tests.misbehaving:{kind}", capital=1, parameters={"how": how})


@pytest.fixture(scope="module")
def process() -> Iterator[StrategyProcess]:
    process = StrategyProcess()
    yield process
    process.stop()


@pytest.fixture
def candles() -> pd.DataFrame:
    return walk(1, 5)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("none", "the strategy failed: TypeError: None is no Opinion of long or flat"),
        ("nan", "TypeError: nan is no Opinion"),
        ("number", "TypeError: 1.0 is no Opinion"),
        ("word", "TypeError: 'long' is no Opinion"),
        ("frame", "TypeError: open_time"),
        (
            "side",
            "Opinion(target='short', reason='down', stop=None, take_profit=None, weight=None) is no Opinion of long "
            "or flat",
        ),
        ("frame as side", "ValueError: The truth value of a Series is ambiguous"),
        ("no reason", "TypeError: the reason of its Opinion is no text that can be stored: None"),
        ("zero character", r"no text that can be stored: 'a\x00b'"),
        ("half a character", r"no text that can be stored: '\ud800'"),
        ("stop nan", "ValueError: the stop of its Opinion is nan: it must be a finite number"),
        ("stop above", "it must lie above 0 and below the close"),
        ("stop negative", "ValueError: the stop of its Opinion is -1.0: it must lie above 0"),
        ("stop a word", "TypeError: the stop of its Opinion is no number: 'low'"),
        ("target below", "it must lie above the close"),
        ("weight", "ValueError: the weight of its Opinion is 1.5: it must lie between 0 and 1"),
        ("weight infinite", "the weight of its Opinion is inf: it must be a finite number"),
        ("overwrite", "it changed the candles that it was shown"),
        ("shorten", "it changed the candles that it was shown"),
        ("exit", "the strategy failed: SystemExit: 3 (misbehaving.py, line "),
        ("interrupt", "the strategy failed: KeyboardInterrupt: "),
        ("cancel", "the strategy failed: GeneratorExit: "),
        ("unreadable", "the strategy failed: _Unreadable: its message cannot be read (misbehaving.py, line "),
        ("recursion", "the strategy failed: RecursionError: maximum recursion depth exceeded"),
        ("memory", "MemoryError: it needs more memory than limits.strategy_memory_mb (misbehaving.py, line "),
    ],
)
def test_a_strategy_that_fails_is_one_line_and_its_process_goes_on(
    process: StrategyProcess, candles: pd.DataFrame, how: str, words: str
) -> None:
    assert process.decide(SOUND, candles, LIMITS).target == "long"
    before = process.pid
    with pytest.raises(NoAnswer) as raised:
        process.decide(misbehaving(how), candles, LIMITS)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert process.decide(SOUND, candles, LIMITS).target == "long"
    assert process.pid == before
    assert candles.equals(walk(1, 5))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("regex", "decide did not return within 0.3 s: its process was killed (limits.decide_seconds)"),
        ("socket", "decide did not return within 0.3 s: its process was killed (limits.decide_seconds)"),
        ("end", "the strategy ended its process with exit code 3"),
        ("crash", "the strategy's process was ended by SIGSEGV: it crashed, or memory ran out"),
    ],
)
def test_a_strategy_that_hangs_or_crashes_loses_its_process_and_the_next_one_gets_another(
    process: StrategyProcess, candles: pd.DataFrame, how: str, words: str
) -> None:
    process.prepare(misbehaving(how), LIMITS)
    lost = process.pid
    with pytest.raises(NoAnswer) as raised:
        process.decide(misbehaving(how), candles, LimitSettings(decide_seconds=0.3))
    assert str(raised.value) == words
    assert process.decide(SOUND, candles, LIMITS).target == "long"
    assert process.pid != lost
    with pytest.raises(ProcessLookupError):
        os.kill(lost, 0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("tests.misbehaving:NoWindow", "its window must be a whole number from 1 to 100000, not 0"),
        ("tests.misbehaving:NumberedVersion", "its version must be a string of 1 to 100 characters, not 1"),
        ("tests.misbehaving:NoVersion", "AttributeError: 'NoVersion' object has no attribute 'version'"),
        ("tests.misbehaving:Absent", "there is no kind 'tests.misbehaving:Absent'"),
        ("no_such_module:Class", "there is no kind 'no_such_module:Class'"),
        ("..:Class", "there is no kind '..:Class'"),
        (
            "lacking:Class",
            "lacking cannot be imported: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("leaving:Class", "SystemExit: 4 (leaving.py, line 2)"),
        ("garbled:Class", "SyntaxError: invalid syntax (garbled.py, line 1)"),
    ],
)
def test_a_strategy_that_cannot_be_built_says_why(
    process: StrategyProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(4)\n")
    (tmp_path / "garbled.py").write_text("class\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NoAnswer) as raised:
        process.prepare(StrategySettings(name="mine", kind=kind, capital=1), LIMITS)
    assert words in str(raised.value)


def test_a_constructor_that_does_not_return_is_ended(process: StrategyProcess) -> None:
    process.prepare(SOUND, LIMITS)
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="the import or the constructor of tests"):
        process.prepare(misbehaving("none", "Slow"), LimitSettings(start_seconds=0.3))
    assert time.monotonic() - began < 5


def test_what_a_strategy_may_do(process: StrategyProcess, candles: pd.DataFrame) -> None:
    added = process.decide(misbehaving("add a column"), candles, LIMITS)
    assert added == Opinion("long", "it added a column")
    assert process.decide(misbehaving("print"), candles, LIMITS).target == "flat"


def test_a_process_that_is_lost_between_two_questions_is_nobodys_fault(
    process: StrategyProcess, candles: pd.DataFrame
) -> None:
    process.decide(SOUND, candles, LIMITS)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(
        os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
    )  # until it is gone; it is not taken from its parent
    assert process.decide(SOUND, candles, LIMITS).target == "long"
