"""What came of a candle: which orders a run placed, what became of them, and why it placed none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from eightbells.strategies.decision import Failed, Refused


@dataclass(frozen=True)
class Idle:
    """Why a cycle placed no new order: a code for scripts, a sentence for people.

    `code` is one of not-asked, no-strategies, halted, done, too-old, failed, held, unproven, refused, unchanged.
    """

    code: str
    words: str


@dataclass(frozen=True)
class Found:
    """What a cycle met.

    Args:
        asked: whether it was to trade at all.
        off: why trading is switched off, or None.
        late: why the candle is too old to trade on, or None.
        served: whether an earlier run has served the candle.
        earlier: how many orders of the candle earlier runs have placed.
        decisions: how many answers the strategies gave.
        refused: what this run did not trade, and why.
    """

    asked: bool
    strategies: int
    off: str | None
    late: str | None
    served: bool
    earlier: int
    decisions: int
    refused: Sequence[Refused]


def why_idle(found: Found) -> Idle:
    """The first reason that holds, from what a person has decided to what the candles led to."""
    if not found.asked:
        return Idle("not-asked", "this run does not trade (--no-trade)")
    if not found.strategies:
        return Idle("no-strategies", "there are no strategies: add [[strategies]] to eightbells.toml")
    if found.off is not None:
        return Idle("halted", f"trading is off: {found.off}; `eightbells resume` switches it on")
    if found.served and not found.refused:
        return Idle("done", f"an earlier run has traded this candle and placed {_orders(found.earlier)}")
    if found.late is not None:
        return Idle("too-old", found.late)
    if not found.decisions:
        return _without_answers(found.refused)
    if found.refused:
        return Idle(
            "refused", "every order that the signals call for is refused, or its symbol has no proven candles"
        )
    return Idle("unchanged", "no signal calls for an order: positions are as the strategies want them")


def _without_answers(refused: Sequence[Refused]) -> Idle:
    failed = sorted({it.strategy for it in refused if isinstance(it, Failed)})
    if failed:
        return Idle("failed", f"no strategy has answered; failed: {', '.join(failed)}")
    if refused and all(it.stage == "hold" for it in refused):
        return Idle("held", "no strategy was asked: every symbol is held; `eightbells status` shows why")
    return Idle("unproven", "no strategy was asked: no symbol has a whole window of proven candles")


def _orders(count: int) -> str:
    return "no order" if not count else f"{count} order{'s' * (count > 1)}"


def placed_by(
    connection: Connection, account: str, open_time: datetime, flow_run: str | None
) -> frozenset[int]:
    """Which orders of a candle one run has placed."""
    rows = connection.execute(
        text(
            "SELECT id FROM orders WHERE account = :account AND open_time = :opened "
            "AND flow_run IS NOT DISTINCT FROM :run"
        ),
        {"account": account, "opened": open_time, "run": flow_run},
    )
    return frozenset(rows.scalars())


def served_before(connection: Connection, account: str, open_time: datetime, flow_run: str | None) -> bool:
    """Whether another run has closed the books of a candle already."""
    found: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM cycles WHERE account = :account AND open_time = :opened "
            "AND flow_run IS DISTINCT FROM :run)"
        ),
        {"account": account, "opened": open_time, "run": flow_run},
    ).scalar_one()
    return found


def reasons(connection: Connection, orders: Collection[int]) -> dict[int, str]:
    """Why orders are in their state, of those whose newest event says so."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (order_id) order_id, detail ->> 'reason' AS reason FROM order_events "
            "WHERE order_id = ANY(:orders) ORDER BY order_id, id DESC"
        ),
        {"orders": list(orders)},
    )
    return {row.order_id: row.reason for row in rows if row.reason}
