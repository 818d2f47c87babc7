"""What outlives the program: accounts, orders, fills and the clock, in one SQLite file.

Changes are written before the answer that tells of them, so that a client never knows more than the file does.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from simulator.accounts import Account, Balance
from simulator.exchange import Exchange
from simulator.lists import OrderList
from simulator.orders import Fill, Order

CLOCK_EVERY = 1.0  # real seconds between two notes of the clock's time
TABLES = """
    create table if not exists accounts (key text primary key, body text not null);
    create table if not exists orders (id integer primary key, body text not null);
    create table if not exists fills (id integer primary key, body text not null);
    create table if not exists lists (id integer primary key, body text not null);
    create table if not exists clock (id integer primary key check (id = 1), time integer, real_time real);
"""
Row = TypeVar("Row", Order, Fill, OrderList)


class State:
    """The file behind `--state`; raises ValueError when it cannot be used."""

    def __init__(self, path: Path):
        try:
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("pragma journal_mode = wal")
            self._file.execute(
                "pragma synchronous = off"
            )  # the file must outlive the program, not the machine
            self._file.executescript(TABLES)
        except sqlite3.Error as problem:
            raise ValueError(f"{path} cannot keep the state: {problem}") from None
        self._saved_fills = 0
        self._saved_at = 0.0

    def restore(self, exchange: Exchange) -> bool:
        """Take up what an earlier run left; False when it left nothing."""
        told = self._file.execute("select time, real_time from clock").fetchone()
        if told is None:
            return False
        for key, body in self._file.execute("select key, body from accounts"):
            self._restore_account(exchange, key, json.loads(body))
        orders, fills = self._all("orders", Order), self._all("fills", Fill)
        exchange.engine.restore(orders, fills, self._all("lists", OrderList))
        self._saved_fills = len(exchange.engine.fills)
        away = max(0.0, time.time() - told[1])
        exchange.clock.set(told[0] + int(away * 1000 * exchange.clock.speed))
        return True

    def _restore_account(self, exchange: Exchange, key: str, body: dict[str, Any]) -> None:
        account = exchange.accounts.by_key.get(key)
        if account is None:
            deposits = {asset: Decimal(amount) for asset, amount in body["deposits"].items()}
            account = Account(key, body["secret"], body["name"], deposits)
            exchange.accounts.add(account)
        account.updated = body["updated"]
        account.balances = {a: Balance(Decimal(f), Decimal(lo)) for a, (f, lo) in body["balances"].items()}

    def _all(self, table: str, kind: type[Row]) -> list[Row]:
        rows = self._file.execute(f"select body from {table} order by id")
        return [_unpack(kind, body) for (body,) in rows]

    def save(self, exchange: Exchange) -> None:
        """Write what has changed since the last time, in one transaction."""
        engine = exchange.engine
        idle = not engine.changed and not engine.lists.changed and not exchange.deposited
        if idle and time.monotonic() - self._saved_at < CLOCK_EVERY:
            return
        self._saved_at = time.monotonic()
        self._file.execute("begin")
        if not idle:
            orders = [(number, _pack(engine.orders[number])) for number in engine.changed]
            fills = [(fill.trade_id, _pack(fill)) for fill in engine.fills[self._saved_fills :]]
            accounts = [(account.key, _pack_account(account)) for account in exchange.accounts]
            self._file.executemany("replace into orders values (?, ?)", orders)
            lists = [(number, _pack(engine.lists.by_id[number])) for number in engine.lists.changed]
            self._file.executemany("replace into lists values (?, ?)", lists)
            self._file.executemany("replace into fills values (?, ?)", fills)
            self._file.executemany("replace into accounts values (?, ?)", accounts)
        clock = (exchange.clock.now(), time.time())
        self._file.execute("replace into clock values (1, ?, ?)", clock)
        self._file.execute("commit")
        self._saved_fills = len(engine.fills)
        engine.changed.clear()
        engine.lists.changed.clear()
        exchange.deposited = False

    def forget(self) -> None:
        """Empty the file."""
        for table in ("accounts", "orders", "fills", "lists", "clock"):
            self._file.execute(f"delete from {table}")
        self._saved_fills = 0

    def close(self) -> None:
        self._file.close()


def _pack(row: Order | Fill | OrderList) -> str:
    return json.dumps({f.name: getattr(row, f.name) for f in fields(row)}, default=str)


def _unpack(kind: type[Row], body: str) -> Row:
    values = json.loads(body)
    for f in fields(kind):
        if f.type == "Decimal":
            values[f.name] = Decimal(values[f.name])
        elif isinstance(values.get(f.name), list) and f.type != "list[int]":
            values[f.name] = tuple(tuple(pair) for pair in values[f.name])
    return kind(**values)


def _pack_account(account: Account) -> str:
    balances = {asset: (str(held.free), str(held.locked)) for asset, held in account.balances.items()}
    deposits = {asset: str(amount) for asset, amount in account.deposits.items()}
    names = {"name": account.name, "secret": account.secret, "updated": account.updated}
    return json.dumps({**names, "deposits": deposits, "balances": balances})
