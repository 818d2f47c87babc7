"""Two days in half a minute, with random faults: what the full soak does for thirty."""

from __future__ import annotations

import random

from tests.stream.soak import show, soak


def test_no_candle_of_two_days_is_missing_or_wrong() -> None:
    seed = random.SystemRandom().randrange(10**6)
    result = soak(symbols=60, days=2, seed=seed, close_seconds=1.2)
    show(result, seed)  # pytest shows it where the test fails
    assert result.passed
    assert result.expected == 60 * 12
