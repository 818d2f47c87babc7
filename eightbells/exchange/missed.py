"""What the streams have not brought: asked for over REST, for all symbols by one question to the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import numpy as np
from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.candles.klines import Klines
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.history import Page, fetch_pages, plan_pages
from eightbells.exchange.recovery import Action, ExchangeError

# Where nothing is stored a window is wanted; else what follows the newest candle, and the window's holes. What
# lies before a symbol's first candle is not missing, nor is what the exchange has been proven not to have.
_MISSING = """
WITH spans AS (
    SELECT
        s.symbol, coalesce(
            greatest(k.oldest, least(k.newest + CAST(:step AS interval), CAST(:wanted AS timestamptz))),
            CAST(:wanted AS timestamptz)
        ) AS first
    FROM unnest(CAST(:symbols AS text[])) AS s (symbol)
    CROSS JOIN LATERAL (
        SELECT min(c.open_time) AS oldest, max(c.open_time) AS newest FROM candles AS c
        WHERE c.symbol = s.symbol AND c."interval" = :interval AND c.open_time <= :last
    ) AS k
)
SELECT spans.symbol, array_agg(slot ORDER BY slot)
FROM spans
CROSS JOIN LATERAL generate_series(spans.first, CAST(:last AS timestamptz), CAST(:step AS interval)) AS slot
WHERE NOT EXISTS (
    SELECT FROM candles AS c
    WHERE c.symbol = spans.symbol AND c."interval" = :interval AND c.open_time = slot
) AND NOT EXISTS (
    SELECT FROM candle_gaps AS g
    WHERE g.symbol = spans.symbol AND g."interval" = :interval AND g.open_time = slot AND g.state = 'absent'
)
GROUP BY spans.symbol
"""


def missing_pages(engine: Engine, symbols: Sequence[str], wanted_ms: int, last_ms: int) -> list[Page]:
    """The pages that cover what is not stored of the symbols from `wanted_ms` to `last_ms`, both open times.

    A symbol whose newest candle is older than that is looked at from there on.
    """
    values = {
        "symbols": list(symbols), "interval": grid.INTERVAL, "step": grid.STEP, "last": grid.to_time(last_ms),
        "wanted": grid.to_time(wanted_ms),
    }  # fmt: skip
    with engine.connect() as connection:
        rows = connection.execute(text(_MISSING), values).all()
    return [
        page
        for symbol, slots in rows
        for page in plan_pages(symbol, np.array([grid.to_ms(slot) for slot in slots], dtype=np.int64))
    ]


async def fetch_all(gateway: Gateway, pages: Sequence[Page]) -> AsyncGenerator[Klines, None]:
    """The pages' klines as they come. A symbol that the exchange refuses is passed over.

    Raises:
        ExchangeError: what befell one question will befall the others: they are not asked.
    """
    async with aclosing(fetch_pages(gateway, pages)) as outcomes:  # type: ignore[type-var]
        async for _, outcome in outcomes:
            if not isinstance(outcome, ExchangeError):
                yield outcome
            elif outcome.failure.remedy.action is not Action.REFUSE:
                raise outcome
