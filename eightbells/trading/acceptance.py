"""Drift that a person has looked into and lets stand: it blocks its symbol no more; who said so, and why, is kept."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Row, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.settings import Settings
from eightbells.trading.execution import Desk
from eightbells.trading.reconciliation import reconcile
from eightbells.trading.states import LIVE, of_exchange


@dataclass(frozen=True)
class Accepted:
    """A drift that blocks no more."""

    id: int
    symbol: str
    detail: str


async def accept_drift(
    settings: Settings, engine: Engine, gateway: Gateway, number: int, reason: str, by: str
) -> Accepted:
    """Let an order's disagreement stand, as it is at this moment.

    Exchange and books are compared first, so that nobody accepts what has changed since he looked. Not accepted is an
    order that is open, since it may yet be filled, and one as young as a decision that may still be taken: books that
    have lost it would send it again. From then on that very disagreement about that order is passed over; any other
    one, also about the same order, is a drift of its own and blocks.

    Raises:
        EightbellsError: why it cannot be accepted, and what to do instead; nothing was changed.
    """
    if not reason.strip():
        raise EightbellsError("a reason is needed: somebody will want to know why this was accepted")
    with engine.connect() as connection:
        drift = _open_drift(connection, settings.account, number)
    if drift.exchange_order_id is None:
        raise EightbellsError(
            f"drift {number} ({drift.symbol}) is about coins that are missing ({drift.detail}): a strategy would sell "
            "what is not there. Buy them back at the exchange, or find out where they went; it is over by itself then"
        )
    await reconcile(settings, engine, gateway, Desk(settings, engine, gateway), [drift.symbol])
    await _require_over(settings, gateway, drift.symbol, drift.exchange_order_id)
    at = grid.to_time(gateway.clock.now_ms())
    with engine.begin() as connection:
        drift = _open_drift(connection, settings.account, number, lock=True)
        connection.execute(
            text(
                "INSERT INTO drift_acceptances (drift_id, exchange_order_id, reason, accepted_by, accepted_at) "
                "VALUES (:id, :order, :reason, :by, :at)"
            ),
            {"id": number, "order": drift.exchange_order_id, "reason": reason.strip(), "by": by, "at": at},
        )
        connection.execute(
            text("UPDATE drifts SET cleared_at = :at WHERE id = :id"), {"id": number, "at": at}
        )
    return Accepted(number, drift.symbol, drift.detail)


def _open_drift(
    connection: Connection, account: str, number: int, *, lock: bool = False
) -> Row[tuple[str, ...]]:
    row = connection.execute(
        text(
            "SELECT symbol, detail, exchange_order_id, cleared_at FROM drifts WHERE account = :account AND id = :id"
            + (" FOR UPDATE" if lock else "")
        ),
        {"account": account, "id": number},
    ).one_or_none()
    if row is None:
        raise EightbellsError(f"there is no drift {number}: `eightbells reconcile` lists what is open")
    if row.cleared_at is not None:
        raise EightbellsError(
            f"drift {number} ({row.symbol}) is over since {row.cleared_at:%Y-%m-%d %H:%M} UTC"
        )
    return row


async def _require_over(settings: Settings, gateway: Gateway, symbol: str, number: int) -> None:
    try:
        order = await gateway.order_by_number(symbol, number)
    except ExchangeError as error:
        if error.failure.code in ("-1121", "-2013", "-2026"):  # it is so long over that nobody can look at it
            return
        raise
    name = order["clientOrderId"]
    if of_exchange(order["status"]) in LIVE:
        raise EightbellsError(
            f"order {name} of {symbol} is still open at the exchange: cancel it there first, it could yet be filled"
        )
    over = decided_until(settings, int(order["time"]))
    if gateway.clock.now_ms() < over:
        raise EightbellsError(
            f"order {name} of {symbol} is so young that its decision could be taken, and sent, once more: accept it "
            f"after {grid.label(over)} UTC"
        )


def decided_until(settings: Settings, placed_ms: int) -> int:
    """Until when the decision behind an order could be taken again (ms): while its candle is the newest, or young."""
    young = int(settings.trading.max_candle_age_minutes * 60_000)
    return max(grid.closes_at(grid.floor(placed_ms)), placed_ms + young)
