"""The data as DataFrames, for notebooks: candles, orders, trades and equity. Nothing is changed.

    from eightbells.data import candles

    candles("BTCUSDT", start="2024-01-01", interval="1d")["close"].plot()

Each function opens the database of the settings, as they are found from the current folder, for reading only. Times
are UTC, also those without a zone. Numbers are float64, or with `exact=True` the Decimal that is stored.
A mistake is an EightbellsError of one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from eightbells.candles.derived import DERIVED, select_derived, values
from eightbells.candles.timeframe import CYCLE
from eightbells.database.reading import open_read_only
from eightbells.errors import EightbellsError
from eightbells.settings import Settings, load_settings
from eightbells.settings.symbols import chosen

__all__ = ["candles", "equity", "orders", "trades"]

Time = str | date | datetime

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(3000, 1, 1, tzinfo=UTC)
_AMOUNTS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_base", "taker_buy_quote")


def candles(
    symbols: str | Sequence[str],
    start: Time | None = None,
    end: Time | None = None,
    interval: str = CYCLE.name,
    *,
    as_of: Time | None = None,
    exact: bool = False,
) -> pd.DataFrame:
    """Closed, validated candles, oldest first.

    Args:
        symbols: one symbol, such as "BTCUSDT", or several.
        start: the first open time, included. None: the first that is stored.
        end: the last open time, excluded. None: up to the newest that is stored.
        interval: one that is stored, such as "4h" or "1h"; or one that is derived from 4h where candles of its own are
            not stored of every symbol: "8h", "12h", "1d", "1w". Weeks begin on Monday. A derived candle is left out
            unless all of its 4h candles are stored.
        as_of: the candles as they were known at this time of the exchange's clock, before later restatements.
        exact: Decimal in place of float64.

    Returns:
        Columns close_time (UTC), open, high, low, close (quote asset per coin), volume and taker_buy_base (coins),
        quote_volume and taker_buy_quote (quote asset), trades (int). Index open_time (UTC); where `symbols` is not
        one text, index symbol and open_time.

    Raises:
        EightbellsError: no candle of a symbol or of the interval is stored, a time cannot be read, or there is no
            database.
    """
    wanted = _symbols(symbols)
    first, last = _span(start, end)
    known = None if as_of is None else _time(as_of, "as_of")
    source = "candles" if known is None else "candles_as_of(CAST(:known AS timestamptz))"
    given = {"symbols": wanted, "first": first, "last": last, "known": known, "interval": interval}
    names = ", ".join(_amount(name, exact) for name in _AMOUNTS)
    with _opened() as (connection, _):
        derived = interval in DERIVED and bool(_without(connection, wanted, interval))
        _require_candles(connection, wanted, interval, CYCLE.name if derived else interval)
        if derived:
            selected, given = select_derived(source), {**given, **values(interval)}
        else:
            selected = (
                f'SELECT * FROM {source} AS s WHERE s.symbol = ANY(:symbols) AND s."interval" = :interval '
                "AND s.open_time >= :first AND s.open_time < :last"
            )
        found = _frame(
            connection,
            f"SELECT symbol, open_time, close_time, {names}, trades FROM ({selected}) AS c ORDER BY symbol, open_time",
            given,
            ("open_time", "close_time"),
        )
    columns = ["close_time", *_AMOUNTS[:6], "trades", *_AMOUNTS[6:]]
    keys = ["open_time"] if isinstance(symbols, str) else ["symbol", "open_time"]
    return found.astype({"trades": "int64"}).set_index(keys)[columns]


def orders(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    strategy: str | None = None,
    exact: bool = False,
) -> pd.DataFrame:
    """The orders of the account, oldest first.

    Args:
        symbols: one symbol or several. None: all.
        start: the first planning, included. None: the beginning.
        end: the last planning, excluded. None: now.
        strategy: only of this strategy.
        exact: Decimal in place of float64.

    Returns:
        Columns client_order_id, strategy, symbol, leg, side, type, quantity and executed_quantity (coins), price and
        stop_price (quote asset per coin; NaN or None where the order has none), state, changed_at (UTC), flow_run.
        Index planned_at (UTC), by the exchange's clock.

    Raises:
        EightbellsError: a symbol or a time cannot be read, or there is no database.
    """
    numbers = ", ".join(
        _amount(name, exact, "o") for name in ("quantity", "executed_quantity", "price", "stop_price")
    )
    statement = f"""
    SELECT
        o.planned_at, o.client_order_id, o.strategy, o.symbol, o.leg, o.side, o.type, {numbers}, o.state, o.changed_at,
        o.flow_run
    FROM orders AS o
    WHERE {_OF_ACCOUNT} AND o.planned_at >= :first AND o.planned_at < :last ORDER BY o.id
    """
    return _books(statement, symbols, start, end, strategy, ("planned_at", "changed_at"))


def trades(
    symbols: str | Sequence[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    strategy: str | None = None,
    exact: bool = False,
) -> pd.DataFrame:
    """The fills of the account's orders, oldest first.

    Args:
        symbols: one symbol or several. None: all.
        start: the first trade, included. None: the beginning.
        end: the last trade, excluded. None: now.
        strategy: only of this strategy.
        exact: Decimal in place of float64.

    Returns:
        Columns trade_id, client_order_id, strategy, symbol, leg, side, price (quote asset per coin), quantity (coins),
        quote_quantity (quote asset), commission (of commission_asset), commission_asset, commission_quote (the fee in
        the quote asset; NaN or None where its value is not known), flow_run. Index traded_at (UTC).

    Raises:
        EightbellsError: a symbol or a time cannot be read, or there is no database.
    """
    prices = ", ".join(_amount(name, exact, "f") for name in ("price", "quantity", "quote_quantity"))
    statement = f"""
    SELECT
        f.traded_at, f.trade_id, o.client_order_id, o.strategy, o.symbol, o.leg, f.side, {prices},
        {_amount("commission", exact, "f")}, f.commission_asset, {_amount("commission_quote", exact, "f")}, f.flow_run
    FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id
    WHERE {_OF_ACCOUNT} AND f.traded_at >= :first AND f.traded_at < :last ORDER BY f.traded_at, f.trade_id
    """
    return _books(statement, symbols, start, end, strategy, ("traded_at",))


def equity(start: Time | None = None, end: Time | None = None, *, exact: bool = False) -> pd.DataFrame:
    """The account's equity at each candle that a cycle served, oldest first.

    Args:
        start: the first open time, included. None: the beginning.
        end: the last open time, excluded. None: now.
        exact: Decimal in place of float64.

    Returns:
        Columns equity, capital and profit (equity less capital), amounts of the quote asset at the candle's close.
        NaN or None where a held symbol had no price. Index open_time (UTC).

    Raises:
        EightbellsError: a time cannot be read, or there is no database.
    """
    cast = "" if exact else "::float8"
    statement = f"""
    SELECT c.open_time, c.equity{cast} AS equity, c.capital{cast} AS capital, (c.equity - c.capital){cast} AS profit
    FROM cycles AS c WHERE c.account = :account AND c.open_time >= :first AND c.open_time < :last ORDER BY c.open_time
    """
    return _books(statement, None, start, end, None, ("open_time",))


_OF_ACCOUNT = """
o.account = :account AND (CAST(:symbols AS text[]) IS NULL OR o.symbol = ANY(:symbols))
AND (CAST(:strategy AS text) IS NULL OR o.strategy = :strategy)
"""


def _books(
    statement: str,
    symbols: str | Sequence[str] | None,
    start: Time | None,
    end: Time | None,
    strategy: str | None,
    times: tuple[str, ...],
) -> pd.DataFrame:
    """What a statement says of the account, indexed by the first of its times."""
    first, last = _span(start, end)
    wanted = None if symbols is None else _symbols(symbols)
    with _opened() as (connection, settings):
        given = {
            "account": settings.account, "symbols": wanted, "strategy": strategy, "first": first, "last": last,
        }  # fmt: skip
        return _frame(connection, statement, given, times).set_index(times[0])


def _frame(
    connection: Connection, statement: str, given: dict[str, Any], times: Sequence[str]
) -> pd.DataFrame:
    """The rows of a statement. Columns of float8 are float64 also where no row, or no value, is there."""
    answer = connection.execute(text(statement), given)
    cursor = answer.cursor
    floats = [column[0] for column in cursor.description if column[1] == _FLOAT8] if cursor else []
    found = pd.DataFrame(answer.fetchall(), columns=list(answer.keys()))
    utc = {name: pd.to_datetime(found[name], utc=True).dt.as_unit("ms") for name in times}
    return found.astype(dict.fromkeys(floats, "float64")).assign(**utc)


_FLOAT8 = 701  # Postgres' number of the type


def _amount(name: str, exact: bool, of: str = "c") -> str:
    return f"{of}.{name}" if exact else f"{of}.{name}::float8 AS {name}"


def _without(connection: Connection, symbols: list[str], interval: str) -> list[str]:
    """The symbols of which no candle of the interval is stored."""
    there = connection.execute(
        text(
            "SELECT w.symbol FROM unnest(CAST(:symbols AS text[])) AS w (symbol) WHERE EXISTS ("
            'SELECT FROM candles AS c WHERE c.symbol = w.symbol AND c."interval" = :interval)'
        ),
        {"symbols": symbols, "interval": interval},
    ).scalars()
    return sorted(set(symbols) - set(there))


def _require_candles(connection: Connection, symbols: list[str], interval: str, stored: str) -> None:
    """Raise where no candle of a symbol is stored, or none of the interval."""
    if not (missing := _without(connection, symbols, stored)):
        return
    of_these = connection.execute(
        text('SELECT DISTINCT "interval" FROM candles WHERE symbol = ANY(:symbols)'), {"symbols": missing}
    ).scalars()
    others = sorted({*of_these} - {stored})
    if others:
        raise EightbellsError(
            f"no candle of {', '.join(missing)} in {interval!r} is stored; stored: {', '.join(others)}; "
            f"derived from 4h: {', '.join(DERIVED)}"
        )
    raise EightbellsError(
        f"no candle of {', '.join(missing)} is stored: run `eightbells backfill --symbols {','.join(missing)}`"
    )


def _symbols(given: str | Sequence[str]) -> list[str]:
    found = chosen([given] if isinstance(given, str) else given)
    if not found:
        raise EightbellsError("no symbol is named: give one such as 'BTCUSDT', or several")
    return found


def _span(start: Time | None, end: Time | None) -> tuple[datetime, datetime]:
    first = _ALWAYS if start is None else _time(start, "start")
    last = _NEVER if end is None else _time(end, "end")
    if last < first:
        raise EightbellsError(f"the start {start} lies after the end {end}")
    return first, last


def _time(given: Time, name: str) -> datetime:
    """A time in UTC; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(given) if isinstance(given, str) else given
        if not isinstance(found, datetime):
            found = datetime(found.year, found.month, found.day)  # noqa: DTZ001
    except (ValueError, TypeError, AttributeError):
        raise EightbellsError(f"{name}={given!r} is not a time: write it like '2021-03-01T04:00Z'") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@contextmanager
def _opened() -> Iterator[tuple[Connection, Settings]]:
    settings = load_settings()
    with open_read_only(settings) as engine, engine.connect() as connection:
        yield connection, settings
