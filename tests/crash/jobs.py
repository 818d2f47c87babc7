"""What a child is asked to do and what it tells; the child itself is imported only where it is forked from."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.crash.child", "tests.crash.world"])
_LONGEST = 60.0  # seconds that a run may take


@dataclass(frozen=True)
class Job:
    """What to run, as whom, and where to stop.

    Args:
        flow: `cycle`, `reconcile` or `halt`.
        environment: the variables that settings are made of.
        simulator: address of the exchange, whose clock goes on while an order is waited for.
        target: name or number of the point at which `act` is sent to the process itself.
        leaping: the clocks leap where an order is waited for, instead of the wait.
    """

    flow: str
    run: str
    environment: dict[str, str]
    simulator: str
    parameters: dict[str, Any] = field(default_factory=dict)
    target: str | int | None = None
    act: int = signal.SIGKILL
    leaping: bool = True


@dataclass(frozen=True)
class Told:
    """How a run ended: its problems, or the words with which it failed, and the points it passed."""

    problems: list[str]
    error: str
    passed: list[str]


@dataclass(frozen=True)
class Ended:
    """How a child ended: what it told, or by which signal it died."""

    told: Told | None
    exitcode: int | None

    @property
    def killed(self) -> bool:
        return self.exitcode == -signal.SIGKILL


class Child:
    """A running child."""

    def __init__(self, job: Job) -> None:
        self._answers, theirs = _forks.Pipe(duplex=False)
        self._process: BaseProcess = _forks.Process(target=_work, args=(job, theirs))
        self._process.start()
        theirs.close()

    def wait(self, seconds: float = _LONGEST) -> Ended:
        """Wait for its end. One that does not end is killed, and that is a failure of its own."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.send(signal.SIGKILL)
            self._process.join()
            raise AssertionError(f"a child did not end within {seconds:g} seconds")
        with self._answers:
            try:
                told = self._answers.recv() if self._answers.poll() else None
            except EOFError:
                told = None
        ended = Ended(told, self._process.exitcode)
        self._process.close()
        return ended

    def send(self, number: int) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    @property
    def state(self) -> str:
        """One letter of the kernel's: T where it is stopped."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except FileNotFoundError:
            return "gone"
        return stat.rpartition(")")[2].split()[0]


def _work(job: Job, answers: Connection) -> None:
    from tests.crash.child import work

    answers.send(work(job))
