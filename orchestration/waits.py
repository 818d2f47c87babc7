"""Announcements of waits: in the run's log, and on the terminal if the flow runs in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

TERMINAL: ContextVar[Callable[[str], None] | None] = ContextVar("TERMINAL", default=None)


def announce(words: str) -> None:
    """Say what is waited for, and until when."""
    with suppress(MissingContextError):  # a gateway may be used outside of runs
        get_run_logger().warning(words)
    if (terminal := TERMINAL.get()) is not None:
        terminal(words)
