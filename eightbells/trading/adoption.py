"""Coins that no strategy has bought, or what a foreign order has bought, made a strategy's at a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from sqlalchemy import Connection, Engine, Row, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange import rules
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.models import Balance, ListedOrder, TradeReport
from eightbells.exchange.rules import SymbolRules, wire
from eightbells.settings import Settings
from eightbells.trading import commands, ledger, multiplied
from eightbells.trading.lease import hold_lease
from eightbells.trading.reconciliation import OURS, at_rest
from eightbells.trading.sizing import sellable
from eightbells.trading.states import LIVE, of_exchange

_ZERO = Decimal(0)
_MOST = Decimal(10) ** 15


@dataclass(frozen=True)
class Wanted:
    """What is to be adopted.

    Args:
        quantity: of the base asset; None for all that belongs to no strategy.
        price: of one coin, in the quote asset; None for the exchange's last price.
        order: the exchange's number of the foreign order that bought it; its trades are the quantity and the price.
    """

    symbol: str
    strategy: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    order: int | None = None


@dataclass(frozen=True)
class Adopted:
    """What was adopted; money in the quote asset."""

    strategy: str
    symbol: str
    quantity: Decimal
    quote_quantity: Decimal

    @property
    def words(self) -> str:
        """One line for who adopted it."""
        price = (self.quote_quantity / self.quantity).quantize(ledger.SMALLEST)
        return f"{wire(self.quantity)} {self.symbol} are of {self.strategy} now, booked at {wire(price)}"


def amount_of(words: str | None, name: str) -> Decimal | None:
    """A number that a person typed; None for none.

    Raises:
        EightbellsError: it is no number above 0.
    """
    if words is None or not words.strip():
        return None
    try:
        value = Decimal(words.strip())
    except InvalidOperation:
        value = _ZERO
    if not (value.is_finite() and 0 < value <= _MOST):
        raise EightbellsError(f"--{name} {words[:40]}: it must be a number above 0")
    return value


async def adopt(
    settings: Settings, engine: Engine, gateway: Gateway, wanted: Wanted, reason: str, by: str
) -> Adopted:
    """Make coins of the account a strategy's. They count as bought at a price; the next look gives them their stop.

    Raises:
        EightbellsError: why they cannot be adopted, and what to do instead; nothing was changed.
    """
    if wanted.order is not None and (wanted.quantity is not None or wanted.price is not None):
        raise EightbellsError("--order: the order's own trades are quantity and price, leave the others out")
    trading, account = settings.trading, settings.account
    async with hold_lease(engine, account, trading.lease_seconds, trading.lease_patience_seconds) as lease:
        with engine.connect() as connection:
            symbol_rules, signal = _require_traded(connection, settings, wanted)
            before = ledger.positions(connection, account)
        bought = await _bought(gateway, symbol_rules, wanted)
        prices = {} if wanted.price or bought else await gateway.prices()
        balances = await gateway.balances()
        open_orders = await gateway.open_orders()
        now = gateway.clock.now_ms()
        with engine.begin() as connection:
            lease.require(connection)
            if not at_rest(connection, account, before, open_orders):
                raise EightbellsError(f"the coins of {wanted.symbol} are changing now: try again in a minute")
            free = _ownerless(connection, account, symbol_rules, balances)
            adopted = _sized(wanted, symbol_rules, bought, prices.get(wanted.symbol), free)
            return _book(connection, account, adopted, signal, wanted, reason, by, now)


def _require_traded(connection: Connection, settings: Settings, wanted: Wanted) -> tuple[SymbolRules, int]:
    """The symbol's rules, and the newest signal of a strategy that trades it."""
    entry = next((it for it in settings.strategies if it.name == wanted.strategy), None)
    if entry is None:
        names = ", ".join(it.name for it in settings.strategies) or "none"
        raise EightbellsError(f"there is no strategy '{wanted.strategy}' in the settings (there: {names})")
    if wanted.symbol not in settings.symbols_of(entry):
        raise EightbellsError(
            f"{wanted.strategy} does not trade {wanted.symbol}: add it to its symbols first"
        )
    symbol_rules = rules.load(connection, wanted.symbol)
    signal: int | None = connection.execute(
        text(
            "SELECT s.id FROM signals AS s INNER JOIN evaluations AS e ON s.evaluation_id = e.id "
            "WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol "
            "ORDER BY e.open_time DESC, s.id DESC LIMIT 1"
        ),
        {"account": settings.account, "strategy": wanted.strategy, "symbol": wanted.symbol},
    ).scalar_one_or_none()
    if symbol_rules is None or signal is None:
        raise EightbellsError(
            f"{wanted.strategy} has not decided on {wanted.symbol} yet: adopt it after the next cycle"
        )
    return symbol_rules, signal


async def _bought(
    gateway: Gateway, symbol_rules: SymbolRules, wanted: Wanted
) -> tuple[Decimal, Decimal] | None:
    """Quantity and money of the foreign order, net of fees; None where none is named."""
    if wanted.order is None:
        return None
    order: ListedOrder = await gateway.order_by_number(wanted.symbol, wanted.order)
    name = f"order {wanted.order} of {wanted.symbol}"
    if order.client_order_id.startswith(OURS):
        raise EightbellsError(f"{name} is an order of Eightbells: its coins belong to a strategy already")
    state = of_exchange(order.status)
    if order.side != "BUY" or state is None or state in LIVE or not order.executed_quantity:
        raise EightbellsError(
            f"{name} is {order.side} and {order.status}: what can be adopted is a purchase that is over"
        )
    trades: Sequence[TradeReport] = await gateway.trades(wanted.symbol, wanted.order)
    if sum((it.quantity for it in trades), _ZERO) != order.executed_quantity:
        raise EightbellsError(f"the exchange does not list all trades of {name} yet: try again in a minute")
    quantity = sum((it.quantity - _fee(it, symbol_rules.base_asset) for it in trades), _ZERO)
    return quantity, sum((it.quote_quantity + _fee(it, symbol_rules.quote_asset) for it in trades), _ZERO)


def _fee(trade: TradeReport, asset: str) -> Decimal:
    return trade.commission if trade.commission_asset == asset else _ZERO


def _ownerless(
    connection: Connection, account: str, symbol_rules: SymbolRules, balances: Sequence[Balance]
) -> Decimal:
    """What the account holds of an asset beyond what the strategies own, by all symbols of it."""
    asset = symbol_rules.base_asset
    there = sum((it.free + it.locked for it in balances if it.asset == asset), _ZERO)
    owned: Decimal = connection.execute(
        text(
            "SELECT coalesce(sum(p.quantity), 0) FROM positions AS p INNER JOIN symbols AS s ON p.symbol = s.symbol "
            "WHERE p.account = :account AND s.base_asset = :asset"
        ),
        {"account": account, "asset": asset},
    ).scalar_one()
    return there - owned


def _sized(
    wanted: Wanted,
    symbol_rules: SymbolRules,
    bought: tuple[Decimal, Decimal] | None,
    last: Decimal | None,
    free: Decimal,
) -> Adopted:
    asset = symbol_rules.base_asset
    price = wanted.price or last
    if bought is not None:
        quantity, money = bought
        price = money / quantity
    elif price is None:
        raise EightbellsError(f"the last price of {wanted.symbol} is not known: give --price")
    else:
        quantity = free if wanted.quantity is None else wanted.quantity
        quantity = quantity.quantize(ledger.SMALLEST, ROUND_DOWN)
        money = (quantity * price).quantize(ledger.SMALLEST, ROUND_DOWN)
    if quantity > free or quantity <= 0:
        raise EightbellsError(
            f"{wire(max(free, _ZERO))} {asset} of the account belong to no strategy, "
            f"{wire(quantity)} were to be adopted"
        )
    if not sellable(quantity, price, symbol_rules, market=False) or money <= 0:
        raise EightbellsError(
            f"{wire(quantity)} {asset} at {wire(price)} are too little for an order of {wanted.symbol}: "
            "they could not be sold"
        )
    return Adopted(wanted.strategy, wanted.symbol, quantity, money)


def _book(
    connection: Connection,
    account: str,
    adopted: Adopted,
    signal: int,
    wanted: Wanted,
    reason: str,
    by: str,
    now_ms: int,
) -> Adopted:
    arguments = {
        "symbol": adopted.symbol,
        "strategy": adopted.strategy,
        "quantity": wire(adopted.quantity),
        "quote_quantity": wire(adopted.quote_quantity),
        "order": wanted.order,
    }
    if wanted.order is not None and _is_adopted(connection, account, wanted):
        raise EightbellsError(f"order {wanted.order} of {wanted.symbol} was adopted before")
    number = commands.record(connection, account, "adopt", arguments, reason, by)
    connection.execute(
        text(
            "INSERT INTO adoptions (command, account, strategy, symbol, signal_id, quantity, quote_quantity, "
            "exchange_order_id, adopted_at) VALUES (:command, :account, :strategy, :symbol, :signal, :quantity, "
            ":money, :order, :at)"
        ),
        {
            "command": number,
            "account": account,
            "strategy": adopted.strategy,
            "symbol": adopted.symbol,
            "signal": signal,
            "quantity": adopted.quantity,
            "money": adopted.quote_quantity,
            "order": wanted.order,
            "at": grid.to_time(now_ms),
        },
    )
    multiplied.forget(connection, account, adopted.symbol)
    return adopted


def _is_adopted(connection: Connection, account: str, wanted: Wanted) -> bool:
    found: Row[tuple[object, ...]] | None = connection.execute(
        text(
            "SELECT FROM adoptions WHERE account = :account AND symbol = :symbol AND exchange_order_id = :order"
        ),
        {"account": account, "symbol": wanted.symbol, "order": wanted.order},
    ).one_or_none()
    return found is not None
