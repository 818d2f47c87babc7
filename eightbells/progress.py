"""How far a load of candles is, in words."""

from __future__ import annotations

_MINUTES_FROM = 120.0  # seconds; and hours from so many minutes on


def words(done: int, total: int, seconds: float) -> str:
    """`120,000 of 480,000 candles, 10,000 a second, 36 s left`.

    Args:
        done: candles loaded.
        total: candles to load.
        seconds: how long it has taken so far.
    """
    rate = done / max(seconds, 0.001)
    if done >= total:
        left = f"done in {_duration(seconds)}"
    elif not done:
        return f"0 of {total:,} candles"
    else:
        left = f"{_duration((total - done) / rate)} left"
    return f"{done:,} of {total:,} candles, {rate:,.0f} a second, {left}"


def _duration(seconds: float) -> str:
    if seconds < _MINUTES_FROM:
        return f"{seconds:,.0f} s"
    if seconds < 60 * _MINUTES_FROM:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h"
