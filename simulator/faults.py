"""Scripted faults."""

from __future__ import annotations


class Faults:
    """Faults by script."""

    def clear(self) -> None:
        """Forget all faults."""
