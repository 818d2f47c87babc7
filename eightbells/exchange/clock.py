"""The exchange's clock, kept on a monotonic base so that no change of this machine's clock reaches it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from eightbells import metrics

SAMPLES = 5
RESYNC_SECONDS = 3600


def _steady_ms() -> float:
    # on Linux a clock that goes on while the machine sleeps
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(source) / 1e6


class ExchangeClock:
    """Server time from several samples by round-trip midpoint: the quickest answer is trusted most."""

    def __init__(self) -> None:
        self._ahead_ms: float | None = None
        self._synced_at = 0.0

    async def sync(self, ask: Callable[[], Awaitable[int]], samples: int = SAMPLES) -> None:
        """Measure anew; `ask` gives the server's time in ms."""
        best: tuple[float, float] | None = None
        for _ in range(samples):
            sent = _steady_ms()
            server = await ask()
            received = _steady_ms()
            trip = received - sent
            if best is None or trip < best[0]:
                # the answer's millisecond is cut off: on average it is half a millisecond old
                best = trip, server + 0.5 - (sent + received) / 2
        assert best is not None
        self._ahead_ms, self._synced_at = best[1], _steady_ms()
        metrics.CLOCK_OFFSET.set((self.now_ms() - time.time() * 1000) / 1000)

    @property
    def is_set(self) -> bool:
        return self._ahead_ms is not None

    @property
    def is_stale(self) -> bool:
        return self._ahead_ms is None or _steady_ms() - self._synced_at > RESYNC_SECONDS * 1000

    def now_ms(self) -> int:
        """The exchange's time in ms; RuntimeError before the first `sync`."""
        if self._ahead_ms is None:
            raise RuntimeError("the exchange has not been asked for its time yet")
        return int(_steady_ms() + self._ahead_ms)
