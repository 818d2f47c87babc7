"""Files that are replaced as a whole: a reader finds the old content or the new one, never a part of either."""

from __future__ import annotations

from pathlib import Path


def replace_text(file: Path, content: str) -> None:
    """Write a text file in place of the one that is there."""
    part = file.with_suffix(".part")
    part.write_text(content)
    part.replace(file)
