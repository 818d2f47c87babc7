"""Drift that a person has looked into: an order's is let stand, coins that are gone are written off.

It blocks its symbol no more; who said so, and why, is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from sqlalchemy import Engine, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.codes import NOT_SHOWN
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.trading import fees, ledger
from eightbells.trading.drift import clear, require_open
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.ledger import Position
from eightbells.trading.reconciliation import at_rest, reconcile
from eightbells.trading.states import LIVE, of_exchange


@dataclass(frozen=True)
class Accepted:
    """A drift that blocks no more."""

    id: int
    symbol: str
    detail: str


async def accept_drift(
    settings: Settings,
    engine: Engine,
    gateway: Gateway,
    number: int,
    reason: str,
    by: str,
    proceeds: Decimal | None = None,
) -> Accepted:
    """Let an order's disagreement stand, as it is at this moment; or take coins that are gone out of the positions.

    Exchange and books are compared first, so that nobody accepts what has changed since he looked. Not accepted is an
    order that is open, since it may yet be filled, and one as young as a decision that may still be taken: books that
    have lost it would send it again. From then on that very disagreement about that order is passed over; any other
    one, also about the same order, is a drift of its own and blocks.

    Args:
        proceeds: what the missing coins were sold for, in the symbol's quote asset; without it nothing came in.

    Raises:
        EightbellsError: why it cannot be accepted, and what to do instead; nothing was changed.
    """
    if not reason.strip():
        raise EightbellsError("a reason is needed: the books keep it")
    if proceeds is not None and not (proceeds.is_finite() and proceeds >= 0):
        raise EightbellsError(f"proceeds of {proceeds}: what the coins were sold for is 0 or more")
    with engine.connect() as connection:
        drift = require_open(connection, settings.account, number)
    if drift.exchange_order_id is not None and proceeds is not None:
        raise EightbellsError(
            f"drift {number} ({drift.symbol}) is about an order: proceeds are those of coins that are missing"
        )
    await reconcile(settings, engine, gateway, OrderExecutor(settings, engine, gateway), [drift.symbol])
    if drift.exchange_order_id is None:
        return await _write_off(settings.account, engine, gateway, number, reason, by, proceeds or Decimal(0))
    await _require_over(settings, gateway, drift.symbol, drift.exchange_order_id)
    at = grid.to_time(gateway.clock.now_ms())
    with engine.begin() as connection:
        drift = require_open(connection, settings.account, number, lock=True)
        connection.execute(
            text(
                "INSERT INTO drift_acceptances (drift_id, exchange_order_id, reason, accepted_by, accepted_at) "
                "VALUES (:id, :order, :reason, :by, :at)"
            ),
            {"id": number, "order": drift.exchange_order_id, "reason": reason.strip(), "by": by, "at": at},
        )
        clear(connection, number, at)
    return Accepted(number, drift.symbol, drift.detail)


async def _write_off(
    account: str, engine: Engine, gateway: Gateway, number: int, reason: str, by: str, proceeds: Decimal
) -> Accepted:
    """Take what is missing out of the positions in the drift's symbol; what they do not hold stays missing."""
    with engine.connect() as connection:
        before = ledger.positions(connection, account)
    balances = await gateway.balances()
    open_orders = await gateway.open_orders()
    at = grid.to_time(gateway.clock.now_ms())
    with engine.begin() as connection:
        resting = at_rest(connection, account, before, open_orders)
        drift = require_open(connection, account, number, lock=True)
        short = next(
            (
                short
                for short in fees.shortages(connection, account, balances)
                if drift.symbol in short.symbols and short.facts == drift.facts
            ),
            None,
        )
        if short is None or not resting:
            raise EightbellsError(f"the coins of {drift.symbol} are changing now: try again in a minute")
        held = [position for position in before if position.symbol == drift.symbol and position.quantity > 0]
        parts = list(_parts(held, short.missing, proceeds))
        if not parts:
            raise EightbellsError(
                f"no strategy holds {short.asset} by {drift.symbol}: accept the drift of another symbol"
            )
        connection.execute(
            text(
                "INSERT INTO write_offs (drift_id, account, strategy, symbol, quantity, proceeds, reason, "
                "written_off_by, written_off_at) VALUES (:id, :account, :strategy, :symbol, :quantity, :proceeds, "
                ":reason, :by, :at)"
            ),
            [
                {
                    "id": number,
                    "account": account,
                    "strategy": strategy,
                    "symbol": drift.symbol,
                    "quantity": quantity,
                    "proceeds": part,
                    "reason": reason.strip(),
                    "by": by,
                    "at": at,
                }
                for strategy, quantity, part in parts
            ],
        )
        clear(connection, number, at)
    taken = ", ".join(f"{wire(quantity)} of {strategy}" for strategy, quantity, _ in parts)
    return Accepted(number, drift.symbol, f"{drift.detail}; written off: {taken}")


def _parts(
    held: list[Position], missing: Decimal, proceeds: Decimal
) -> Iterator[tuple[str, Decimal, Decimal]]:
    """What each strategy loses, the largest position first, and its share of the proceeds."""
    gone = left = min(missing, sum((position.quantity for position in held), Decimal(0)))
    unpaid = proceeds
    for position in sorted(held, key=lambda position: (-position.quantity, position.strategy)):
        if not left:
            return
        quantity = min(position.quantity, left)
        left -= quantity
        part = (proceeds * quantity / gone).quantize(ledger.SMALLEST, ROUND_DOWN) if left else unpaid
        unpaid -= part
        yield position.strategy, quantity, part


async def _require_over(settings: Settings, gateway: Gateway, symbol: str, number: int) -> None:
    try:
        order = await gateway.order_by_number(symbol, number)
    except ExchangeError as error:
        if error.failure.code in NOT_SHOWN:  # it is so long over that nobody can look at it
            return
        raise
    name, state = order.client_order_id, of_exchange(order.status)
    if state is None:
        raise EightbellsError(
            f"order {name} of {symbol} is {order.status} at the exchange, a status that is not known: it could yet be "
            "filled; cancel it there first, or wait until it is over"
        )
    if state in LIVE:
        raise EightbellsError(
            f"order {name} of {symbol} is still open at the exchange: cancel it there first, it could yet be filled"
        )
    over = decided_until(settings, order.created_ms)
    if gateway.clock.now_ms() < over:
        raise EightbellsError(
            f"order {name} of {symbol} belongs to the current candle, so its decision could be sent again: accept it "
            f"after {grid.label(over)} UTC"
        )


def decided_until(settings: Settings, placed_ms: int) -> int:
    """Until when the decision behind an order could be taken again (ms): while its candle is the newest, or young."""
    young = int(settings.trading.max_candle_age_minutes * 60_000)
    return max(grid.closes_at(grid.floor(placed_ms)), placed_ms + young)
