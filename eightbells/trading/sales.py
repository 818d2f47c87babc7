"""Sales at market that no signal asks for: of everything after a halt, and of a symbol by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from sqlalchemy import Connection, Row, text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange import rules
from eightbells.trading import attempts, commands, ledger, outbox
from eightbells.trading.ledger import Position
from eightbells.trading.sizing import Sized, of_owned, sellable

Place = tuple[str, str]  # strategy and symbol

_LAST_SIGNAL = """
SELECT s.id, s.price, e.strategy_version, e.open_time FROM signals AS s
INNER JOIN evaluations AS e ON s.evaluation_id = e.id
WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol ORDER BY e.open_time DESC LIMIT 1
"""


@dataclass(frozen=True)
class Saleable:
    """A position of which the exchange would take `quantity`, and the signal that its sale belongs to."""

    position: Position
    quantity: Decimal
    signal: Row[tuple[object, ...]]

    @property
    def place(self) -> Place:
        return self.position.strategy, self.position.symbol


def saleable(
    connection: Connection, account: str, places: Collection[Place] | None = None
) -> Iterator[Saleable]:
    """The positions that the exchange would take at market; dust and what is sold are left out.

    Args:
        places: only these; None for all.
    """
    for position in ledger.positions(connection, account):
        place = position.strategy, position.symbol
        if position.quantity <= 0 or (places is not None and place not in places):
            continue
        values = {"account": account, "strategy": position.strategy, "symbol": position.symbol}
        last = connection.execute(text(_LAST_SIGNAL), values).one()
        symbol_rules = rules.load(connection, position.symbol)
        quantity = symbol_rules and sellable(position.quantity, last.price, symbol_rules, market=True)
        if quantity:
            yield Saleable(position, quantity, last)


def plan_sales(
    connection: Connection,
    account: str,
    leg: Literal["sellout", "manual"],
    now_ms: int,
    flow_run: str | None,
    places: Collection[Place] | None = None,
    command: int | None = None,
) -> list[int]:
    """Commit a MARKET sale of each position, as an order under its last signal; one on sale already is left alone.

    The sale takes the place of a stop: what the exchange does not sell stays protected.

    Args:
        places: only these positions; None for all.
        command: what a sale by hand belongs to.
    """
    sales = {
        (order.strategy, order.symbol): order
        for order in outbox.live(connection, account)
        if order.side == "SELL" and not order.yields and not order.paired
    }
    planned = []
    for it in saleable(connection, account, places):
        position, last = it.position, it.signal
        identity = (position.strategy, last.strategy_version, position.symbol, grid.to_ms(last.open_time))
        sized = Sized(leg, "SELL", it.quantity, None, basis=of_owned(position.quantity, it.quantity))
        attempt = attempts.next_attempt(connection, last.id, leg)
        planned.append(
            outbox.plan(
                connection,
                outbox.Intent(account, last.id, identity, sized, now_ms, flow_run, attempt, command),
                sales.get(it.place),
            )
        )
    return [order for order in planned if order is not None]


@dataclass(frozen=True)
class SaleByHand:
    """A sale that was ordered: its command, and the positions that it sells."""

    command: int
    places: frozenset[Place]


def begin_sale(
    connection: Connection,
    account: str,
    symbol: str,
    strategy: str | None,
    why: str,
    by: str,
    *,
    anyway: bool,
) -> SaleByHand:
    """Record the order to sell what is held of a symbol.

    Args:
        strategy: only its position; None for all of the symbol.
        anyway: although a drift or a hold of the symbol is open.

    Raises:
        EightbellsError: nothing of it can be sold, or something must be settled first.
    """
    held = {it.place for it in saleable(connection, account) if it.position.symbol == symbol}
    places = frozenset(place for place in held if strategy in (None, place[0]))
    if not places:
        of = f" of {strategy}" if strategy else ""
        others = ", ".join(sorted(name for name, _ in held))
        raise EightbellsError(
            f"nothing of {symbol}{of} can be sold"
            + (f": it is held by {others}" if others else "; `eightbells positions` lists what is held")
        )
    if not anyway and (reason := commands.obstacle(connection, account, symbol)):
        raise EightbellsError(f"{symbol} is not sold: {reason}. Settle that first, or sell --anyway")
    arguments = {"symbol": symbol, "strategy": strategy, "anyway": anyway}
    return SaleByHand(commands.record(connection, account, "sell", arguments, why, by), places)


@dataclass(frozen=True)
class Sold:
    """What a sale by hand has sold of one position; `quote_quantity` is what it brought, before fees."""

    strategy: str
    symbol: str
    quantity: Decimal
    quote_quantity: Decimal


def sold_by(connection: Connection, command: int) -> list[Sold]:
    """What the orders of a command have sold so far."""
    rows = connection.execute(
        text(
            "SELECT o.strategy, o.symbol, sum(f.quantity), sum(f.quote_quantity) FROM orders AS o "
            "INNER JOIN fills AS f ON f.order_id = o.id WHERE o.command = :command "
            "GROUP BY o.strategy, o.symbol ORDER BY o.strategy"
        ),
        {"command": command},
    )
    return [Sold(*row) for row in rows]
