"""What a person says of a symbol on hold: its coins were exchanged, or all is well. Who said so and why is kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.rules import wire
from eightbells.settings import Settings
from eightbells.settings.symbols import chosen
from eightbells.trading import holds, ledger, multiplied, outbox
from eightbells.trading.execution import OrderExecutor, to_settle
from eightbells.trading.holds import Hold
from eightbells.trading.lease import hold_lease
from eightbells.trading.ledger import Position
from eightbells.trading.states import IN_FLIGHT, State

_MOST = Decimal(10) ** 12  # coins for one: far above every token that was ever exchanged


@dataclass(frozen=True)
class Split:
    """A split that is booked: positions before and after, and the holds that it has released."""

    symbol: str
    ratio: Decimal
    before: list[Position]
    after: list[Position]
    released: list[Hold]

    @property
    def words(self) -> str:
        """One line for who booked it."""
        changed = ", ".join(
            f"{old.strategy} held {wire(old.quantity)}, now {wire(new.quantity)}"
            for old, new in zip(self.before, self.after, strict=True)
        )
        return (
            f"{self.symbol}: {wire(self.ratio)} for 1 booked; {changed or 'no strategy holds it'}"
            f"{_released(self.released)}"
        )


async def book_split(
    settings: Settings, engine: Engine, gateway: Gateway, symbol: str, ratio: Decimal, reason: str, by: str
) -> Split:
    """Book that a symbol's coins were exchanged, and release its holds.

    Positions are scaled, what they have cost is not; stops follow from the cost of one coin. No strategy looks at
    candles from before it any more. What the exchange says of the symbol's orders is booked first.

    Args:
        ratio: new coins for an old one.

    Raises:
        EightbellsError: why it cannot be booked, and what to do instead; nothing was changed.
    """
    (symbol,) = chosen([symbol])
    _require_reason(reason)
    if not (ratio.is_finite() and 1 / _MOST <= ratio <= _MOST and ratio != 1):
        raise EightbellsError(
            f"a ratio of {ratio}: it is the number of new coins for one old coin, such as 100 or 0.001"
        )
    with engine.connect() as connection:
        _require_known(connection, settings.account, symbol)
    trading = settings.trading
    executor = OrderExecutor(settings, engine, gateway)
    async with hold_lease(
        engine, settings.account, trading.lease_seconds, trading.lease_patience_seconds
    ) as lease:
        await _follow_orders(engine, settings.account, executor, symbol)
        balances = await gateway.balances()
        now = gateway.clock.now_ms()
        with engine.begin() as connection:
            lease.require(connection)
            there = {balance.asset: balance.free + balance.locked for balance in balances}
            return _book(connection, settings.account, there, symbol, ratio, reason.strip(), by, now)


async def _follow_orders(engine: Engine, account: str, executor: OrderExecutor, symbol: str) -> None:
    """Bring the symbol's orders up to date: at such an exchange Binance ends the open ones itself."""
    with engine.connect() as connection:
        planned = [it for it in outbox.live(connection, account, {State.PLANNED}) if it.symbol == symbol]
    for order in planned:
        await executor.cancel(order)
    for order in to_settle(engine, account):
        if order.symbol == symbol:
            await (executor.resolve if order.state in IN_FLIGHT else executor.refresh)(order)


def _book(
    connection: Connection,
    account: str,
    there: dict[str, Decimal],
    symbol: str,
    ratio: Decimal,
    reason: str,
    by: str,
    now_ms: int,
) -> Split:
    _require_no_orders(connection, account, symbol)
    asset: str = connection.execute(
        text("SELECT base_asset FROM symbols WHERE symbol = :symbol"), {"symbol": symbol}
    ).scalar_one()
    before = _positions(connection, account, symbol)
    wanted = sum((ledger.scaled(position.quantity, ratio) for position in before), Decimal(0))
    if wanted > there.get(asset, Decimal(0)):
        raise EightbellsError(
            f"{symbol}: {wire(wanted)} {asset} would be in the books, {wire(there.get(asset, Decimal(0)))} are at the "
            "exchange: check the ratio, and whether the exchange has paid the new coins out"
        )
    connection.execute(
        text(
            "INSERT INTO splits (account, symbol, ratio, candle, reason, booked_by, booked_at) "
            "VALUES (:account, :symbol, :ratio, :candle, :reason, :by, :at)"
        ),
        {
            "account": account,
            "symbol": symbol,
            "ratio": ratio,
            "reason": reason,
            "by": by,
            "candle": _first_candle(connection, account, symbol, now_ms),
            "at": grid.to_time(now_ms),
        },
    )
    released = holds.release(connection, account, symbol, by, reason, grid.to_time(now_ms))
    multiplied.forget(connection, account, symbol)
    return Split(symbol, ratio, before, _positions(connection, account, symbol), released)


def _positions(connection: Connection, account: str, symbol: str) -> list[Position]:
    return [it for it in ledger.positions(connection, account) if it.symbol == symbol and it.quantity]


def _first_candle(connection: Connection, account: str, symbol: str, now_ms: int) -> datetime:
    """The first candle in new coins: the one that has jumped, or, where none has yet, the one that runs."""
    jumped: datetime | None = connection.execute(
        text(
            "SELECT max(candle) FROM holds WHERE account = :account AND symbol = :symbol AND reason = 'jump' "
            "AND released_at IS NULL"
        ),
        {"account": account, "symbol": symbol},
    ).scalar_one()
    return jumped or grid.to_time(grid.floor(now_ms))


def confirm(engine: Engine, account: str, symbol: str, reason: str, by: str, now_ms: int) -> str:
    """Release a symbol's holds: the price, or the balance, is what it shows. Returns one line for who did it.

    Raises:
        EightbellsError: the symbol is not held, or there is no reason.
    """
    (symbol,) = chosen([symbol])
    _require_reason(reason)
    with engine.begin() as connection:
        released = holds.release(connection, account, symbol, by, reason.strip(), grid.to_time(now_ms))
    if not released:
        raise EightbellsError(f"{symbol} is not held: `eightbells status` lists what is")
    return f"{symbol} is traded again{_released(released)}"


def ratio_of(written: str) -> Decimal:
    """A ratio as a person writes it.

    Raises:
        EightbellsError: it is no number.
    """
    with suppress(InvalidOperation):
        return Decimal(written)
    raise EightbellsError(f"{written!r} is no ratio: write it as 100, or 0.001")


def _released(released: list[Hold]) -> str:
    return f"; released: {'; '.join(hold.change for hold in released)}" if released else ""


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise EightbellsError("a reason is needed: the books keep it")


def _require_known(connection: Connection, account: str, symbol: str) -> None:
    held = [hold for hold in holds.open_holds(connection, account) if hold.symbol == symbol]
    if not held and not _positions(connection, account, symbol):
        raise EightbellsError(f"no strategy holds {symbol}, and it is not on hold: nothing is to be booked")


def _require_no_orders(connection: Connection, account: str, symbol: str) -> None:
    for order in outbox.live(connection, account):
        if order.symbol == symbol:
            raise EightbellsError(
                f"order {order.client_order_id} ({order.side} {symbol}) is {order.state}: cancel it at the exchange "
                "and try again"
            )
    for order in outbox.unbooked(connection, account):
        if order.symbol == symbol:
            raise EightbellsError(
                f"fills of order {order.client_order_id} ({order.side} {symbol}) are not booked yet: run "
                "`eightbells reconcile`, then try again"
            )
