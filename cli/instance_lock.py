"""One `eightbells up` per data folder: a lock that goes with its process, and a note of where its parts are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eightbells.atomic_file import replace_text
from eightbells.errors import EightbellsError
from eightbells.file_lock import FileLock

_PATIENCE_SECONDS = 0.5  # who only looks whether an `up` runs holds the lock for a moment


@dataclass
class LockHolder:
    """What others may want to know of the `up` that runs: addresses, and what was started again how often.

    Attributes:
        folder: where it was started; its parts work there.
    """

    pid: int
    started_at: str
    folder: str = ""
    prefect_api: str = ""
    metrics: str = ""
    ready: bool = False
    restarts: dict[str, int] = field(default_factory=dict)


class InstanceLock:
    """The right to be the one `up` of a data folder. A kill -9 releases it.

    Attributes:
        was_killed: the last `up` did not end by itself; what it had started may still be ending.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "up.json"
        self.was_killed = self._file.exists()

    def write(self, holder: LockHolder) -> None:
        """Replace the file as a whole: a reader never meets half of it."""
        replace_text(self._file, json.dumps(asdict(holder)))


@contextmanager
def instance_lock(directory: Path) -> Iterator[InstanceLock]:
    """Hold the lock.

    Raises:
        EightbellsError: another `up` runs, or the folder cannot be written.
    """
    with _opened(directory) as lock:
        _claim(lock, directory)
        try:
            yield InstanceLock(directory)
        finally:
            (directory / "up.json").unlink(missing_ok=True)


def _opened(directory: Path) -> FileLock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return FileLock(_lock_of(directory))
    except OSError as error:
        raise EightbellsError(f"the data folder {directory} cannot be written: {error.strerror}") from None


def _claim(lock: FileLock, directory: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            raise EightbellsError(_already(directory))
        time.sleep(0.05)


def lock_holder(directory: Path) -> LockHolder | None:
    """What the `up` that runs has written of itself on this data folder; None where none does."""
    try:
        with FileLock(_lock_of(directory), create=False) as lock:
            return None if lock.try_acquire(shared=True) else _read(directory)
    except OSError:
        return None


def _read(directory: Path) -> LockHolder:
    try:
        found: dict[str, Any] = json.loads((directory / "up.json").read_text())
        return LockHolder(**found)
    except (OSError, ValueError, TypeError):  # it has only begun
        return LockHolder(0, "")


def _lock_of(directory: Path) -> Path:
    return directory / "up.lock"


def _already(directory: Path) -> str:
    holder = _read(directory)
    who = f" (process {holder.pid})" if holder.pid else ""
    where = f": its Prefect UI is at {holder.prefect_api.removesuffix('/api')}" if holder.prefect_api else ""
    return f"`eightbells up` already runs on {directory}{who}{where}"
