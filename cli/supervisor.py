"""The supervisor: it restarts parts that exit, after waits that grow while a part keeps exiting."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cli.processes import Child, Processes
from eightbells.backoff import wait_after

_TICK_SECONDS = 0.2
_TRIM_EVERY_SECONDS = 600.0


@dataclass(frozen=True)
class Patience:
    """How long to wait before a start that follows an end, in seconds."""

    first: float = 1.0
    longest: float = 60.0
    forgiven_after: float = 60.0  # who has lived so long begins with the first wait again

    def after(self, failures: int) -> float:
        """The wait after so many ends in a row: it doubles with each."""
        return wait_after(failures, self.first, self.longest)


@dataclass
class Part:
    """A program that is to run for ever."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    child: Child | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    failures: int = 0  # ends in a row
    restarts: int = 0


class Supervisor:
    """Parts in the order of their start; `watch` never returns, `end` ends them all.

    Everything happens in the thread that starts the children: the kernel ends them when it does (PDEATHSIG).

    Args:
        say: told in a sentence what ended and when it is started again.
        changed: called after every start.
    """

    def __init__(
        self,
        processes: Processes,
        say: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
        patience: Patience = Patience(),
    ) -> None:
        self.parts: list[Part] = []
        self._processes, self._say, self._changed, self._patience = processes, say, changed, patience
        self._trimmed_at = time.monotonic()

    def start(self, part: Part) -> Child:
        """Start a part, from now on kept running."""
        self.parts.append(part)
        return self._launch(part)

    def watch(self, also: Callable[[], None] = lambda: None) -> None:
        """Start again what ends, until interrupted.

        Args:
            also: called at every look.
        """
        while True:
            self.look()
            also()
            time.sleep(_TICK_SECONDS)

    def look(self) -> None:
        """Notice what has ended, and start what is due."""
        now = time.monotonic()
        for part in self.parts:
            if part.child is None:
                if now >= part.due_at:
                    part.restarts += 1
                    self._launch(part)
            elif part.child.process.poll() is not None:
                self._handle_exit(part, part.child, now)
        if now - self._trimmed_at > _TRIM_EVERY_SECONDS:
            self._trimmed_at = now
            for part in self.parts:
                if part.child is not None:
                    part.child.trim_log()

    def end(self, names: Sequence[str], seconds: float) -> None:
        """End some of the parts side by side, for good."""
        ending = [part for part in self.parts if part.name in names]
        self.parts = [part for part in self.parts if part not in ending]
        self._processes.end([part.child for part in ending if part.child is not None], seconds)

    def _launch(self, part: Part) -> Child:
        part.child = self._processes.start(part.name, part.command, part.environment)
        part.started_at = time.monotonic()
        self._changed()
        return part.child

    def _handle_exit(self, part: Part, child: Child, now: float) -> None:
        """End what the child has started, so that the next one is alone, and set when that starts."""
        self._processes.end([child], 0)
        lived = now - part.started_at
        part.failures = 1 if lived > self._patience.forgiven_after else part.failures + 1
        wait = self._patience.after(part.failures)
        part.child, part.due_at = None, now + wait
        self._say(f"{part.name} {_manner(child)}: {child.last_words()}; it is started again in {wait:g} s")


def _manner(child: Child) -> str:
    code = child.process.returncode
    if code >= 0:
        return "ended" if code == 0 else f"ended with code {code}"
    return f"was killed ({signal.Signals(-code).name})"
