"""Keys of the advisory locks, each in one place: no two locks may share a key."""

from __future__ import annotations

MIGRATIONS = 8_888_001  # one process migrates the database
BATCHES = 8_888_002  # one transaction numbers a batch of candles
STREAM = 8_888_004  # one process runs the stream of an account
UNIVERSE = 8_888_006  # one transaction changes the members of the universe
CAPITAL = 8_888_005  # one transaction notes the capital of an account
HISTORY = 8_888_007  # one of the runs that share a history loads a symbol
