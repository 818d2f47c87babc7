"""The step of a backfill that loads files of the exchange's archive."""

from __future__ import annotations

import asyncio
from typing import Literal

from eightbells.candles import gaps
from eightbells.candles.klines import Klines
from eightbells.exchange.archive import Archive, ArchiveFile, Unreachable, Unusable, open_archive, plan_files
from eightbells.exchange.history import PAGE
from orchestration.exchange_task import limited_task
from orchestration.limits import progressed
from tasks.history import Plan
from tasks.loading import Ingested, admit_batch
from tasks.progress import shown_progress
from tasks.session import Session

Source = Literal["rest", "archive", "auto"]


@limited_task("load files of the archive")
async def load_archive(session: Session, plan: Plan, source: Source) -> Ingested:
    """Load what the plan's pages cover from the archive, as far as it has it; the rest is left to REST.

    Args:
        source: `archive` for every whole month and day; `auto` for a month that takes REST more than one request.
    """
    files = await asyncio.to_thread(_plan, session, plan, PAGE + 1 if source == "auto" else 1)
    ingested, done = Ingested(), 0
    if not files:
        return ingested
    slots = sum(len(file.slots) for file in files)
    settings = session.settings
    parts = _parts(files, settings.exchange.concurrency, settings.candles.rows_per_batch)
    async with (
        shown_progress("backfill-progress", slots, " (archive)") as show,
        open_archive(settings.exchange.archive_url, settings.exchange.timeout_seconds) as archive,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(_read(archive, parts[0], ingested))
        for number, part in enumerate(parts):
            found = await reading
            if number + 1 < len(parts):  # read while this part is stored
                reading = group.create_task(_read(archive, parts[number + 1], ingested))
            if found:
                admission, unusable = await admit_batch(session, found, "archive")
                ingested.add(admission)
                ingested.unusable |= {f"files of {symbol}": why for symbol, why in unusable.items()}
            done += sum(len(file.slots) for file in part)
            progressed()
            show(done, slots)
            if session.progress:
                session.progress(done, slots)
    return ingested


def _plan(session: Session, plan: Plan, least: int) -> list[ArchiveFile]:
    files = list[ArchiveFile]()
    first: dict[str, int] = {}
    for page in plan.pages:
        first[page.symbol] = min(page.first_ms, first.get(page.symbol, page.first_ms))
    with session.engine.connect() as connection:
        for symbol, begin in first.items():
            slots = gaps.missing(connection, [symbol], begin, plan.last_ms, plan.timeframe, unasked=True)[
                symbol
            ]
            files += plan_files(symbol, slots, plan.timeframe, session.now_ms, least)
    return files


def _parts(files: list[ArchiveFile], most: int, rows: int) -> list[list[ArchiveFile]]:
    """The files in groups that are read side by side: so many that memory stays bounded."""
    parts, held = [list[ArchiveFile]()], 0
    for file in files:
        if parts[-1] and (len(parts[-1]) == most or held + len(file.slots) > rows):
            parts.append([])
            held = 0
        parts[-1].append(file)
        held += len(file.slots)
    return parts


async def _read(archive: Archive, files: list[ArchiveFile], ingested: Ingested) -> list[Klines]:
    """What can be used of the files; why the others cannot is noted."""

    async def read(file: ArchiveFile) -> Klines | None:
        try:
            return await archive.read(file)
        except Unreachable as error:
            ingested.unusable[archive.address] = str(error)
        except Unusable as error:
            ingested.unusable[file.path] = str(error)
        return None

    if archive.address in ingested.unusable:  # nor would the others come
        return []
    found = await asyncio.gather(*map(read, files))
    return [klines for klines in found if klines is not None]
