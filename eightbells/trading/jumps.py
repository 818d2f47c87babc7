"""Jumps: closes too far from the one before to be trading. A redenomination of the coin looks like nothing else."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.trading import holds
from eightbells.trading.holds import Scope

LEAST_VOLATILITY = 0.003  # of a symbol that hardly moves, such as a stablecoin
# Across a pause a factor of this much is never taken for a move of the market: a split of 2:1 and the market's own move
# of some days come to more, and no pause of Binance's has seen a tenth.
_MOST_ACROSS_PAUSE = math.log(1.5)
_FEWEST_RETURNS = 20  # from which a volatility can be told
_MOST_RETURNS = 180  # thirty days


@dataclass(frozen=True)
class Close:
    """The close of a candle. `open_ms` is the candle's open time."""

    open_ms: int
    price: Decimal


@dataclass(frozen=True)
class Jump:
    """A close that differs from the previous one by more than trading explains.

    Args:
        candle_ms: open time of the first candle after it.
        pause: how many slots without a candle lie in between.
    """

    symbol: str
    candle_ms: int
    before: Decimal
    after: Decimal
    pause: int
    scope: Scope

    @property
    def facts(self) -> dict[str, str]:
        """What the hold's words are made of."""
        return {
            "before": wire(self.before),
            "after": wire(self.after),
            "pause": str(self.pause),
            "candle": grid.label(self.candle_ms),
        }


def volatility(closes: Sequence[Close]) -> float | None:
    """Standard deviation of the logarithmic returns from one slot to the next; None where they are too few.

    A return across a pause is no measure of trading, and is left out.

    Args:
        closes: of candles, oldest first.
    """
    returns = [
        math.log(after.price / before.price)
        for before, after in itertools.pairwise(closes)
        if after.open_ms - before.open_ms == grid.STEP_MS
    ]
    if len(returns) < _FEWEST_RETURNS:
        return None
    return max(LEAST_VOLATILITY, statistics.stdev(returns[-_MOST_RETURNS:]))


def scope_of(change: float, slots: int, sigma: float | None, most_sigmas: float) -> Scope | None:
    """What a change of the price has to hold; None where trading explains it.

    Across a pause nobody has seen the price move, so nothing is sent. Without a pause it is a real move, of which only
    purchases are kept: who holds the symbol must be able to sell.

    Args:
        change: logarithm of the close over the one before.
        slots: how many slots it took; 1 where there is no pause.
        sigma: the symbol's volatility of one slot; None where it is not known.
        most_sigmas: `risk.max_jump_sigmas`; 0 holds nothing.
    """
    if not most_sigmas:
        return None
    most = math.inf if sigma is None else most_sigmas * sigma * math.sqrt(slots)
    if slots > 1:
        return "all" if abs(change) > min(most, _MOST_ACROSS_PAUSE) else None
    return "entries" if abs(change) > most else None


def find(
    connection: Connection, settings: Settings, symbols: Collection[str], last_ms: int, window: int
) -> list[Jump]:
    """The jumps that nobody knows of yet: in the window those across a pause, since the last cycle all.

    Args:
        last_ms: open time of the newest candle to look at.
        window: how many candles a strategy looks back at most.
    """
    limit = settings.risk.max_jump_sigmas
    if not limit:
        return []
    since = _served(connection, settings.account, last_ms)
    missed = min((last_ms - since) // grid.STEP_MS, _MOST_RETURNS)
    rows = connection.execute(
        text(_CANDIDATES),
        {
            "symbols": list(symbols),
            "interval": grid.INTERVAL,
            "last": grid.to_time(last_ms),
            "count": max(window, missed) + 1,
            "step": grid.STEP,
            "since": grid.to_time(since),
            "least": min(limit * LEAST_VOLATILITY, _MOST_ACROSS_PAUSE),
        },
    ).all()
    found = []
    for row in rows:
        before = Close(grid.to_ms(row.before_open), row.before_close)
        after = Close(grid.to_ms(row.open_time), row.close)
        if jump := between(connection, settings, row.symbol, before, after):
            found.append(jump)
    return found


def _served(connection: Connection, account: str, last_ms: int) -> int:
    """The candle of the last cycle before a candle's; where there was none, the candle before it."""
    served: datetime | None = connection.execute(
        text("SELECT max(open_time) FROM cycles WHERE account = :account AND open_time < :last"),
        {"account": account, "last": grid.to_time(last_ms)},
    ).scalar_one()
    return last_ms - grid.STEP_MS if served is None else grid.to_ms(served)


def hold(engine: Engine, account: str, found: Iterable[Jump], now_ms: int) -> None:
    """Hold the symbols that have jumped; one that is held for the jump already stays as it is."""
    with engine.begin() as connection:
        for jump in found:
            holds.begin(
                connection,
                account,
                jump.symbol,
                "jump",
                jump.scope,
                jump.facts,
                grid.to_time(now_ms),
                grid.to_time(jump.candle_ms),
            )


# Pairs of neighbouring candles that are across a pause, or newer than the last cycle, and far enough apart.
_CANDIDATES = """
WITH neighbours AS (
    SELECT
        w.symbol, c.open_time, c.close, lag(c.open_time) OVER of_symbol AS before_open,
        lag(c.close) OVER of_symbol AS before_close
    FROM unnest(CAST(:symbols AS text[])) AS w (symbol)
    CROSS JOIN LATERAL (
        SELECT open_time, close FROM candles
        WHERE symbol = w.symbol AND "interval" = :interval AND open_time <= :last
        ORDER BY open_time DESC LIMIT :count
    ) AS c
    WINDOW of_symbol AS (PARTITION BY w.symbol ORDER BY c.open_time)
)
SELECT symbol, open_time, close, before_open, before_close FROM neighbours
WHERE (open_time > before_open + CAST(:step AS interval) OR open_time > CAST(:since AS timestamptz))
AND abs(ln((close / before_close)::double precision)) > :least
ORDER BY symbol, open_time
"""


def between(
    connection: Connection, settings: Settings, symbol: str, before: Close, after: Close
) -> Jump | None:
    """The jump from one close to the next, unless there is none, or a person knows of it.

    Args:
        before: of a stored candle.
        after: of the next candle, or the last price in the slot that still runs.
    """
    slots = (after.open_ms - before.open_ms) // grid.STEP_MS
    values = {
        "account": settings.account,
        "symbol": symbol,
        "before": grid.to_time(before.open_ms),
        "after": grid.to_time(after.open_ms),
        "step": grid.STEP,
    }
    if slots < 1 or connection.execute(text(_KNOWN), values).scalar_one():
        return None
    change = math.log(after.price / before.price)
    for ratio in connection.execute(text(_SPLITS), values).scalars():
        change += math.log(ratio)
    sigma = volatility(newest_closes(connection, symbol, _MOST_RETURNS + 1, before.open_ms))
    scope = scope_of(change, slots, sigma, settings.risk.max_jump_sigmas)
    if scope is None:
        return None
    return Jump(symbol, after.open_ms, before.price, after.price, slots - 1, scope)


_KNOWN = """
SELECT EXISTS (
    SELECT FROM holds WHERE account = :account AND symbol = :symbol AND reason = 'jump'
    AND candle > :before AND candle <= :after
)
"""
# A split that a person has booked while the price had not moved yet.
_SPLITS = """
SELECT ratio FROM splits WHERE account = :account AND symbol = :symbol
AND booked_at > CAST(:before AS timestamptz) + CAST(:step AS interval)
AND booked_at <= CAST(:after AS timestamptz) + CAST(:step AS interval)
"""


def closes_since_split(connection: Connection, account: str, symbol: str, last_ms: int) -> list[Close]:
    """The closes that a volatility is told from, up to a candle's, oldest first: those in today's coins."""
    split: datetime | None = connection.execute(
        text("SELECT max(candle) FROM splits WHERE account = :account AND symbol = :symbol"),
        {"account": account, "symbol": symbol},
    ).scalar_one()
    closes = newest_closes(connection, symbol, _MOST_RETURNS + 1, last_ms)
    return [close for close in closes if split is None or close.open_ms >= grid.to_ms(split)]


def newest_closes(connection: Connection, symbol: str, count: int, last_ms: int | None = None) -> list[Close]:
    """The newest closes that are stored, up to a candle's, oldest first."""
    rows = connection.execute(
        text(
            'SELECT open_time, close FROM candles WHERE symbol = :symbol AND "interval" = :interval '
            "AND (CAST(:last AS timestamptz) IS NULL OR open_time <= :last) ORDER BY open_time DESC LIMIT :count"
        ),
        {
            "symbol": symbol,
            "interval": grid.INTERVAL,
            "count": count,
            "last": None if last_ms is None else grid.to_time(last_ms),
        },
    ).all()
    return [Close(grid.to_ms(row.open_time), row.close) for row in rows[::-1]]
