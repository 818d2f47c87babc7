"""Backoff: a wait that doubles with each failure, up to a longest one."""

from __future__ import annotations


def wait_after(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row, at least one."""
    return float(min(longest, first * 2.0 ** min(failures - 1, 30)))
