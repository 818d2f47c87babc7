"""In which line of a TOML file a setting stands, found by the parser itself."""

from __future__ import annotations

import bisect
import tomllib
from collections.abc import Sequence
from typing import Any

Part = str | int


def line_of(content: str, path: Sequence[Part]) -> int | None:
    """The line in which the statement begins that sets the path, or the nearest part of it that is there.

    The file's first lines, as far as they are whole statements, are TOML of their own: the line looked for is the
    first one with which the path is there.
    """
    lines = content.splitlines()

    def parsed(count: int) -> tuple[int, Any]:
        """The longest whole part of the first lines, and what it says."""
        for end in range(count, 0, -1):
            try:
                return end, tomllib.loads("\n".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue
        return 0, {}

    for length in range(len(path), 0, -1):
        wanted = path[:length]
        counts = range(1, len(lines) + 1)
        first = bisect.bisect_left(counts, True, key=lambda count: holds(parsed(count)[1], wanted)) + 1
        if first <= len(lines):
            return parsed(first - 1)[0] + 1
    return None


def holds(data: Any, path: Sequence[Part]) -> bool:
    """Whether the path is there."""
    for part in path:
        named = isinstance(data, dict) and part in data
        counted = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not named and not counted:
            return False
        data = data[part]
    return True
