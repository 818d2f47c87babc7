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
    """Server time from several samples by round-trip midpoint: the quickest answer is trusted most.

    Args:
        speed: exchange seconds in one of ours; other than 1 only with a simulator in compressed time.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._server_ms: float | None = None
        self._synced_at = 0.0
        self._distrusted = False

    async def sync(self, ask: Callable[[], Awaitable[int]], samples: int = SAMPLES) -> None:
        """Measure again; `ask` gives the server's time in ms."""
        best: tuple[float, float, float] | None = None
        for _ in range(samples):
            sent = _steady_ms()
            server = await ask()
            received = _steady_ms()
            trip = received - sent
            if best is None or trip < best[0]:
                # the answer's millisecond is cut off: on average it is half a millisecond old
                best = trip, server + 0.5 + (received - (sent + received) / 2) * self.speed, received
        assert best is not None
        _, self._server_ms, self._synced_at = best
        self._distrusted = False
        metrics.CLOCK_OFFSET.set((self.now_ms() - time.time() * 1000) / 1000)

    @property
    def is_set(self) -> bool:
        return self._server_ms is not None

    @property
    def is_stale(self) -> bool:
        if self._server_ms is None or self._distrusted:
            return True
        return _steady_ms() - self._synced_at > RESYNC_SECONDS * 1000 / self.speed

    def distrust(self) -> None:
        """Have it measured again before the next request: the exchange has refused a timestamp."""
        self._distrusted = True

    def now_ms(self) -> int:
        """The exchange's time in ms; RuntimeError before the first `sync`."""
        if self._server_ms is None:
            raise RuntimeError("the exchange's time is not known yet")
        return int(self._server_ms + (_steady_ms() - self._synced_at) * self.speed)

    def seconds_until(self, moment_ms: float) -> float:
        """How many of our seconds until a moment of the exchange's clock; 0 where it has passed."""
        return max(0.0, (moment_ms - self.now_ms()) / 1000 / self.speed)
