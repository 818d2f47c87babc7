"""Costs: what positions cost and have realised. The older bookings are kept as a sum; only newer ones are replayed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, text

from eightbells.trading.ledger import Holding

_FEW = 100  # a position with so many fills on top of its kept cost has it kept again


class _Kept(NamedTuple):
    """A position after its last booking, and which that was."""

    holding: Holding
    at: datetime | None
    number: int | None
    fills: int


# One statement, so that the kept cost and the bookings after it are of one moment.
_BOOKINGS = """
SELECT
    p.strategy, p.symbol, p.fills, k.quantity AS kept, k.cost, k.realised, k.at AS kept_at, k.number AS kept_number,
    b.side, b.quantity, b.quote_quantity, b.base_fee, b.quote_fee, b.at, b.number
FROM position_totals AS p
INNER JOIN symbols AS s ON p.symbol = s.symbol
LEFT JOIN position_costs AS k ON p.account = k.account AND p.strategy = k.strategy AND p.symbol = k.symbol
CROSS JOIN LATERAL (
    SELECT coalesce(k.at, '-infinity') AS at, coalesce(k.number, 0) AS number
) AS old
LEFT JOIN LATERAL (
    SELECT
        f.side, f.quantity, f.quote_quantity,
        CASE WHEN f.commission_asset = s.base_asset THEN f.commission ELSE 0 END AS base_fee,
        CASE WHEN f.commission_asset = s.quote_asset THEN f.commission ELSE 0 END AS quote_fee,
        f.traded_at AS at, f.trade_id AS number
    FROM fills AS f
    WHERE f.account = p.account AND f.symbol = p.symbol AND (f.traded_at, f.trade_id) > (old.at, old.number)
    AND (SELECT o.strategy FROM orders AS o WHERE o.id = f.order_id) = p.strategy -- a join would read all its orders
    UNION ALL
    SELECT 'SELL', 0, 0, quantity, 0, charged_at, id FROM fee_charges AS c
    WHERE c.account = p.account AND c.strategy = p.strategy AND c.symbol = p.symbol
    AND (c.charged_at, c.id) > (old.at, old.number)
    UNION ALL
    SELECT 'SELL', quantity, proceeds, 0, 0, written_off_at, drift_id FROM write_offs AS w
    WHERE w.account = p.account AND w.strategy = p.strategy AND w.symbol = p.symbol
    AND (w.written_off_at, w.drift_id) > (old.at, old.number)
    UNION ALL
    SELECT 'BUY', quantity, quote_quantity, 0, 0, adopted_at, command FROM adoptions AS a
    WHERE a.account = p.account AND a.strategy = p.strategy AND a.symbol = p.symbol
    AND (a.adopted_at, a.command) > (old.at, old.number)
    UNION ALL
    SELECT 'SPLIT', ratio, 0, 0, 0, booked_at, id FROM splits AS t
    WHERE t.account = p.account AND t.symbol = p.symbol AND (t.booked_at, t.id) > (old.at, old.number)
) AS b ON TRUE
WHERE p.account = :account AND (:all OR EXISTS (
    SELECT FROM unnest(CAST(:strategies AS text[]), CAST(:symbols AS text[])) AS asked (strategy, symbol)
    WHERE asked.strategy = p.strategy AND asked.symbol = p.symbol
))
ORDER BY p.strategy, p.symbol, b.at, b.number
"""


def holdings(
    connection: Connection, account: str, places: Collection[tuple[str, str]] | None = None
) -> dict[tuple[str, str], Holding]:
    """What is held at average cost, and what was realised, by strategy and symbol.

    Args:
        places: the positions that are wanted; None for all of the account.
    """
    return {place: found.holding for place, found in _replayed(connection, account, places).items()}


def average_cost(connection: Connection, account: str, strategy: str, symbol: str) -> Decimal | None:
    """Cost of one unit held, fees included; None where nothing is held."""
    held = holdings(connection, account, [(strategy, symbol)]).get((strategy, symbol), Holding())
    return held.cost / held.quantity if held.quantity > 0 else None


def keep_costs(connection: Connection, account: str, few: int = _FEW) -> None:
    """Keep the cost of the positions that have many fills on top of the one that is kept.

    A position of which a fill is being booked at this moment is left for the next time.

    Args:
        few: how many fills are many.
    """
    grown = connection.execute(
        text(
            "SELECT p.strategy, p.symbol FROM position_totals AS p LEFT JOIN position_costs AS k "
            "ON p.account = k.account AND p.strategy = k.strategy AND p.symbol = k.symbol "
            "WHERE p.account = :account AND p.fills >= coalesce(k.fills, 0) + :few "
            "FOR NO KEY UPDATE OF p SKIP LOCKED"
        ),
        {"account": account, "few": few},
    )
    places = [(row.strategy, row.symbol) for row in grown]
    if not places:
        return
    for (strategy, symbol), kept in _replayed(connection, account, places).items():
        connection.execute(
            text("""
            INSERT INTO position_costs (
                account, strategy, symbol, quantity, cost, realised, at, number, fills
            ) VALUES (:account, :strategy, :symbol, :quantity, :cost, :realised, :at, :number, :fills)
            ON CONFLICT (account, strategy, symbol) DO UPDATE SET
                quantity = excluded.quantity, cost = excluded.cost, realised = excluded.realised,
                at = excluded.at, number = excluded.number, fills = excluded.fills
            """),
            {
                "account": account,
                "strategy": strategy,
                "symbol": symbol,
                **vars(kept.holding),
                "at": kept.at,
                "number": kept.number,
                "fills": kept.fills,
            },
        )


def _replayed(
    connection: Connection, account: str, places: Collection[tuple[str, str]] | None
) -> dict[tuple[str, str], _Kept]:
    rows = connection.execute(
        text(_BOOKINGS),
        {
            "account": account,
            "all": places is None,
            "strategies": [strategy for strategy, _ in places or ()],
            "symbols": [symbol for _, symbol in places or ()],
        },
    )
    found = {}
    for place, bookings in groupby(rows, lambda row: (row.strategy, row.symbol)):
        kept: _Kept | None = None
        for row in bookings:
            if kept is None:
                before = Holding() if row.kept is None else Holding(row.kept, row.cost, row.realised)
                kept = _Kept(before, row.kept_at, row.kept_number, row.fills)
            if row.side is not None:
                after = kept.holding.after(
                    row.side, row.quantity, row.quote_quantity, row.base_fee, row.quote_fee
                )
                kept = _Kept(after, row.at, row.number, row.fills)
        assert kept is not None
        found[place] = kept
    return found
