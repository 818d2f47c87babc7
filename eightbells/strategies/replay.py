"""Past decisions, made again by today's code from the candles that were known then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from eightbells.candles import grid, store
from eightbells.errors import EightbellsError
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.contract import Opinion, build, checked, sees_all
from eightbells.strategies.universe import frame_of, opinions
from eightbells.strategies.view import inputs_hash, universe_hash


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
    e.as_of_batch, e.inputs_hash, e.universe, s.target, s.price, s.reason, s.stop, s.take_profit, s.weight
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
    asked: _Asked | None = None
    for row in rows:
        if row.strategy not in entries:
            raise EightbellsError(
                f"evaluation {row.id} is of the strategy '{row.strategy}', which is not in the settings any more"
            )
        entry = entries[row.strategy].model_copy(update={"parameters": row.parameters})
        if asked is None or not asked.covers(entry, row):
            asked = _Asked(connection, entry, row)
        yield asked.replayed(row)


class _Asked:
    """A strategy, and the candles that it had seen; it is asked again once for all symbols that it saw together."""

    def __init__(self, connection: Connection, entry: StrategySettings, row: Any) -> None:
        self._entry, self._row, self._strategy = entry, row, build(entry)
        symbols = row.universe or [row.symbol]
        open_ms = grid.to_ms(row.open_time)
        self._windows = store.read_windows(connection, symbols, open_ms, row.window_candles, row.as_of_batch)
        self._opinions = self._ask(open_ms)

    def covers(self, entry: StrategySettings, row: Any) -> bool:
        """Whether an evaluation was made together with the one that this was made for."""
        mine, same = self._row, ("open_time", "universe", "window_candles", "as_of_batch")
        return (
            row.universe is not None
            and entry == self._entry
            and all(getattr(row, name) == getattr(mine, name) for name in same)
        )

    def _ask(self, open_ms: int) -> dict[str, Opinion | str]:
        """What the strategy says now; nothing where its window has become longer than the one of then."""
        strategy, count = self._strategy, self._strategy.window
        if any(len(window) < count for window in self._windows.values()):
            return {}
        shown = {symbol: window.newest(count).shown for symbol, window in self._windows.items()}
        if not sees_all(strategy):
            return {self._row.symbol: strategy.decide(shown[self._row.symbol])}
        return opinions(strategy, frame_of(shown, open_ms, count))

    def replayed(self, row: Any) -> Replayed:
        """One evaluation, and what is different now."""
        strategy, differences = self._strategy, list[tuple[str, str, str]]()

        def compare(what: str, was: object, now: object) -> None:
            if was != now:
                differences.append((what, str(was), str(now)))

        compare("version", row.strategy_version, strategy.version)
        compare("window", row.window_candles, strategy.window)
        shown = {False: "one symbol", True: "all its symbols"}
        compare("what it sees", shown[row.universe is not None], shown[sees_all(strategy)])
        compare("the candles", row.inputs_hash[:12], self._hash(row)[:12])
        if (opinion := self._opinions.get(row.symbol)) is not None:
            try:
                sound = checked(opinion, row.price)  # type: ignore[arg-type]
                for name in ("target", "reason", "stop", "take_profit", "weight"):
                    compare(name, getattr(row, name), getattr(sound, name))
            except (TypeError, ValueError) as error:
                compare("target", row.target, f"none: {opinion if isinstance(opinion, str) else error}")
        return Replayed(row.id, row.strategy, row.symbol, grid.label(grid.to_ms(row.open_time)), differences)

    def _hash(self, row: Any) -> str:
        if not all(len(window) for window in self._windows.values()):
            return "none"
        hashes = {symbol: inputs_hash(window) for symbol, window in self._windows.items()}
        return hashes[row.symbol] if row.universe is None else universe_hash(hashes)
