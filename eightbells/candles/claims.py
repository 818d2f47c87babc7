"""Who loads which symbol: runs that share a history claim symbols in Postgres, which frees them when a run ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

from sqlalchemy import Engine, text

from eightbells.candles.timeframe import Timeframe
from eightbells.database import locks

_KEEPALIVES = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")


class Claims:
    """The symbols that this run has claimed. Killed or cut off, it loses them, and another run may claim them."""

    def __init__(self, engine: Engine, timeframe: Timeframe) -> None:
        self._timeframe = timeframe
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection.detach()  # not from the pool: a claim must not outlive its run in it
        for setting in _KEEPALIVES:  # a machine that is gone without a word loses its claims within a minute
            self._connection.execute(text(f"SET {setting}"))

    def take(self, symbols: Sequence[str], most: int) -> list[str]:
        """Claim the first of the symbols that no other run has claimed, at most so many."""
        taken = list[str]()
        for symbol in symbols:
            if len(taken) == most:
                break
            if self._ask("pg_try_advisory_lock", symbol):
                taken.append(symbol)
        return taken

    def release(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._ask("pg_advisory_unlock", symbol)

    def _ask(self, function: str, symbol: str) -> bool:
        values = {"key": locks.HISTORY, "name": f"{symbol} {self._timeframe.name}"}
        return bool(
            self._connection.execute(text(f"SELECT {function}(:key, hashtext(:name))"), values).scalar_one()
        )

    def __enter__(self) -> Claims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._connection.close()
