"""Past decisions, made again by today's code from the candles that were known then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from eightbells.candles import grid, store
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.strategies.contract import build
from eightbells.strategies.evaluation import inputs_hash


@dataclass(frozen=True)
class Replayed:
    """An evaluation, and how it differs when it is made again: what, as it was, as it is now."""

    evaluation: int
    strategy: str
    symbol: str
    candle: str
    differences: list[tuple[str, str, str]]

    @property
    def equal(self) -> bool:
        return not self.differences

    @property
    def line(self) -> str:
        """The answer to a person."""
        place = f"{self.evaluation} ({self.strategy}, {self.symbol}, {self.candle})"
        if self.equal:
            return f"{place}: equal"
        return f"{place}: " + "; ".join(f"{what} was {was}, is {now}" for what, was, now in self.differences)


_EVALUATIONS = """
SELECT
    e.id, e.strategy, e.strategy_version, e.parameters, e.symbol, e.open_time, e.window_start, e.window_candles,
    e.as_of_batch, e.inputs_hash, s.target, s.reason
FROM evaluations AS e INNER JOIN signals AS s ON s.evaluation_id = e.id
WHERE e.account = :account AND {which} ORDER BY e.id
"""


def replay(connection: Connection, settings: Settings, evaluation: int) -> Replayed:
    """Make one evaluation again.

    Raises:
        EightbellsError: there is no such evaluation, its strategy is not in the settings, or it cannot be built.
    """
    found = list(_replayed(connection, settings, "e.id = :id", id=evaluation))
    if not found:
        raise EightbellsError(f"there is no evaluation {evaluation} of the account {settings.account}")
    return found[0]


def replay_between(
    connection: Connection,
    settings: Settings,
    since: datetime,
    until: datetime,
    strategies: Sequence[str] | None = None,
) -> Iterator[Replayed]:
    """Make the evaluations again whose candles opened from `since` on and before `until`.

    Args:
        strategies: only of these. None: of all.
    """
    which = "e.open_time >= :since AND e.open_time < :until"
    if strategies is None:
        return _replayed(connection, settings, which, since=since, until=until)
    which += " AND e.strategy = ANY(:names)"
    return _replayed(connection, settings, which, since=since, until=until, names=list(strategies))


def _replayed(connection: Connection, settings: Settings, which: str, **values: object) -> Iterator[Replayed]:
    entries = {entry.name: entry for entry in settings.strategies}
    rows = connection.execute(
        text(_EVALUATIONS.format(which=which)), {"account": settings.account, **values}
    ).all()
    for row in rows:
        candle = grid.label(grid.to_ms(row.open_time))
        if row.strategy not in entries:
            raise EightbellsError(
                f"evaluation {row.id} is of the strategy '{row.strategy}', which is not in the settings any more"
            )
        strategy = build(entries[row.strategy].model_copy(update={"parameters": row.parameters}))
        window = store.read_window(
            connection, row.symbol, grid.to_ms(row.open_time), row.window_candles, row.as_of_batch
        )
        differences: list[tuple[str, str, str]] = []

        def compare(
            what: str, was: object, now: object, found: list[tuple[str, str, str]] = differences
        ) -> None:
            if was != now:
                found.append((what, str(was), str(now)))

        compare("version", row.strategy_version, strategy.version)
        compare("window", row.window_candles, strategy.window)
        known = inputs_hash(window) if len(window) else "none"
        compare("the candles", row.inputs_hash[:12], known[:12])
        if len(window) >= strategy.window:
            opinion = strategy.decide(window.iloc[-strategy.window :].astype(float))
            compare("target", row.target, opinion.target)
            compare("reason", row.reason, opinion.reason)
        yield Replayed(row.id, row.strategy, row.symbol, candle, differences)
