"""One exchange and one Postgres; for each trial a fresh database, and an exchange put back to its start."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from cli.comparison import compare
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.database.migrations import migrate
from tests import exchange, surroundings
from tests.crash.jobs import Child, Ended, Job
from tests.exchange import START, STEP, Simulator

_TEMPLATE = "template_crash"
SYMBOL = "BTCUSDT"
QUOTE = "USDT"
DEPOSITED = Decimal(100_000)  # USDT, see tests.exchange.ACCOUNT
DUST = "0.0001"  # less than the exchange would take back
_SELLABLE = Decimal(6)  # USDT: as a stop 5 % lower still worth the 5 of which the exchange makes an order
_numbers = itertools.count(1)

# Waits are short and budgets wide: what is tried here is not how long things take.
FAST: dict[str, Any] = {
    "exchange__recv_window_ms": 500,
    "exchange__timeout_seconds": 5,
    "symbols": [SYMBOL],
    "trading__lease_seconds": 20,
    "trading__lease_patience_seconds": 20,
    "budgets__klines": "exchange",
    "budgets__orders": 1000,
    "budgets__account": "exchange",
}


def strategy(target: str = "long", stop_loss: str = "0", name: str = "always") -> dict[str, Any]:
    """The settings of one that wants the same whatever the candles say."""
    return {
        "name": name,
        "kind": "tests.always:Always",
        "capital": "1000",
        "stop_loss": stop_loss,
        "parameters": {"target": target},
    }


class World:
    """Where trials take place."""

    def __init__(self, simulator: Simulator, server: embedded.EmbeddedServer, template: str) -> None:
        self.simulator, self.server, self._template = simulator, server, template

    @contextmanager
    def trial(self, **settings: Any) -> Iterator[Trial]:
        """A fresh trial with settings of its own; it leaves nothing behind."""
        name = f"crash_{next(_numbers)}"
        administer(self.server, f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        self.simulator.begin()
        engine = connect(self.server.url(name))
        own = {"strategies": [strategy()], "database__directory": str(self.server.data.parent)}
        trial = Trial(self.simulator, engine, {**own, **FAST, **settings})
        try:
            trial.leap(0)
            yield trial
        finally:
            engine.dispose()
            self.server.drop_database(name)


class Trial:
    """One account's fate."""

    def __init__(self, simulator: Simulator, engine: Engine, settings: dict[str, Any]) -> None:
        self.simulator, self.engine, self._settings = simulator, engine, settings
        self.candle = 0
        self.deposited = DEPOSITED
        self._runs = 0
        self._holds = {SYMBOL}

    def leap(self, candles: int = 1, price: str | None = None) -> None:
        """On to the close of a later candle; the price stands at that close, or where it is told to."""
        self.candle += candles
        self.simulator.leap(START + self.candle * STEP)
        self.execute("DELETE FROM budget_grants")  # the exchange's minute is long over, Postgres' is not
        if self._holds:
            self.hold(price or self.close())

    def close(self, symbol: str = SYMBOL) -> str:
        """At what the newest candle closed."""
        return str(self.simulator.klines(symbol, self.opened, self.opened)[0][4])

    def hold(self, price: str, symbol: str = SYMBOL) -> None:
        """Let a price stand, so that nothing happens to an order by itself."""
        self._holds.add(symbol)
        self.simulator.control("settings", prices={symbol: price})

    def free(self, symbol: str = SYMBOL) -> None:
        """Let a price follow its candles."""
        self._holds.discard(symbol)
        self.simulator.control("settings", prices={symbol: None})

    @property
    def protected(self) -> bool:
        """Whether a stop belongs to every position."""
        strategies = self._settings["strategies"]
        return len(strategies) == 1 and strategies[0]["stop_loss"] != "0"

    @property
    def opened(self) -> int:
        """Open time of the candle that has just closed, in ms."""
        return START + (self.candle - 1) * STEP

    def change(self, **settings: Any) -> None:
        self._settings |= settings

    def start(self, flow: str = "cycle", **given: Any) -> Child:
        """Start a run. `target`, `act` and `leaping` are the job's, everything else is the flow's parameters."""
        self._runs += 1
        job = {name: given.pop(name) for name in ("target", "act", "leaping") if name in given}
        parameters = {"candle": self.opened, **given} if flow == "cycle" else given
        return Child(
            Job(flow, f"run {self._runs}", self.environment(), self.simulator.url, parameters, **job)
        )

    def run(self, flow: str = "cycle", **given: Any) -> Ended:
        """Run to the end; a lease that a killed run leaves is let run out, as it would by itself."""
        ended = self.start(flow, **given).wait()
        if ended.killed:
            self.execute("UPDATE leases SET expires_at = clock_timestamp()")
        return ended

    def until_stopped(self, child: Child) -> None:
        """Wait until a child stands still at its point."""
        self.until(lambda: child.state in ("T", "Z", "gone"))
        assert child.state == "T", "it ended before its point"

    def is_waiting(self, seconds: float = 0.2) -> bool:
        """Whether somebody waits in Postgres for what another has locked."""
        return bool(
            self.rows(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
                f"AND now() - state_change > interval '{seconds} seconds'"
            )
        )

    def until(self, done: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)

    def environment(self) -> dict[str, str]:
        """The variables that settings of this account are made of."""
        values = {"exchange__rest_url": f"{self.simulator.url}/api", **self._settings}
        shown = {
            f"EIGHTBELLS_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }
        return {**shown, "DATABASE_URL": self.engine.url.set(drivername="postgresql").render_as_string()}

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def deposit(self, amount: str) -> None:
        """Put money into the account, or take it out."""
        self.deposited += Decimal(amount)
        self.simulator.control("settings", accounts={"paper": {"deposit": {QUOTE: amount}}})

    def wrongs(self) -> list[str]:
        """Everything in which exchange and books differ, is doubled or is stuck, in words."""
        truth = self.simulator.truth()
        differences, _ = compare(truth, self.engine)
        return [*differences, *_doubled(truth, self), *_stuck(self), *_money(truth, self)]


def _doubled(truth: dict[str, Any], trial: Trial) -> Iterator[str]:
    """Decisions to buy with more than one order; a sale follows what is held."""
    others = "SELECT client_order_id FROM orders WHERE leg <> 'entry'"
    following = {name for (name,) in trial.rows(others)}
    times = Counter(
        order["clientOrderId"].rpartition("-")[0]
        for order in truth["orders"]
        if order["clientOrderId"] not in following
    )
    yield from (f"decision {name} has {many} orders" for name, many in times.items() if many > 1)


def _stuck(trial: Trial) -> Iterator[str]:
    """Orders that wait for ever, drifts that stay, positions without the stop they should have."""
    for name, state in trial.rows(
        "SELECT client_order_id, state FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN')"
    ):
        yield f"order {name} is stuck in {state}"
    for reason, facts in trial.rows("SELECT reason, facts FROM open_drifts"):
        yield f"drift: {reason} {facts}"
    if trial.protected:
        held = {
            symbol
            for symbol, quantity in trial.rows("SELECT symbol, quantity FROM positions WHERE quantity > 0")
            if quantity * Decimal(trial.simulator.price(symbol)) > _SELLABLE
        }
        out = {
            symbol
            for (symbol,) in trial.rows(
                "SELECT symbol FROM orders WHERE side = 'SELL' AND state IN ('OPEN', 'PARTIALLY_FILLED')"
            )
        }
        yield from (f"{symbol} is held without a stop" for symbol in held - out)
        yield from (f"{symbol} has a stop and is not held" for symbol in out - held)


def _money(truth: dict[str, Any], trial: Trial) -> Iterator[str]:
    """What was paid and taken in against the account, and the balances as they were last seen."""
    (held,) = truth["balances"].values()
    there = {asset: (Decimal(entry["free"]), Decimal(entry["locked"])) for asset, entry in held.items()}
    ((flow,),) = trial.rows(  # adopted coins count as bought, and nobody has paid for them
        "SELECT coalesce(sum(quote_flow), 0) + (SELECT coalesce(sum(quote_quantity), 0) FROM adoptions) FROM positions"
    )
    if sum(there[QUOTE]) != trial.deposited + flow:
        yield f"{sum(there[QUOTE])} {QUOTE} there, {trial.deposited + flow} by the books"
    seen = {
        asset: (free, locked)
        for asset, free, locked in trial.rows("SELECT asset, free, locked FROM balances")
    }
    nothing = (Decimal(0), Decimal(0))
    for asset in sorted(there.keys() | seen.keys()):
        if there.get(asset, nothing) != seen.get(asset, nothing):
            yield f"balance of {asset} is {there.get(asset)} there, {seen.get(asset)} in the books"


def administer(server: embedded.EmbeddedServer, statement: str) -> None:
    engine = connect(server.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def migrated(server: embedded.EmbeddedServer) -> str:
    """The name of an empty database to clone."""
    server.ensure_database(_TEMPLATE)
    engine = connect(server.url(_TEMPLATE))
    migrate(engine)
    engine.dispose()
    return _TEMPLATE


@contextmanager
def standing() -> Iterator[World]:
    """A world of its own, for programs; tests make theirs of the fixtures they share."""
    surroundings.forget_the_developer()
    folder: Path = surroundings.make_folder()
    with embedded.server(folder) as server:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            administer(server, f"ALTER SYSTEM SET {setting} = off")
        administer(server, "SELECT pg_reload_conf()")
        with exchange.running("--generate", "5") as simulator:
            yield World(simulator, server, migrated(server))
