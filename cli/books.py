"""Commands on the books: look at positions, orders and fills, and sell by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.answers import AsJson, listed, moment, plain, who
from cli.books_view import as_csv
from cli.running import complain_of, run_flow
from cli.words import money
from eightbells.errors import EightbellsError
from eightbells.trading.states import LIVE, State

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eightbells.settings import Settings
    from eightbells.trading.listing import Wanted

books = typer.Typer()

AsCsv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values with a header line.")]
ChosenSymbol = Annotated[str | None, typer.Option("--symbol", help="One or several: BTCUSDT,ETHUSDT.")]
ChosenStrategy = Annotated[str | None, typer.Option("--strategy", help="Only of this strategy.")]
ChosenState = Annotated[
    State | None, typer.Option("--state", case_sensitive=False, help="Only orders in this state.")
]
OnlyOpen = Annotated[bool, typer.Option("--open", help="Only open orders.")]
Since = Annotated[str | None, typer.Option(help="Only those since 2024-03-01 or 2024-03-01T04:00Z.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="How many to list at most, newest first.")]


@books.command()
def positions(
    closed: Annotated[
        bool, typer.Option("--all", help="Also list closed positions, with their realised profit.")
    ] = False,
    as_json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """List each strategy's positions: cost, value, profit at the newest close, and stop."""
    from cli.books_view import show_positions
    from eightbells.trading.listing import ListedPosition, list_positions

    asset = ""

    def found(connection: Connection, settings: Settings) -> list[ListedPosition]:
        nonlocal asset
        asset = settings.quote_asset
        return list_positions(connection, settings, closed=closed)

    _answer("positions", ListedPosition, found, lambda rows: show_positions(rows, asset), as_json, csv)


@books.command()
def orders(
    symbol: ChosenSymbol = None,
    strategy: ChosenStrategy = None,
    state: ChosenState = None,
    only_open: OnlyOpen = False,
    since: Since = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """List orders, newest first. `eightbells explain ORDER` shows the history of one."""
    from cli.books_view import show_orders
    from eightbells.trading.listing import ListedOrder, list_orders

    wanted = _wanted(symbol, strategy, state, only_open, since, limit)
    _answer(
        "orders",
        ListedOrder,
        lambda connection, settings: list_orders(connection, settings.account, wanted),
        show_orders,
        as_json,
        csv,
    )


@books.command()
def trades(
    symbol: ChosenSymbol = None,
    strategy: ChosenStrategy = None,
    state: ChosenState = None,
    only_open: OnlyOpen = False,
    since: Since = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """List the fills of our orders, newest first, each with its fee."""
    from cli.books_view import show_trades
    from eightbells.trading.listing import Trade, list_trades

    wanted = _wanted(symbol, strategy, state, only_open, since, limit)
    _answer(
        "trades",
        Trade,
        lambda connection, settings: list_trades(connection, settings.account, wanted),
        show_trades,
        as_json,
        csv,
    )


@books.command()
def sell(
    symbol: Annotated[str, typer.Argument(help="What to sell: BTCUSDT.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    strategy: Annotated[str | None, typer.Option(help="Only the position of this strategy.")] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Sell even while a drift or a hold is open.")
    ] = False,
) -> None:
    """Sell a symbol's position at market now, even while trading is off."""
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.trading.sales import sold_by

    parameters = {"symbol": symbol, "reason": reason, "strategy": strategy, "anyway": anyway, "by": who()}
    sale = run_flow("sell", parameters)
    settings = load_settings()
    with open_database(settings) as engine, engine.connect() as connection:
        sold = sold_by(connection, sale.command)
    for it in sold:
        print(
            f"sold {plain(it.quantity)} {it.symbol} of {it.strategy} for {money(it.quote_quantity)} "
            f"{settings.quote_asset}, at {money(it.quote_quantity / it.quantity)}"
        )
    for it in sold:
        if any(entry.name == it.strategy for entry in settings.strategies):
            print(
                f"{it.strategy} does not buy {it.symbol} again until it has been flat; "
                f"`eightbells resume {it.strategy} --symbol {it.symbol}` ends that"
            )
    complain_of(sale.problems)


@books.command()
def adopt(
    symbol: Annotated[str, typer.Argument(help="Symbol of the coins: BTCUSDT.")],
    strategy: Annotated[str, typer.Argument(help="The strategy that gets the coins.")],
    reason: Annotated[str, typer.Option(help="Where the coins come from, for the record.")],
    quantity: Annotated[
        str | None, typer.Option(help="How many; default: all that belong to no strategy.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="Price of one coin in the books; default: the last price.")
    ] = None,
    order: Annotated[int | None, typer.Option(help="Number of the order that bought them.")] = None,
) -> None:
    """Give coins that no strategy has bought to a strategy."""
    parameters = {
        "symbol": symbol,
        "strategy": strategy,
        "reason": reason,
        "quantity": quantity,
        "price": price,
        "order": order,
        "by": who(),
    }
    print(run_flow("adopt", parameters))


def _wanted(
    symbol: str | None,
    strategy: str | None,
    state: State | None,
    only_open: bool,
    since: str | None,
    limit: int,
) -> Wanted:
    from eightbells.trading.listing import Wanted

    if state is not None and only_open:
        raise EightbellsError("--state and --open: choose one of the two")
    states = LIVE if only_open else (() if state is None else (state,))
    symbols = () if symbol is None else listed(symbol)
    return Wanted(symbols, strategy, states, moment(since), limit)


def _answer(
    name: str,
    kind: type,
    read: Callable[[Connection, Settings], Sequence[Any]],
    show: Callable[[Any], None],
    as_json: bool,
    csv: bool,
) -> None:
    """Read rows and print them: to a person, as one JSON object, or as CSV."""
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings

    if as_json and csv:
        raise EightbellsError("--json and --csv: choose one of the two")
    settings = load_settings()
    with open_database(settings) as engine, engine.connect() as connection:
        rows = read(connection, settings)
    if as_json:
        print(json.dumps({name: [asdict(row) for row in rows]}, default=plain))
    elif csv:
        as_csv(rows, kind)
    else:
        show(rows)
