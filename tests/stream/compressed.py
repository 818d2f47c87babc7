"""How time is compressed in these tests: all waits are a fifth of what is installed, and the bound with them."""

from __future__ import annotations

COMPRESSION = 5
CATCH_UP = 5 / COMPRESSION
BOUND = 15 / COMPRESSION
LONGEST_WAIT = 30 / COMPRESSION
SILENCE = 1.5  # shorter still: the simulator speaks ten times as often as the exchange
LEAD = 1.2  # seconds before the close at which a test's clock is set, once the stream is connected
