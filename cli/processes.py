"""Child processes that never outlive this one: each has its own process group, which is ended as a whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from eightbells.addresses import hidden
from eightbells.errors import EightbellsError

_GRACE_SECONDS = 8.0
_LARGEST_LOG = 10_000_000
_PR_SET_PDEATHSIG = 1


class Processes:
    """A set of children; leaving the context ends them in the reverse order of their start."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._children = logs, list[Child]()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._children:
            self._children.pop().end()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        speaks: bool = False,
    ) -> Child:
        """Start a child whose output goes to a log of its name.

        Args:
            speaks: its stdout is read here (`first_line`); nobody reads what it says there later.
        """
        child = Child(name, self._logs / f"{name}.log", command, environment or {}, speaks)
        self._children.append(child)
        return child

    def end(self, children: Sequence[Child], seconds: float = _GRACE_SECONDS) -> None:
        """End some of the children side by side."""
        self._children = [child for child in self._children if child not in children]
        end_together(children, seconds)


class Child:
    """A running child process."""

    def __init__(
        self,
        name: str,
        log: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        speaks: bool = False,
    ) -> None:
        self.name, self.log = name, log
        self.trim_log()
        self._log_begins = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if speaks else sink,
                stderr=sink,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

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

    def logged(self) -> list[str]:
        """The lines of its log since its start."""
        said = self.log.read_bytes()[self._log_begins :].decode(errors="replace")
        return [line.strip() for line in said.splitlines() if line.strip()]

    def last_words(self) -> str:
        lines = self.logged()
        return hidden(lines[-1])[:300] if lines else f"its log is empty ({self.log})"

    def trim_log(self) -> None:
        """Put a log that has grown long aside and go on with an empty one: children live for months."""
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)  # the child appends, so it goes on at the start
            self._log_begins = 0

    def tell_to_end(self) -> None:
        """SIGTERM to its whole group."""
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """SIGTERM to the whole group, and SIGKILL to what is left of it."""
        end_together([self], _GRACE_SECONDS)

    def kill(self) -> None:
        """SIGKILL to what is left of its group."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def end_together(children: Sequence[Child], seconds: float) -> None:
    """Let children end side by side, in so many seconds all of them."""
    for child in children:
        child.tell_to_end()
    deadline = time.monotonic() + seconds
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
    for child in children:
        child.kill()


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
