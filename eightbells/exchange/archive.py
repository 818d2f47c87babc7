"""The exchange's public archive: zipped klines by month and day, each used only if its checksum is right.

The layout is that of data.binance.vision: data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip, beside it the
same name with .CHECKSUM, and daily/ with one file per day. A file begins with or without a line of names; its times
are milliseconds, or microseconds from 2025 on.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp

from eightbells.candles import grid
from eightbells.candles.frame import KLINE
from eightbells.candles.klines import Klines
from eightbells.candles.timeframe import Slots, Timeframe
from eightbells.errors import EightbellsError
from eightbells.proxies import proxy_for

_MONTH_APPEARS = timedelta(days=8)  # on the first Monday after its end
_DAY_APPEARS = timedelta(days=1)
_LONGEST_OF_A_DAY_MS = 24 * 3600 * 1000  # there are no daily files of longer candles
_MICROSECONDS = 10**14  # as milliseconds the year 5138
_MOST_BYTES = 256 * 2**20  # unpacked; a month of minutes has six
_TIMES = (KLINE.index("open_time"), KLINE.index("close_time"))
_TRADES = KLINE.index("trades")


class Unusable(EightbellsError):
    """Why a file of the archive is not used."""


class Unreachable(Unusable):
    """The archive does not answer."""


@dataclass(frozen=True)
class ArchiveFile:
    """One file, and the slots that are wanted from it.

    Args:
        period: its month or day, as its name has it.
        slots: open times (ms, ascending).
    """

    symbol: str
    timeframe: Timeframe
    period: str
    slots: tuple[int, ...]

    @property
    def path(self) -> str:
        """Where it lies below the archive's address."""
        symbol, interval = quote(self.symbol), self.timeframe.name
        every = "monthly" if self.period.count("-") == 1 else "daily"
        return f"data/spot/{every}/klines/{symbol}/{interval}/{symbol}-{interval}-{self.period}.zip"

    def klines(self, rows: Collection[list[Any]]) -> Klines:
        """The wanted ones of the file's rows, and those whose open time cannot be read."""
        wanted = {*self.slots}
        kept = [row for row in rows if not isinstance(row[0], int) or row[0] in wanted]
        return Klines(self.symbol, kept, range(self.slots[0], self.slots[-1] + 1), self.timeframe)


def plan_files(
    symbol: str, slots: Slots, timeframe: Timeframe, now_ms: int, least: int = 1
) -> list[ArchiveFile]:
    """The files that hold the slots (open times in ms, ascending) and should be there at `now_ms`.

    Args:
        least: a month in which fewer slots are wanted is left to REST.
    """
    if not slots.size:
        return []
    today, files = grid.to_time(now_ms).date(), list[ArchiveFile]()
    for month, first, last in timeframe.months(int(slots[0]), int(slots[-1])):
        wanted = slots[(slots >= first) & (slots <= last)].tolist()
        over = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
        if len(wanted) < max(least, 1):
            continue
        if today >= over + _MONTH_APPEARS:
            files.append(ArchiveFile(symbol, timeframe, f"{month:%Y-%m}", tuple(wanted)))
        elif timeframe.step_ms <= _LONGEST_OF_A_DAY_MS:
            files += _days(symbol, wanted, timeframe, today)
    return files


def _days(symbol: str, wanted: list[int], timeframe: Timeframe, today: date) -> Iterator[ArchiveFile]:
    days: dict[date, list[int]] = {}
    for slot in wanted:
        days.setdefault(grid.to_time(slot).date(), []).append(slot)
    for day, slots in days.items():
        if today >= day + timedelta(days=1) + _DAY_APPEARS:
            yield ArchiveFile(symbol, timeframe, f"{day}", tuple(slots))


class Archive:
    """An open connection to the archive.

    Args:
        address: where `data/` lies.
        timeout: seconds after which an unanswered request counts as failed.
    """

    def __init__(self, client: aiohttp.ClientSession, address: str, timeout: float) -> None:
        self.address = address.rstrip("/")
        self._client, self._timeout = client, timeout
        self._way: dict[str, Any] = {}
        if proxy := proxy_for(address):
            self._way["proxy"] = proxy.url
            if proxy.user:
                self._way["proxy_auth"] = aiohttp.BasicAuth(proxy.user, proxy.password.get_secret_value())

    async def read(self, file: ArchiveFile) -> Klines:
        """The wanted klines of a file.

        Raises:
            Unusable: it is not there, its checksum is wrong, or it is no file of klines.
            Unreachable: the archive does not answer.
        """
        packed, told = await asyncio.gather(self._get(file.path), self._get(f"{file.path}.CHECKSUM"))
        return file.klines(await asyncio.to_thread(_rows, packed, told))

    async def _get(self, path: str) -> bytes:
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=self._timeout)
        try:
            async with self._client.get(
                f"{self.address}/{path}", timeout=timeout, allow_redirects=False, **self._way
            ) as answer:
                if answer.status == 404:
                    raise Unusable("the archive does not have it")
                if answer.status != 200:
                    raise Unusable(f"the archive answered with http {answer.status}")
                return await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"the archive does not answer: {type(error).__name__}") from None


@asynccontextmanager
async def open_archive(address: str, timeout: float) -> AsyncIterator[Archive]:
    """The archive at an address; proxies of the environment are used as for the exchange."""
    async with aiohttp.ClientSession() as client:
        yield Archive(client, address, timeout)


def _rows(packed: bytes, told: bytes) -> list[list[Any]]:
    """The rows of a file as REST lists them."""
    wanted = told.split()[:1]
    if wanted != [hashlib.sha256(packed).hexdigest().encode()]:
        raise Unusable("its checksum is wrong")
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as unpacked:
            (entry,) = unpacked.infolist()
            if entry.file_size > _MOST_BYTES:
                raise Unusable(f"it holds {entry.file_size:,} bytes, more than a file of klines has")
            text = unpacked.read(entry).decode()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        raise Unusable("it is not a zip file with one CSV file in it") from None
    lines = csv.reader(io.StringIO(text))
    return [_row(line) for line in lines if line and line[0] != KLINE[0]]


def _row(line: list[str]) -> list[Any]:
    """A line as a row of REST's answer; what is no number stays as it is, for the suite to refuse."""
    row: list[Any] = [*line]
    for column in (*_TIMES, _TRADES):
        if column < len(row) and row[column].isdecimal():
            row[column] = int(row[column])
    for column in _TIMES:
        if column < len(row) and isinstance(row[column], int) and row[column] >= _MICROSECONDS:
            row[column] //= 1000
    return row
