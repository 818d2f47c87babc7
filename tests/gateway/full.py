"""Whether the long forms of some tests are wanted: EIGHTBELLS_FULL=1."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_NAME = "EIGHTBELLS_FULL"


def _was_set() -> bool:
    """As this process was started: what settings would read has been dropped from its environment since."""
    with suppress(OSError):
        return f"{_NAME}=1".encode() in Path("/proc/self/environ").read_bytes().split(b"\0")
    return False


FULL = os.environ.get(_NAME) == "1" or _was_set()
