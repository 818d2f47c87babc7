"""The demonstration: cycles on a simulated exchange, then a comparison of its orders with the books."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from cli import prefect_server
from cli.answers import complain
from cli.comparison import compare
from cli.demo_view import View
from cli.processes import Child, Processes, python
from cli.running import quiet_console, recorded, run_deployed, warm_up
from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.engine import connect, database_url
from eightbells.database.migrations import migrate
from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import open_gateway
from eightbells.exchange.rules import wire
from eightbells.proxies import open_directly
from eightbells.settings import PAPER_KEY, PAPER_SECRET, Settings, load_settings
from eightbells.settings.symbols import quoted_otherwise
from eightbells.trading.execution import OrderExecutor, to_settle

DATABASE = "eightbells_demo"
PREFECT_DATABASE = "prefect_demo"
CAPITAL = "100000"
MADE_UP_END = "2026-01-01T00:00:02Z"  # the same candles on every day
SETTLED_MS = 3_500  # the clock is set so long after each close


@dataclass
class Demo:
    """One demonstration, from an empty database to the comparison."""

    once: bool
    as_json: bool
    data: Path | None
    symbols: list[str] | None
    cycles: int
    port: int | None

    def __post_init__(self) -> None:
        self._view = View(to_stderr=self.as_json)

    def run(self) -> None:
        started = time.monotonic()
        settings = load_settings()
        data = self._find_data(settings)
        port = prefect_server.choose_port(self.port)
        prefect_server.prepare_environment(settings)
        with ExitStack() as stack:
            processes = stack.enter_context(Processes(settings.directory / "logs"))
            postgres = _prepare_database(stack, settings)
            server = prefect_server.start(processes, port, postgres, PREFECT_DATABASE)
            exchange = self._start_exchange(processes, settings, data)
            self._view.opening(exchange.source, f"http://127.0.0.1:{port}")
            warm_up()
            prefect_server.wait_ready(server)
            engine = stack.enter_context(_engine())
            with recorded():
                outcome = asyncio.run(self._watch(exchange, engine, settings.directory))
            outcome["seconds"] = round(time.monotonic() - started, 1)
            self._view.closing(outcome)
            if not self.once:
                self._stay(processes, port)
        if self.as_json:
            print(json.dumps(outcome), flush=True)
        if outcome["mismatches"] or outcome["cycles"] < self.cycles:
            raise EightbellsError(
                f"{outcome['mismatches']} mismatches, {outcome['cycles']} of {self.cycles} cycles succeeded"
            )

    def _find_data(self, settings: Settings) -> Path | None:
        folder = self.data or (Path(settings.market_data) if settings.market_data else None)
        if folder is not None and not os.path.isdir(folder / "klines-4h"):
            raise EightbellsError(
                f"there is no folder klines-4h in {folder}: put Binance's klines there as "
                "klines-4h/SYMBOL-4h.csv.gz, and exchange-info/*.json.gz beside it"
            )
        return folder.resolve() if folder else None

    def _start_exchange(self, processes: Processes, settings: Settings, data: Path | None) -> Exchange:
        account = f"{PAPER_KEY}:{PAPER_SECRET}:{settings.quote_asset}={CAPITAL}"
        arguments = ["--port", "0", "--account", account, "--parent-pid", str(os.getpid())]
        if data:
            arguments += ["--data", str(data)]
            arguments += ["--symbols", ",".join(self.symbols)] if self.symbols else []
        else:
            made_up = max(5, len(self.symbols or settings.symbols))
            arguments += ["--generate", str(made_up), "--clock", MADE_UP_END]
        child = processes.start("simulator", python("-m", "simulator", *arguments), speaks=True)
        try:
            address = child.first_line().split()[-1]
        except EightbellsError:
            raise EightbellsError("\n".join(_complaints(child)) or child.last_words()) from None
        source = f"real klines from {data}" if data else "made-up candles of the seeded generator"
        exchange = Exchange(address, child, source)
        symbols = self.symbols or (self._offered(exchange, settings) if data else settings.symbols)
        os.environ.update(
            EIGHTBELLS_MODE="paper",
            EIGHTBELLS_SYMBOLS=json.dumps(symbols),
            EIGHTBELLS_BUDGETS__KLINES="exchange",
            EIGHTBELLS_EXCHANGE__REST_URL=f"{address}/api",
            EIGHTBELLS_EXCHANGE__STREAM_URL=f"{address.replace('http', 'ws', 1)}/",
            EIGHTBELLS_EXCHANGE__WS_API_URL=f"{address.replace('http', 'ws', 1)}/ws-api/v3",
        )
        return exchange

    def _offered(self, exchange: Exchange, settings: Settings) -> list[str]:
        return [it for it in exchange.symbols() if quoted_otherwise(it, settings.quote_asset) is None]

    async def _watch(self, exchange: Exchange, engine: Engine, directory: Path) -> dict[str, Any]:
        from orchestration.deployments import register
        from orchestration.waits import TERMINAL
        from tasks.session import PROGRESS

        quiet_console()
        TERMINAL.set(complain)
        await register()
        last = grid.last_closed(exchange.time())
        exchange.set_time(grid.closes_at(last - self.cycles * grid.STEP_MS) + SETTLED_MS)
        with self._view.loading() as progress:
            PROGRESS.set(progress)
            await run_deployed("backfill", {}, directory)
            PROGRESS.set(None)
        succeeded = 0
        for number in range(1, self.cycles + 1):
            opened = last - (self.cycles - number) * grid.STEP_MS
            exchange.set_time(grid.closes_at(opened) + SETTLED_MS)
            report = await run_deployed("four-hour-cycle", {"candle": grid.to_time(opened)}, directory)
            succeeded += report.outcome == "complete"
            self._view.cycle(number, self.cycles, report)
        mismatches, exchange_orders = await self._compare(exchange, engine)
        return {
            **_counts(engine),
            "cycles": succeeded,
            "exchange_orders": exchange_orders,
            "mismatches": mismatches,
        }

    async def _compare(self, exchange: Exchange, engine: Engine) -> tuple[int, int]:
        """Follow the open orders a last time, then hold the exchange's truth against the books."""
        settings = load_settings()
        async with open_gateway(settings, engine) as gateway:
            executor = OrderExecutor(settings, engine, gateway)
            for order in to_settle(engine, settings.account):
                await executor.refresh(order)
        differences, count = compare(exchange.truth(), engine)
        self._view.differences(differences)
        return len(differences), count

    def _stay(self, processes: Processes, port: int) -> None:
        """Leave the UI up, with the deployments ready to be started from it, until Ctrl-C."""
        worker = processes.start("worker", python("-m", "cli", "serve"))
        self._view.staying(f"http://127.0.0.1:{port}")
        try:
            worker.process.wait()
        except KeyboardInterrupt:
            self._view.leaving()
            return
        raise EightbellsError(f"the worker ended: {worker.last_words()}")


@dataclass(frozen=True)
class Exchange:
    """The simulator's control side."""

    address: str
    child: Child
    source: str

    def time(self) -> int:
        return int(self._ask("simulator/clock")["time"])

    def symbols(self) -> list[str]:
        """Those that have a price, which are those with candles."""
        return [ticker["symbol"] for ticker in self._ask("api/v3/ticker/price")]

    def set_time(self, moment_ms: int) -> None:
        self._ask("simulator/clock", {"time": moment_ms})

    def truth(self) -> dict[str, Any]:
        return dict(self._ask("simulator/truth"))

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.address}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with open_directly(request, timeout=60) as answer:
            return json.load(answer)


def _complaints(child: Child) -> list[str]:
    """What the simulator says about each file that it cannot use."""
    said = (line.removeprefix("simulator: ") for line in child.logged() if line.startswith("simulator: "))
    return list(said)


def _prepare_database(stack: ExitStack, settings: Settings) -> embedded.EmbeddedServer | None:
    """A database of the demo's own, empty at its start; the user's is never touched."""
    postgres = None
    if not settings.database_url.get_secret_value():
        postgres = stack.enter_context(embedded.server(settings.directory))
        postgres.ensure_database(DATABASE, fresh=True)
        address = postgres.url(DATABASE)
    else:
        address = _fresh_beside(stack.enter_context(database_url(settings)))
    os.environ["DATABASE_URL"] = address.render_as_string(hide_password=False)
    engine = connect(address)
    migrate(engine)
    engine.dispose()
    return postgres


@contextmanager
def _engine() -> Iterator[Engine]:
    engine = connect(os.environ["DATABASE_URL"])
    try:
        yield engine
    finally:
        engine.dispose()


def _fresh_beside(address: URL) -> URL:
    """An empty database of the demo's own on the user's server, beside the one that is named."""
    keeper = connect(address).execution_options(isolation_level="AUTOCOMMIT")
    with keeper.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {DATABASE}"))
    keeper.dispose()
    return address.set(database=DATABASE)


_COUNTS = """
SELECT
    (SELECT count(*) FROM candles) AS candles,
    (SELECT count(*) FROM quarantined_candles) AS quarantined,
    (SELECT count(*) FROM candle_gaps WHERE state = 'absent') AS absent,
    (SELECT count(*) FROM signals) AS signals,
    (SELECT count(*) FROM orders) AS orders,
    (SELECT count(*) FROM fills) AS fills,
    (SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1) AS equity
"""


def _counts(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        found = dict(connection.execute(text(_COUNTS)).one()._mapping)
    equity: Decimal | None = found["equity"]
    return {**found, "equity": None if equity is None else wire(equity)}
