"""The status of the installation, from its tables and from the Prefect server if one answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from cli import prefect_api
from cli.failed_runs import failed_runs
from cli.instance_lock import LockHolder, lock_holder
from cli.words import span
from eightbells.addresses import shown
from eightbells.candles import grid
from eightbells.database import locks
from eightbells.errors import EightbellsError
from eightbells.exchange.budgets import closure
from eightbells.exchange.rules import wire
from eightbells.settings import Settings, config_file
from eightbells.trading.costs import holdings
from eightbells.trading.delistings import advice
from eightbells.trading.drift import open_drifts
from eightbells.trading.holds import in_words as in_words_of_holds
from eightbells.trading.holds import open_holds
from eightbells.trading.pauses import Pause, open_pauses
from eightbells.trading.states import LIVE
from eightbells.trading.switch import read_switch
from eightbells.trading.unknown import unknown_orders
from eightbells.trading.unprotected import unprotected
from eightbells.trading.valuation import positions_held
from eightbells.universe.members import resolved

_LATE_AFTER = grid.STEP + timedelta(minutes=15)  # as the alert NoCycle
_CYCLE = "four-hour-cycle"


@dataclass(frozen=True)
class Held:
    """A position, its cost, and its value at the newest close that is stored, or before a jump of a symbol on hold."""

    strategy: str
    symbol: str
    quantity: Decimal
    value: Decimal | None
    cost: Decimal

    @property
    def profit(self) -> Decimal | None:
        return None if self.value is None else self.value - self.cost


@dataclass(frozen=True)
class OpenOrder:
    """An order that is not final: at the exchange, on its way there, or in doubt. `planned_at` is exchange time."""

    id: str
    symbol: str
    side: str
    type: str
    state: str
    left: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    planned_at: datetime


@dataclass(frozen=True)
class LastCycle:
    """The newest candle that a cycle has served; times by the exchange's clock."""

    candle: datetime
    finished_at: datetime
    equity: Decimal | None
    problems: list[str]


@dataclass(frozen=True)
class Status:
    """The installation at a glance. `problems` are sentences for who has to act; empty when all is well."""

    mode: str
    exchange_time: datetime
    trading: bool
    trading_reason: str
    trading_since: datetime
    up: LockHolder | None
    prefect: str
    stream: bool
    stream_silence_seconds: float | None
    last_cycle: LastCycle | None
    next_cycle: datetime | None
    quote_asset: str
    equity: Decimal | None
    positions: list[Held] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    settings_file: str = field(default_factory=lambda: str(config_file()))
    open_orders: list[OpenOrder] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)


def read_status(settings: Settings, connection: Connection) -> Status:
    """Gather it. What cannot be known because a part is away is a problem of its own and no error."""
    settings = resolved(connection, settings)
    up = lock_holder(settings.directory)
    prefect, next_cycle = _next_cycle(up)
    readings = _readings(connection)
    here = datetime.now(UTC)
    now = here + timedelta(seconds=readings.get("eightbells_clock_offset_seconds", 0))
    heard = readings.get("eightbells_stream_last_frame_timestamp_seconds")
    last = _last_cycle(connection, settings.account)
    trading, reason, since = read_switch(connection)
    stream = _has_stream(connection, settings.account)
    found = Status(
        settings.mode,
        now,
        trading,
        reason,
        since,
        up,
        prefect,
        stream,
        max(0.0, here.timestamp() - heard) if stream and heard else None,
        last,
        next_cycle,
        settings.quote_asset,
        last.equity if last else None,
        _positions(connection, settings.account),
    )
    found.problems.extend(_problems(connection, settings, found))
    found.open_orders.extend(open_orders(connection, settings.account))
    names = {strategy.name for strategy in settings.strategies}
    found.pauses.extend(it for it in open_pauses(connection, settings.account) if it.strategy in names)
    return found


def _problems(connection: Connection, settings: Settings, found: Status) -> Iterator[str]:
    if not found.trading:
        yield f"trading is off: {found.trading_reason}; `eightbells resume` switches it on"
    yield from (
        f"{it.words} (since {it.since:%H:%M} UTC)" for it in unprotected(connection, settings.account)
    )
    yield from advice(connection, settings)
    yield from in_words_of_holds(open_holds(connection, settings.account))
    yield from _left_behind(connection, settings)
    yield from _of_orders(connection, settings.account)
    if found.last_cycle:
        yield from (f"the last cycle: {problem}" for problem in found.last_cycle.problems)
        if found.exchange_time - found.last_cycle.candle - grid.STEP > _LATE_AFTER:
            yield "no cycle has served a candle for 4 h 15 min: see NoCycle in docs/runbook.md"
    yield from _of_data(connection, settings)
    yield from _of_runs(found.prefect)
    if not found.prefect:
        yield "no Prefect server answers, so no cycle is planned: `eightbells up`"
    elif found.next_cycle is None:
        yield "the Prefect server has no cycle planned: is the schedule of four-hour-cycle switched off?"
    if found.up and found.up.ready and not found.stream:
        yield "the stream is not running; the cycles fetch its candles"


def _left_behind(connection: Connection, settings: Settings) -> Iterator[str]:
    """What is held of strategies or symbols that are not in the settings any more: nothing sells it but its stop."""
    strategies = {entry.name: entry for entry in settings.strategies}
    for strategy, symbol in positions_held(connection, settings.account):
        entry = strategies.get(strategy)
        if entry is None:
            gone = "its strategy is not in the settings"
        elif symbol not in settings.symbols_of(entry):
            gone = (
                "the symbol is not among its strategy's in the settings"
                if entry.members is None
                else "the symbol is no member of the universe"
            )
        else:
            continue
        yield (
            f"{symbol} of {strategy} is held, and {gone}: `eightbells sell {symbol} --strategy {strategy}` sells it"
        )


def _of_orders(connection: Connection, account: str) -> Iterator[str]:
    for row in unknown_orders(connection, account):
        yield (
            f"order {row.client_order_id} ({row.side} {row.symbol}) is {row.state} "
            f"for {span(row.age.total_seconds())}: "
            "`eightbells reconcile` asks for it"
        )
    yield from (
        f"{drift.symbol} is not traded, the books and the exchange differ (drift {drift.id}): {drift.detail}"
        for drift in open_drifts(connection, account)
    )


def _of_data(connection: Connection, settings: Settings) -> Iterator[str]:
    gaps = connection.execute(
        text("SELECT count(*), count(DISTINCT symbol) FROM candle_gaps WHERE state = 'open'")
    ).one()
    if gaps[0]:
        yield f"{gaps[0]} candles of {gaps[1]} symbols are missing and not settled yet: `eightbells gaps`"
    # rows that the exchange has mended since are history
    quarantined = connection.execute(
        text(
            "SELECT count(*), string_agg(DISTINCT q.symbol, ', ' ORDER BY q.symbol) FROM quarantine AS q "
            "WHERE q.state = 'open' AND "
            'NOT EXISTS (SELECT FROM candles AS c WHERE c.symbol = q.symbol AND c."interval" = q."interval" '
            "AND c.open_time = q.open_time)"
        )
    ).one()
    if quarantined[0]:
        yield (
            f"{quarantined[0]} rows in quarantine have no sound candle in their place: {quarantined[1]}; "
            "`eightbells quarantine list`"
        )
    if shut := closure(connection, settings.budgets):
        reason, until = shut
        yield f"no request goes to the exchange until {until:%H:%M:%S} UTC: {reason}"


def _of_runs(api: str) -> Iterator[str]:
    with suppress(EightbellsError):  # a server that has just gone is a problem of its own
        yield from (found.sentence for found in (failed_runs(api) if api else []))


def _last_cycle(connection: Connection, account: str) -> LastCycle | None:
    row = connection.execute(
        text(
            "SELECT open_time, finished_at, equity, summary FROM cycles WHERE account = :account "
            "ORDER BY open_time DESC LIMIT 1"
        ),
        {"account": account},
    ).one_or_none()
    if row is None:
        return None
    return LastCycle(row.open_time, row.finished_at, row.equity, list(row.summary.get("problems", [])))


def _positions(connection: Connection, account: str) -> list[Held]:
    rows = connection.execute(
        text(
            "SELECT p.strategy, p.symbol, p.quantity, "
            "p.quantity * value_price(p.account, p.symbol, 'infinity') AS value FROM positions AS p "
            "WHERE p.account = :account AND p.quantity > 0 ORDER BY value DESC NULLS LAST, p.symbol, p.strategy"
        ),
        {"account": account},
    )
    held = holdings(connection, account)
    return [
        Held(
            row.strategy,
            row.symbol,
            row.quantity,
            row.value,
            held[row.strategy, row.symbol].cost,
        )
        for row in rows.all()
    ]


def open_orders(connection: Connection, account: str) -> list[OpenOrder]:
    """The account's orders that are not final, oldest first."""
    rows = connection.execute(
        text(
            "SELECT client_order_id, symbol, side, type, state, quantity - executed_quantity, price, stop_price, "
            "planned_at FROM orders WHERE account = :account AND state = ANY(:states) ORDER BY id"
        ),
        {"account": account, "states": list(LIVE)},
    )
    return [OpenOrder(*row) for row in rows]


def _has_stream(connection: Connection, account: str) -> bool:
    return bool(
        connection.execute(
            text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :key "
                "AND objid::bigint = (hashtext(:account)::bigint & 4294967295) AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
            {"key": locks.STREAM, "account": account},
        ).scalar_one()
    )


def _readings(connection: Connection) -> dict[str, float]:
    rows = connection.execute(text("SELECT name, total FROM metric_totals WHERE labels = '{}'"))
    return {row.name: row.total for row in rows}


def _next_cycle(up: LockHolder | None) -> tuple[str, datetime | None]:
    """The Prefect API that answers, and when it starts the next cycle."""
    api = prefect_api.likely_address(up)
    planned: dict[str, Any] = {
        "deployments": {"name": {"any_": [_CYCLE]}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    try:
        runs = prefect_api.ask("/flow_runs/filter", planned, api=api, timeout=5)
    except EightbellsError:
        return "", None
    due = datetime.fromisoformat(runs[0]["expected_start_time"]) if runs else None
    return shown(api), due


def in_words(found: Status) -> list[tuple[str, str]]:
    """The status in rows of a name and its value."""
    now, last = found.exchange_time, found.last_cycle
    switch = "on" if found.trading else f"OFF since {found.trading_since:%Y-%m-%d %H:%M} UTC"
    rows = [("mode", found.mode), ("settings", found.settings_file)]
    rows += [("trading", f"{switch}: {found.trading_reason}")]
    rows += [("" if number else "paused", it.words) for number, it in enumerate(found.pauses)]
    if found.up:
        again = ", ".join(f"{name} {count}" for name, count in found.up.restarts.items() if count)
        since = found.up.started_at.replace("T", " ")[:16]
        rows += [("up", f"since {since} UTC" + (f"; started again: {again}" if again else ""))]
    rows += [("Prefect", found.prefect.removesuffix("/api") or "does not answer")]
    ago = f"{span((now - last.finished_at).total_seconds())} ago" if last else ""
    rows += [("last cycle", f"candle {last.candle:%Y-%m-%d %H:%M} UTC, {ago}" if last else "none yet")]
    wait = span((found.next_cycle - datetime.now(UTC)).total_seconds()) if found.next_cycle else ""
    rows += [
        (
            "next cycle",
            f"{found.next_cycle:%Y-%m-%d %H:%M} UTC, in {wait}" if found.next_cycle else "none planned",
        )
    ]
    rows += [("stream", _stream_words(found))]
    if found.equity is not None:
        rows += [("equity", f"{found.equity:,.2f} {found.quote_asset}")]
    for held in found.positions:
        worth = "" if held.value is None else f": {held.value:,.2f} {found.quote_asset} ({held.profit:+,.2f})"
        rows += [(f"  {held.symbol}", f"{wire(held.quantity)} of {held.strategy}{worth}")]
    rows += [("orders", f"{len(found.open_orders) or 'none'} open")]
    rows += [
        (f"  {order.symbol}", f"{order_words(order)}, {_age(order, now)} old") for order in found.open_orders
    ]
    return rows


def order_words(order: OpenOrder) -> str:
    """What is left of an order and its id: `SELL 0.5 STOP_LOSS at 60000, OPEN, eb-...`."""
    price = order.price if order.stop_price is None else order.stop_price
    asked = "" if price is None else f" at {wire(price)}"
    return f"{order.side} {wire(order.left)} {order.type}{asked}, {order.state}, {order.id}"


def _age(order: OpenOrder, now: datetime) -> str:
    return span((now - order.planned_at).total_seconds())


def _stream_words(found: Status) -> str:
    if not found.stream:
        return "not running"
    silence = found.stream_silence_seconds
    return "running" + (f", silent for {silence:.0f} s" if silence is not None else "")
