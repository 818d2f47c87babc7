"""The exchange's clock: milliseconds of exchange time that can stand, run at any speed, or leap."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def parse_time(text: str) -> int:
    """Milliseconds since 1970 from an ISO 8601 time (UTC unless it says otherwise) or from milliseconds.

    Raises ValueError with a sentence when it is neither.
    """
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: give it as 2021-03-01T00:00Z or in milliseconds") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def iso(time_ms: int) -> str:
    """Exchange time as a person reads it."""
    return (
        datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def machine_time() -> int:
    """The machine's clock in milliseconds."""
    return time.time_ns() // 1_000_000


class Clock:
    """Exchange time: `speed` exchange seconds pass in one real second, 0 stands still."""

    def __init__(self, time_ms: int, speed: float = 1.0):
        self._base_ms = time_ms
        self._since = time.monotonic()
        self.speed = speed

    def now(self) -> int:
        """Exchange time in milliseconds."""
        return self._base_ms + int((time.monotonic() - self._since) * 1000 * self.speed)

    def set(self, time_ms: int) -> None:
        """Leap to a time, forward or back."""
        self._base_ms, self._since = time_ms, time.monotonic()

    def run_at(self, speed: float) -> None:
        """Go on from this moment at another speed."""
        self.set(self.now())
        self.speed = speed
