"""Locks on files: the kernel releases a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """An open file that processes lock against each other. The lock lasts until it is released or closed.

    Args:
        file: the file to lock. Its content does not matter.
        create: make the file where there is none.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, file: Path, *, create: bool = True) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT if create else os.O_RDONLY, 0o666)

    def acquire(self, *, shared: bool = False) -> None:
        """Wait for the lock. A lock that is held already changes its kind."""
        fcntl.flock(self._descriptor, _kind(shared))

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock where no other process holds it; returns whether it did."""
        try:
            fcntl.flock(self._descriptor, _kind(shared) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock and close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kind(shared: bool) -> int:
    return fcntl.LOCK_SH if shared else fcntl.LOCK_EX
