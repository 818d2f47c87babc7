"""Commands that switch trading off and on, for everything or for one strategy."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.answers import who
from cli.running import complain_of, run_flow
from eightbells.errors import EightbellsError
from eightbells.settings.symbols import one_symbol

switch_commands = typer.Typer()


@switch_commands.command()
def halt(
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    sell_everything: Annotated[bool, typer.Option(help="Sell every position at market, too.")] = False,
) -> None:
    """Switch trading off at once and cancel the open orders."""
    from cli.status import open_orders, order_words
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.trading.switch import set_switch

    settings = load_settings()
    with open_database(settings) as engine:  # first of all, and without waiting for anything else
        set_switch(engine, False, reason)
    print("trading is off; cancelling the open orders", flush=True)
    problems = run_flow("halt", {"action": "halt", "reason": reason, "sell_everything": sell_everything})
    with open_database(settings) as engine, engine.connect() as connection:
        left = open_orders(connection, settings.account)
    for order in left:
        print(f"still open: {order.symbol} {order_words(order)}")
    if not left:
        print("no order is open")
    complain_of(problems)


@switch_commands.command()
def resume(
    strategy: Annotated[
        str | None, typer.Argument(help="The paused strategy that buys again; default: switch trading on.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol: BTCUSDT.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
) -> None:
    """Switch trading on again, or let a paused strategy buy again."""
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.trading.pauses import resume as end_pauses
    from eightbells.trading.switch import set_switch

    chosen = one_symbol(symbol)
    settings = load_settings()
    if chosen and not strategy:
        raise EightbellsError(f"name the strategy that is to buy {chosen} again")
    with open_database(settings) as engine:
        if not strategy:
            set_switch(engine, True, reason)
            print("trading is on")
            return
        with engine.begin() as connection:
            ended = end_pauses(connection, settings.account, strategy, chosen, reason, who())
    for pause in ended:
        print(f"ended: {pause.words}")


@switch_commands.command()
def pause(
    strategy: Annotated[str, typer.Argument(help="The strategy's name in the settings.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    symbol: Annotated[str | None, typer.Option(help="Only this symbol: BTCUSDT.")] = None,
) -> None:
    """Stop one strategy from buying until you resume it. Its positions stay protected."""
    from eightbells.database.engine import open_database
    from eightbells.settings import load_settings
    from eightbells.trading import outbox, pauses

    chosen = one_symbol(symbol)
    settings = load_settings()
    with open_database(settings) as engine:  # first of all, and without waiting for anything else
        with engine.begin() as connection:
            begun = pauses.pause(connection, settings, strategy, chosen, reason, who())
        with engine.connect() as connection:
            live = outbox.live(connection, settings.account)
    of = f"{strategy} on {chosen}" if chosen else strategy
    print(f"{of} is paused" if begun else f"{of} is already paused", flush=True)
    if any(it.side == "BUY" and it.strategy == strategy and chosen in (None, it.symbol) for it in live):
        print("cancelling its open purchases", flush=True)
        given = {"strategy": strategy, "reason": reason, "symbol": chosen, "by": who()}
        complain_of(run_flow("pause", given))
