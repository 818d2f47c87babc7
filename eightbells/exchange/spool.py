"""Fetched pages as files until their candles are committed: a process that is killed leaves them to the next one.

A request leaves a file NAME.asked before it is sent, and its answer the file NAME.rows in that one's place. The files
survive the end of a process, not that of the machine: nothing waits for the disk. Whatever is read back is validated
like a fresh answer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import orjson

from eightbells.candles.timeframe import TIMEFRAMES, Timeframe
from eightbells.exchange.history import Page
from eightbells.file_lock import FileLock

_KEPT_SECONDS = 3600.0  # an older answer is fetched again: the exchange may have restated its candles
_LOCK = "lock"
_BETWEEN = "~"  # no symbol holds it


class Spool:
    """The pages of one process that are asked for and not committed, and those that a killed process left.

    Args:
        folder: one per exchange and database; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.doubtful: set[Page] = set()
        self._answers: dict[Page, Path] = {}
        self._own: Path | None = None
        self._lock = ExitStack()
        with suppress(OSError):  # without a place for files pages are fetched again, and nothing else
            own = folder / uuid.uuid4().hex
            own.mkdir(parents=True)
            self._lock.enter_context(_locked(own))
            self._own = own

    def adopt(self, symbols: Collection[str], timeframe: Timeframe) -> list[Page]:
        """Take over what killed processes left of the symbols; returns the pages that were answered.

        Pages that were asked for without an answer are `doubtful`: the exchange may have served them.
        """
        if self._own is None:
            return []
        for folder in self._own.parent.iterdir():
            if folder != self._own:
                with suppress(OSError), _locked(folder):
                    self._adopt(folder, symbols, timeframe)
        return sorted(self._answers, key=lambda page: (page.symbol, page.first_ms))

    def _adopt(self, folder: Path, symbols: Collection[str], timeframe: Timeframe) -> None:
        oldest = time.time() - _KEPT_SECONDS
        for file in [*folder.iterdir()]:
            if file.name == _LOCK:
                continue
            page = _page(file)
            if page is None or file.stat().st_mtime < oldest:
                file.unlink()
            elif page.symbol in symbols and page.timeframe == timeframe:
                moved = self._file(page, file.suffix)
                os.replace(file, moved)
                if file.suffix == ".rows":
                    self._answers[page] = moved
                else:
                    self.doubtful.add(page)
        if [*folder.iterdir()] == [folder / _LOCK]:
            shutil.rmtree(folder)

    def __contains__(self, page: object) -> bool:
        """Whether the page's answer is here."""
        return page in self._answers

    def rows(self, page: Page) -> list[Any] | None:
        """The rows of the page's answer; None where there is none that can be read."""
        try:
            found: list[Any] = orjson.loads(self._answers[page].read_bytes())
        except (KeyError, OSError, orjson.JSONDecodeError):
            self._answers.pop(page, None)
            return None
        return found

    def asked(self, page: Page) -> None:
        if self._own is not None:
            with suppress(OSError):
                self._file(page, ".asked").touch()

    def answered(self, page: Page, rows: Sequence[Any]) -> None:
        if self._own is None:
            return
        asked, answer = self._file(page, ".asked"), self._file(page, ".rows")
        with suppress(OSError, TypeError):
            asked.write_bytes(orjson.dumps(rows))
            os.replace(asked, answer)
            self._answers[page] = answer

    def failed(self, page: Page) -> None:
        if self._own is not None:
            self._file(page, ".asked").unlink(missing_ok=True)
            self.doubtful.discard(page)

    def done(self, pages: Iterable[Page]) -> None:
        """The candles of the pages are committed."""
        for page in pages:
            self.doubtful.discard(page)
            if file := self._answers.pop(page, None):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave what is not committed to the next process."""
        if self._own is not None and [*self._own.iterdir()] == [self._own / _LOCK]:
            shutil.rmtree(self._own, ignore_errors=True)
            with suppress(OSError):  # others use it
                self._own.parent.rmdir()
        self._lock.close()

    def _file(self, page: Page, suffix: str) -> Path:
        assert self._own is not None
        name = _BETWEEN.join(
            (page.symbol, page.timeframe.name, str(page.first_ms), str(page.last_ms), "again" * page.again)
        )
        return self._own / f"{name}{suffix}"


def spool_folder(directory: Path, *owners: str) -> Path:
    """The folder of an exchange and a database, below the data folder."""
    return directory / "spool" / hashlib.sha256("\n".join(owners).encode()).hexdigest()[:16]


def _page(file: Path) -> Page | None:
    try:
        symbol, interval, first, last, again = file.stem.split(_BETWEEN)
        return Page(symbol, int(first), int(last), TIMEFRAMES[interval], bool(again))
    except (ValueError, KeyError):
        return None


def _locked(folder: Path) -> FileLock:
    """The lock of a folder that no other process uses.

    Raises:
        OSError: one does.
    """
    lock = FileLock(folder / _LOCK)
    if not lock.try_acquire():
        lock.close()
        raise BlockingIOError(f"another process uses {folder}")
    return lock
