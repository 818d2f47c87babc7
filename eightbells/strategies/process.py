"""A process for strategies, which can be killed: a thread that runs somebody's endless loop cannot."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

import pandas as pd

from eightbells.settings import LimitSettings, StrategySettings
from eightbells.strategies.contract import Opinion, Prepared

_STANDARD_ERROR = 2


class NoAnswer(Exception):
    """A strategy gave no answer: its text says why, and what to do."""


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    pipe: Connection
    ready: dict[str, Prepared] = field(default_factory=dict)  # what it has built
    has_started: bool = False


class StrategyProcess:
    """Asks strategies one question at a time, in a process that is started at the first one and after each loss."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def start(self, limits: LimitSettings) -> None:
        """Let the process start by now, if it has to; nobody waits for it here."""
        with self._lock:
            self._started(limits)

    def prepare(self, entry: StrategySettings, limits: LimitSettings) -> Prepared:
        """Import and construct a strategy.

        Raises:
            NoAnswer: it cannot be used, or took longer than `limits.start_seconds`.
        """
        with self._lock:
            return self._prepared(self._started(limits), entry, limits)

    def decide(self, entry: StrategySettings, candles: pd.DataFrame, limits: LimitSettings) -> Opinion:
        """A strategy's opinion on a window.

        Raises:
            NoAnswer: it failed, ended the process, or took longer than `limits.decide_seconds`.
        """
        answer = self._decided(entry, candles, limits)
        if not isinstance(answer, Opinion):
            raise NoAnswer(answer)
        return answer

    def decide_all(
        self, entry: StrategySettings, universe: pd.DataFrame, limits: LimitSettings
    ) -> dict[str, Opinion | str]:
        """The opinions of a strategy that sees all symbols at once; of a symbol without one, the reason.

        Raises:
            NoAnswer: it failed, ended the process, or took longer than `limits.decide_seconds`.
        """
        answer = self._decided(entry, universe, limits)
        if not isinstance(answer, dict):
            raise NoAnswer(answer)
        return answer

    def _decided(self, entry: StrategySettings, candles: pd.DataFrame, limits: LimitSettings) -> Any:
        with self._lock:
            child = self._started(limits)
            self._prepared(child, entry, limits)
            question = (entry.model_dump_json(), candles, limits.decide_seconds)
            return self._answer(child, question, limits.decide_seconds, "decide", "decide_seconds")

    @property
    def pid(self) -> int | None:
        """The number of the present process."""
        return self._child.process.pid if self._child else None

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._lose()

    def _started(self, limits: LimitSettings) -> _Child:
        if self._child is not None and self._child.process.poll() is not None:
            self._lose()
        if self._child is None:
            ours, theirs = Pipe()
            self._child = _Child(self._spawn(theirs), ours)
            theirs.close()
            ours.send(limits.strategy_memory_mb)
        return self._child

    @staticmethod
    def _spawn(pipe: Connection) -> subprocess.Popen[bytes]:
        """A new interpreter: a fork of this one would inherit locks that its threads hold.

        It is a process group of its own: Ctrl-C does not reach it, and what a strategy starts is killed with it.
        """
        command = [sys.executable, "-m", "eightbells.strategies.child", str(pipe.fileno())]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=_STANDARD_ERROR,  # ours may be read to its end by somebody, and must not outlive us
            pass_fds=(pipe.fileno(),),
            process_group=0,
        )

    def _prepared(self, child: _Child, entry: StrategySettings, limits: LimitSettings) -> Prepared:
        seconds, key = limits.start_seconds, entry.model_dump_json()
        if not child.has_started:
            self._answer(child, None, seconds, "the strategies' process", "start_seconds")
            child.has_started = True
        if key not in child.ready:
            what = f"the import or the constructor of {entry.kind}"
            answer = self._answer(child, (key, (entry, sys.path), seconds), seconds, what, "start_seconds")
            if isinstance(answer, str):
                raise NoAnswer(answer)
            child.ready[key] = answer
        return child.ready[key]

    def _answer(self, child: _Child, question: object, seconds: float, what: str, setting: str) -> Any:
        """The next answer of the process, after a question if there is one; it is killed when none comes in time."""
        too_late = threading.Event()

        def end() -> None:
            too_late.set()
            _kill(child.process)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            if question is not None:
                child.pipe.send(question)
            return child.pipe.recv()
        except (EOFError, OSError):
            self._lose()
            if too_late.is_set():
                raise NoAnswer(
                    f"{what} did not return within {seconds:g} s: its process was killed (limits.{setting})"
                ) from None
            raise NoAnswer(_how_it_ended(child.process.returncode)) from None
        finally:
            timer.cancel()
            if too_late.is_set():
                self._lose()

    def _lose(self) -> None:
        if self._child is not None:
            self._child.pipe.close()
            _kill(self._child.process)
            self._child.process.wait()
            self._child = None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter on macOS, where it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the strategy ended its process with exit code {code}"
    return f"the strategy's process was ended by {signal.Signals(-code).name}: it crashed, or memory ran out"


# One for each process of ours that asks strategies: starting it takes about a second.
PROCESS = StrategyProcess()
atexit.register(PROCESS.stop)
