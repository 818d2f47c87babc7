"""An orderly end on SIGTERM and SIGINT, instead of an interruption in the middle of a step."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGTERM or SIGINT inside the block; what was set before holds again after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only, and whoever has it ends us by cancelling
        return
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
