"""As much PromQL as it takes to find the names of series in it."""

from __future__ import annotations

import re

# What is in quotes, in a selector, in a range, and what a modifier names are labels and durations.
_NO_NAMES = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)|\boffset\s+\w+'
)
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool", "sum", "count", "min", "max", "avg"}


def names(expression: str) -> set[str]:
    """The series that an expression asks for."""
    return set(_NAME.findall(_NO_NAMES.sub(" ", expression))) - _WORDS
