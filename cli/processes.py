"""Child processes that never outlive us: each in a group of its own, ended as a group, whatever happens."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from eightbells.errors import EightbellsError
from eightbells.settings import PROJECT

_GRACE_SECONDS = 8.0
_PR_SET_PDEATHSIG = 1


class Processes:
    """A set of children; leaving the context ends them in the reverse order of their start."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._stack = logs, ExitStack()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start a child whose output goes to a log of its name, except a first line it may say on stdout."""
        child = Child(name, self._logs / f"{name}.log", command, environment or {})
        self._stack.callback(child.end)
        return child


class Child:
    """A running child process."""

    def __init__(self, name: str, log: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        with open(log, "wb") as sink:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink, cwd=PROJECT,
                env={**os.environ, **environment}, start_new_session=True, preexec_fn=_die_with_parent(),
            )  # fmt: skip

    def first_line(self) -> str:
        """What the child says first on its stdout.

        Raises:
            EightbellsError: it ended without a word; its last words on stderr are in the message.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().strip()
        if not line:
            self.process.wait(_GRACE_SECONDS)
            raise EightbellsError(f"{self.name} did not start: {self.last_words()}")
        return line

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is ready.

        Raises:
            EightbellsError: it ended, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise EightbellsError(f"{self.name} ended at its start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise EightbellsError(f"{self.name} is not ready after {seconds:g} s (its log: {self.log})")
            time.sleep(0.1)

    def last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"its log is empty ({self.log})"

    def end(self) -> None:
        """SIGTERM to the whole group, and SIGKILL to what is left of it."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def python(*arguments: str) -> list[str]:
    """A command of this very Python."""
    return [sys.executable, *arguments]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends a child whose parent was killed and could not do it itself."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and None
