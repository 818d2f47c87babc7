"""Fetched pages as files until their candles are committed: a process that is killed leaves them to the next one.

A request leaves a line `+ SECOND NAME` in the file `asked` before it is sent, its end a line `-`, and its answer the
file NAME.rows. The files survive the end of a process, not that of the machine: nothing waits for the disk. Whatever is
read back is validated like a fresh answer; a file that a kill has torn is no answer.
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

from eightbells.atomic_file import replace_text
from eightbells.candles.klines import as_json, rows_text
from eightbells.candles.timeframe import TIMEFRAMES, Timeframe
from eightbells.exchange.history import Page
from eightbells.file_lock import FileLock

_KEPT_SECONDS = 3600.0  # an older answer is fetched again: the exchange may have restated its candles
_LOCK, _ASKED = "lock", "asked"
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
            self._asked = self._lock.enter_context((own / _ASKED).open("ab", buffering=0))
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
        for file in [*folder.glob("*.rows")]:
            page = _page(file.stem)
            if page is None or file.stat().st_mtime < oldest:
                file.unlink()
            elif page.symbol in symbols and page.timeframe == timeframe:
                moved = self._file(page)
                os.replace(file, moved)
                self._answers[page] = moved
        left = list[str]()
        for page, second in _unanswered(folder).items():
            if page.symbol in symbols and page.timeframe == timeframe:
                self._note("+", page, second)
                self.doubtful.add(page)
            else:
                left.append(_line("+", page, second))
        if left:
            replace_text(folder / _ASKED, "".join(left))
        elif not [*folder.glob("*.rows")]:
            shutil.rmtree(folder)
        else:
            (folder / _ASKED).unlink(missing_ok=True)

    def __contains__(self, page: object) -> bool:
        """Whether the page's answer is here."""
        return page in self._answers

    def rows(self, page: Page) -> Sequence[Any] | None:
        """The rows of the page's answer; None where there is none that can be read."""
        try:
            body = self._answers[page].read_bytes()
            found: Sequence[Any] = rows_text(body) or orjson.loads(body)
        except (KeyError, OSError, orjson.JSONDecodeError):
            self._answers.pop(page, None)
            return None
        return found

    def asked(self, page: Page) -> None:
        self._note("+", page)

    def answered(self, page: Page, rows: Sequence[Any]) -> None:
        if self._own is None:
            return
        answer = self._file(page)
        with suppress(OSError, TypeError):
            answer.write_bytes(as_json(rows))
            self._answers[page] = answer
            self._note("-", page)

    def failed(self, page: Page) -> None:
        self._note("-", page)
        self.doubtful.discard(page)

    def done(self, pages: Iterable[Page]) -> None:
        """The candles of the pages are committed."""
        for page in pages:
            if page in self.doubtful:
                self.failed(page)
            if file := self._answers.pop(page, None):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave what is not committed to the next process."""
        if self._own is not None and not _unanswered(self._own) and not [*self._own.glob("*.rows")]:
            shutil.rmtree(self._own, ignore_errors=True)
            with suppress(OSError):  # others use it
                self._own.parent.rmdir()
        self._lock.close()

    def _note(self, sign: str, page: Page, second: int | None = None) -> None:
        if self._own is not None:
            with suppress(OSError):
                self._asked.write(_line(sign, page, int(time.time()) if second is None else second).encode())

    def _file(self, page: Page) -> Path:
        assert self._own is not None
        return self._own / f"{_name(page)}.rows"


def spool_folder(directory: Path, *owners: str) -> Path:
    """The folder of an exchange and a database, below the data folder."""
    return directory / "spool" / hashlib.sha256("\n".join(owners).encode()).hexdigest()[:16]


def _name(page: Page) -> str:
    parts = (page.symbol, page.timeframe.name, str(page.first_ms), str(page.last_ms), "again" * page.again)
    return _BETWEEN.join(parts)


def _page(name: str) -> Page | None:
    try:
        symbol, interval, first, last, again = name.split(_BETWEEN)
        return Page(symbol, int(first), int(last), TIMEFRAMES[interval], bool(again))
    except (ValueError, KeyError):
        return None


def _line(sign: str, page: Page, second: int) -> str:
    return f"{sign} {second} {_name(page)}\n"


def _unanswered(folder: Path) -> dict[Page, int]:
    """The pages that a process has asked for and that have neither come nor failed, and the second of the request."""
    found, oldest = dict[Page, int](), time.time() - _KEPT_SECONDS
    with suppress(OSError):
        for line in (folder / _ASKED).read_text(errors="replace").split("\n"):
            sign, second, name = [*line.split(" "), "", ""][:3]
            page = _page(name)
            if page is None or not second.isdecimal():
                continue  # torn: its request was never sent
            if sign == "-":
                found.pop(page, None)
            elif int(second) >= oldest:
                found[page] = int(second)
    return {page: second for page, second in found.items() if not (folder / f"{_name(page)}.rows").exists()}


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
