"""The permission to send: what keeps a planned order from going out at the last moment, and the commit that it goes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid
from eightbells.settings import Settings
from eightbells.trading import commands
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.holds import held_symbols
from eightbells.trading.lease import Lease
from eightbells.trading.outbox import Order, companion, load, move
from eightbells.trading.pauses import open_pauses, pause_of
from eightbells.trading.states import State
from eightbells.trading.switch import switched_off


def begin_sending(
    engine: Engine, settings: Settings, order: int, timestamp_ms: int, flow_run: str | None, lease: Lease
) -> Order | None:
    """Commit that this very request, with this very timestamp, goes out now; None where it may not.

    It may not where the order is no longer PLANNED, where trading is switched off, where its symbol is held, where
    exchange and books have come to disagree on it, or where its candle has grown old. Until the commit nothing was
    sent; after it the order counts as sent, whatever happens to this process.

    Raises:
        LeaseLost: another worker trades the account by now.
    """
    recv_window_ms = settings.exchange.recv_window_ms
    with engine.begin() as connection:
        lease.require(connection)
        present = load(connection, order, lock=True)
        if (
            present.state is not State.PLANNED or present.paired
        ):  # of a pair the stop is sent, and the other with it
            return None
        if reason := _must_not_go(connection, present, timestamp_ms, settings):
            move(connection, present, State.DENIED, grid.to_time(timestamp_ms), {"reason": reason}, flow_run)
            return None
        other = companion(connection, order, lock=True)
        sent_with = [other] if other is not None and other.state is State.PLANNED else []
        for sent in [present, *sent_with]:
            connection.execute(
                text("UPDATE orders SET request_time = :time, recv_window_ms = :window WHERE id = :id"),
                {"id": sent.id, "time": grid.to_time(timestamp_ms), "window": recv_window_ms},
            )
            move(connection, sent, State.SENDING, grid.to_time(timestamp_ms), {}, flow_run)
        return load(connection, order)


def _must_not_go(connection: Connection, order: Order, now_ms: int, settings: Settings) -> str | None:
    off = switched_off(connection)
    if order.leg not in ("sellout", "manual"):  # those are a person's word
        held = held_symbols(connection, order.account, buying=order.side == "BUY")
        if hold := held.get(order.symbol):
            return f"the symbol is held: {hold}"
    if order.leg in ("stop", "target"):  # what was set when the position was bought goes at any time
        return None
    if order.leg == "manual":  # a person wants it
        if commands.goes_anyway(connection, order.command):
            return None
        return commands.obstacle(connection, order.account, order.symbol)
    if order.leg == "sellout":
        return None if off else "trading is on again: the sale of everything ended"
    if off:
        return f"trading is switched off: {off}"
    if order.leg in ("exit", "trim"):
        reason = _superseded(connection, order)
    elif pause := pause_of(open_pauses(connection, order.account), order.strategy, order.symbol):
        reason = pause.refusal
    else:
        reason = lateness(grid.to_ms(order.open_time), now_ms, settings)
    return reason or blocked_symbols(connection, order.account).get(order.symbol)


def _superseded(connection: Connection, order: Order) -> str | None:
    """Why an exit is no longer wanted: its strategy has decided on a later candle."""
    later: datetime | None = connection.execute(
        text(
            "SELECT max(e.open_time) FROM evaluations AS e INNER JOIN signals AS s ON s.evaluation_id = e.id "
            "WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol "
            'AND e."interval" = :interval AND e.open_time > :opened'
        ),
        {
            "account": order.account,
            "strategy": order.strategy,
            "symbol": order.symbol,
            "interval": grid.INTERVAL,
            "opened": order.open_time,
        },
    ).scalar_one()
    return (
        None if later is None else f"the strategy has decided again on candle {grid.label(grid.to_ms(later))}"
    )


def lateness(open_ms: int, now_ms: int, settings: Settings) -> str | None:
    """Why a candle is too old to trade on, or None where it is fresh."""
    minutes = (now_ms - grid.closes_at(open_ms)) / 60_000
    if minutes <= settings.trading.max_candle_age_minutes:
        return None
    return (
        f"the candle closed {minutes:.0f} minutes ago, "
        f"trading stops after {settings.trading.max_candle_age_minutes:g}"
    )
