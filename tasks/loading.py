"""Loading klines: fetched, judged and written side by side, whatever the length of the history."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from eightbells.candles import gaps
from eightbells.candles.klines import Klines
from eightbells.errors import EightbellsError, UnusableBatch
from eightbells.exchange.history import Page, fetch_pages
from eightbells.exchange.recovery import Action, ExchangeError
from eightbells.quality.gate import Admission, admit_klines
from eightbells.quality.oddities import bounds_of
from eightbells.quality.verdicts import Verdict
from orchestration.limits import progressed
from orchestration.retries import attempts_left
from tasks.session import Progress, Session
from tasks.stages import inner_stage

_FIRST_ROWS = 5000
_WRITERS = 2  # one batch is judged while another is written


@dataclass
class Ingested:
    """What an ingestion brought: sums over its batches, the newest verdict of each symbol, and who failed.

    Args:
        unusable: why files of the archive were not used, by their path.
    """

    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    checked: int = 0
    absent: int = 0
    warned: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def add(self, admission: Admission) -> None:
        self.inserted += admission.inserted
        self.revised += admission.revised
        self.quarantined += admission.quarantined
        self.checked += admission.checked
        self.warned += Counter(admission.warned)
        for symbol, verdict in admission.verdicts.items():
            if symbol not in self.verdicts or verdict.last_open > self.verdicts[symbol].last_open:
                self.verdicts[symbol] = verdict


def merged(first: Ingested, second: Ingested) -> Ingested:
    """Two ingestions as one."""
    return replace(
        first,
        inserted=first.inserted + second.inserted,
        revised=first.revised + second.revised,
        quarantined=first.quarantined + second.quarantined,
        checked=first.checked + second.checked,
        absent=first.absent + second.absent,
        warned=first.warned + second.warned,
        verdicts=first.verdicts | second.verdicts,
        failed=first.failed | second.failed,
        unusable=first.unusable | second.unusable,
    )


async def load(session: Session, pages: list[Page], progress: Progress | None = None) -> Ingested:
    """Fetch pages, prove and store them, and note in the gap ledger what they did not bring.

    A page that the spool holds is not fetched. One that a killed process had asked for is fetched before the others:
    it is hardly under way when the next one is killed. A symbol that fails for good stops only itself. A retry of the
    task asks only for what is not stored by then.
    """
    wanted = [page for page in pages if page not in session.loaded]
    if wanted:  # what is fetched while the suite is imported would be lost with the process
        await import_suite()
    loading = _Loading(session, sum(page.slots for page in pages), progress)
    loading.done = loading.total - sum(page.slots for page in wanted)
    with _one_failure(), _no_garbage_looked_for():
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(loading.write())
            await loading.load(wanted)
    loading.ingested.failed = loading.unusable | for_good(loading.failures)
    return loading.ingested


class _Loading:
    """One load under way. Who has stored a batch takes all that has come meanwhile, so that little waits unstored:
    pages one by one where the exchange's limits are what is waited for, many at once where it is the machine."""

    def __init__(self, session: Session, total: int, progress: Progress | None) -> None:
        self.ingested, self.failures = Ingested(), dict[str, ExchangeError]()
        self.unusable: dict[str, str] = {}
        self.done, self.total = 0, total
        self._session, self._progress = session, progress
        self._most = session.settings.candles.rows_per_batch
        self._room = min(_FIRST_ROWS, self._most)  # a process that dies soon has little to be asked for again
        self._waiting, self._rows = list[tuple[Page, Klines]](), 0
        self._changed, self._is_over = asyncio.Condition(), False

    async def load(self, pages: list[Page]) -> None:
        """Take the pages from the spool, or fetch them, and hand them over to be stored."""
        spool, left = self._session.spool, list[Page]()
        doubtful = [page for page in pages if page in spool.doubtful and page not in spool]
        await self._fetch(doubtful)
        for page in pages:
            if page in spool and page not in doubtful and (rows := spool.rows(page)) is not None:
                await self._hand_over(page, page.answered(rows))
            elif page not in doubtful:
                left.append(page)
        await self._fetch(left)
        async with self._changed:
            self._is_over = True
            self._changed.notify_all()

    async def _fetch(self, pages: list[Page]) -> None:
        async for page, outcome in fetch_pages(self._session.gateway, pages, self._session.spool):
            progressed()
            if isinstance(outcome, ExchangeError):
                self.failures[page.symbol] = outcome
            else:
                await self._hand_over(page, outcome)

    async def _hand_over(self, page: Page, klines: Klines) -> None:
        """Wait where more has come than memory should hold."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._rows < self._room)
            self._waiting.append((page, klines))
            self._rows += len(klines)
            self._changed.notify_all()

    async def write(self) -> None:
        """Prove and store what has come, until all has."""
        while batch := await self._take():
            admission, unusable = await admit_batch(self._session, [klines for _, klines in batch])
            self.ingested.add(admission)
            self.unusable |= unusable
            stored = [(page, klines) for page, klines in batch if page.symbol not in unusable]
            lacking = [page for page, klines in stored if admission.quarantined or len(klines) != page.slots]
            if lacking:
                self.ingested.absent += await asyncio.to_thread(_note_lacking, self._session, lacking)
            await asyncio.to_thread(self._session.spool.done, [page for page, _ in batch])
            self._session.loaded.update(page for page, _ in stored)
            self._room = min(2 * self._room, self._most)
            self.done += sum(page.slots for page, _ in batch)
            progressed()
            if self._progress:
                self._progress(self.done, self.total)

    async def _take(self) -> list[tuple[Page, Klines]]:
        """All that waits; empty once nothing more will come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._is_over)
            batch, self._waiting, self._rows = self._waiting, [], 0
            self._changed.notify_all()
        return batch


def _note_lacking(session: Session, pages: list[Page]) -> int:
    """Note which slots of the pages the exchange had no candle for; returns how many are now absent."""
    absent = 0
    with session.engine.begin() as connection:
        for page in pages:
            span = page.first_ms, page.last_ms, session.now_ms, page.timeframe
            absent += gaps.record_unserved(connection, page.symbol, *span, again=page.again)
    return absent


async def admit_batch(
    session: Session, klines: list[Klines], source: str = "rest"
) -> tuple[Admission, dict[str, str]]:
    """Prove and store klines; returns, too, whose are no answer of candles, with the reason. The others are stored."""
    try:
        return await _admit(session, klines, source), {}
    except UnusableBatch as error:
        symbols = {it.symbol for it in klines}
        if len(symbols) == 1:
            return Admission(batch=0), dict.fromkeys(symbols, str(error))
    admission, unusable = Admission(batch=0), dict[str, str]()
    for symbol in sorted(symbols):
        alone, wrong = await admit_batch(session, [it for it in klines if it.symbol == symbol], source)
        admission = admission.and_then(alone)
        unusable |= wrong
    return admission, unusable


async def _admit(session: Session, klines: list[Klines], source: str) -> Admission:
    bounds = bounds_of(session.settings.candles)
    with inner_stage("validate"):
        return await asyncio.to_thread(
            admit_klines, session.engine, klines, source, session.now_ms, session.flow_run, bounds
        )


def for_good(failures: Mapping[str, ExchangeError]) -> dict[str, str]:
    """Why symbols failed. Raises the failure of one that may still succeed: then the task is tried again."""
    for error in failures.values():
        action = error.failure.remedy.action
        if action is Action.STOP or (action is not Action.REFUSE and attempts_left(error.failure) > 0):
            raise error
    return {symbol: str(error) for symbol, error in failures.items()}


def require_any(pages: list[Page], ingested: Ingested) -> None:
    if pages and len(ingested.failed) == len({page.symbol for page in pages}):
        raise EightbellsError("no symbol's candles could be fetched: " + next(iter(ingested.failed.values())))


async def import_suite() -> None:
    """Import Great Expectations, or wait until somebody else has."""
    with _no_garbage_looked_for():
        await asyncio.to_thread(importlib.import_module, "eightbells.quality.suite")


@asynccontextmanager
async def importing_suite() -> AsyncIterator[None]:
    """Import Great Expectations, which takes more than a second, beside whatever else there is to do."""
    imported = asyncio.create_task(import_suite())
    try:
        yield
    finally:
        await imported


@contextmanager
def _one_failure() -> Iterator[None]:
    """Raise the first of the failures that a group of tasks has met, as if it had been the only one."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@contextmanager
def _no_garbage_looked_for() -> Iterator[None]:
    """Let memory be freed by counting alone: klines make no cycles, and looking for some takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
