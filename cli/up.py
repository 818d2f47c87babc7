"""`eightbells up`: everything on this machine, under one supervisor, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime

from rich.console import Console
from sqlalchemy.engine import URL

from cli import prefect_api, prefect_server
from cli.instance_lock import InstanceLock, LockHolder, instance_lock
from cli.notify.addresses import addresses, tell_all
from cli.paper import PAPER_PORT, paper_exchange
from cli.processes import Processes, free_port, is_free, python
from cli.supervisor import Part, Supervisor
from eightbells.addresses import shown
from eightbells.database import embedded
from eightbells.database.engine import connect, require_mode, require_quote_asset
from eightbells.database.migrations import migrate
from eightbells.errors import EightbellsError
from eightbells.proxies import open_directly
from eightbells.settings import Settings, load_settings
from orchestration.declared import declared

_READY_SECONDS = 90.0
_LOOK_AT_POSTGRES_EVERY = 2.0
# Ctrl-C to the last process: these two and a second or two for Postgres.
_PARTS_END_WITHIN = 8.0
_SERVER_ENDS_WITHIN = 4.0
_KILLED_ARE_GONE_WITHIN = 30.0
_WORKING = ("worker", "stream", "metrics", "notify", "simulator")


def run_everything(port: int | None) -> None:
    """Run one installation until Ctrl-C or SIGTERM.

    Args:
        port: where the Prefect server shall listen; None: the usual port, or another one that is free.

    Raises:
        EightbellsError: it cannot start, and why.
    """
    settings = load_settings()
    settings.credentials()
    addresses(settings)  # a mistake in one is reported now, and not when it is needed
    prefect_server.prepare_environment(settings)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # its terminal is closed; nohup would ignore that
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    with instance_lock(settings.directory) as lock, ExitStack() as stack:
        console = Console(highlight=False)
        holder = LockHolder(os.getpid(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", os.getcwd())
        lock.write(holder)
        console.print("starting ...", soft_wrap=True)
        listening = _choose_port(lock, port)
        _wait_free(lock, settings.metrics.port)
        metrics = _metrics(settings)
        postgres = _open_database(stack, settings)
        if settings.mode == "live":
            _require_health(settings)
        processes = stack.enter_context(Processes(settings.directory / "logs"))
        running = Up(settings, lock, holder, metrics, postgres, processes, console)
        stack.enter_context(running.ending())
        running.start(listening)
        with suppress(KeyboardInterrupt):  # Ctrl-C and SIGTERM are how it is meant to end
            running.announce()
            running.watch()


def _open_database(stack: ExitStack, settings: Settings) -> embedded.EmbeddedServer | None:
    """Start the embedded Postgres where no other is given, and bring the database to the newest migration."""
    postgres = None
    url: str | URL = settings.database_url.get_secret_value()
    if not url:
        postgres = stack.enter_context(embedded.server(settings.directory))
        postgres.ensure_database(settings.database.name)
        url = postgres.url(settings.database.name)
    engine = connect(url)
    try:
        migrate(engine)
        require_mode(engine, settings.mode)
        require_quote_asset(engine, settings.quote_asset)
    finally:
        engine.dispose()
    return postgres


def _choose_port(lock: InstanceLock, port: int | None) -> int | None:
    """Where our own Prefect server shall listen; None where PREFECT_API_URL names another."""
    if given := os.environ.get("PREFECT_API_URL"):
        if not prefect_server.answers(given):
            raise EightbellsError(f"no Prefect server answers at {shown(given)} (PREFECT_API_URL)")
        return None
    wanted = prefect_api.USUAL_PORT if port is None else port
    _wait_free(lock, wanted)
    return prefect_server.choose_port(wanted)


def _wait_free(lock: InstanceLock, port: int) -> None:
    """After a kill -9 its children take a moment to end, and to leave the ports that they listened at."""
    deadline = time.monotonic() + _KILLED_ARE_GONE_WITHIN
    while lock.was_killed and port and not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.2)


class Up:
    """One installation, running: its parts under a supervisor."""

    def __init__(
        self,
        settings: Settings,
        lock: InstanceLock,
        holder: LockHolder,
        metrics: Part,
        postgres: embedded.EmbeddedServer | None,
        processes: Processes,
        console: Console,
    ) -> None:
        self._settings, self._lock, self._holder = settings, lock, holder
        self._metrics, self._postgres, self._console = metrics, postgres, console
        self._looked_at = time.monotonic()
        self._supervisor = Supervisor(processes, self._complain, self._write_note)

    def start(self, port: int | None) -> None:
        """Start the parts, each after what it works with."""
        start, settings = self._supervisor.start, self._settings
        if (exchange := paper_exchange(settings)) is not None:
            self._start_paper(exchange)
        if port is not None:
            prefect_server.wait_ready(start(prefect_server.part(port, self._postgres)))
        self._holder.prefect_api = os.environ["PREFECT_API_URL"]
        metrics = self._metrics
        self._holder.metrics = (
            f"http://{settings.metrics.host}:{metrics.environment['EIGHTBELLS_METRICS__PORT']}/metrics"
        )
        sole = ["--sole"] if port is not None else []
        worker = start(Part("worker", python("-m", "cli", "serve", *sole)))
        worker.wait_until(_all_deployments_are_known, _READY_SECONDS)
        serving = start(metrics)
        start(Part("stream", python("-m", "cli", "stream")))
        if settings.notifications.urls:
            start(Part("notify", python("-m", "cli", "notify")))
        serving.wait_until(lambda: _answers(self._holder.metrics), _READY_SECONDS)

    def _start_paper(self, exchange: Part) -> None:
        try:
            child = self._supervisor.start(exchange)
            child.wait_until(
                lambda: _answers(f"http://127.0.0.1:{PAPER_PORT}/simulator/clock"), _READY_SECONDS
            )
        except EightbellsError as error:
            hint = "an empty paper.prices in eightbells.toml gives made-up prices, without a network"
            raise EightbellsError(f"{error}; {hint}") from None

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End what works before what it works with, whatever it is that ends us."""
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave half of it behind
                signal.signal(number, signal.SIG_IGN)
            self._say("ending ...")
            self._supervisor.end(_WORKING, _PARTS_END_WITHIN)
            self._supervisor.end(("prefect-server",), _SERVER_ENDS_WITHIN)

    def _mind_postgres(self) -> None:
        """Start the embedded Postgres again where it is gone: one more user that comes and goes finds it so."""
        now = time.monotonic()
        if self._postgres is None or now - self._looked_at < _LOOK_AT_POSTGRES_EVERY:
            return
        self._looked_at = now
        if not _is_running(self._postgres):
            self._complain("Postgres ended; it is started again")
            try:
                with embedded.server(self._settings.directory):
                    pass
            except EightbellsError as error:
                self._complain(str(error))

    def watch(self) -> None:
        """Keep everything running until Ctrl-C or SIGTERM."""
        self._supervisor.watch(also=self._mind_postgres)

    def announce(self) -> None:
        """Show where everything is."""
        settings = self._settings
        ui = self._holder.prefect_api.removesuffix("/api")
        self._say(f"[bold]Eightbells is up[/]: mode {settings.mode}, {_traded(settings)}")
        for name, value in (
            ("Prefect UI", ui),
            ("metrics", self._holder.metrics),
            ("logs", f"{settings.directory}/logs"),
        ):
            self._say(f"  {name:11} {value}")
        self._say("Ctrl-C ends everything.")
        self._holder.ready = True
        self._write_note()

    def _write_note(self) -> None:
        self._holder.restarts = {part.name: part.restarts for part in self._supervisor.parts}
        self._lock.write(self._holder)

    def _say(self, words: str) -> None:
        self._console.print(words, soft_wrap=True)

    def _complain(self, words: str) -> None:
        self._console.print(
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {words}", style="yellow", markup=False, soft_wrap=True
        )


def _metrics(settings: Settings) -> Part:
    port = settings.metrics.port or free_port()
    if not is_free(port):
        raise EightbellsError(
            f"port {port} of /metrics is taken: choose another with EIGHTBELLS_METRICS__PORT"
        )
    return Part("metrics", python("-m", "cli", "metrics"), {"EIGHTBELLS_METRICS__PORT": str(port)})


def _require_health(settings: Settings) -> None:
    """Real money is not traded where the doctor finds that something fails.

    Raises:
        EightbellsError: what fails, and its remedies.
    """
    from cli.doctor.examination import before_trading  # pandas and the exchange's client: for live mode alone

    async def failures() -> list[str]:
        found = [it async for it in before_trading(settings) if it.verdict == "fail"]
        return [f"{it.name}: {it.what} ({it.remedy})" for it in found]

    if failed := asyncio.run(failures()):
        words = "no live trading while `eightbells doctor` fails: " + "; ".join(failed)
        tell_all(settings, "Live start refused", words, "failure")
        raise EightbellsError(words)


def _all_deployments_are_known() -> bool:
    try:
        return {entry["name"] for entry in declared()} <= set(prefect_api.deployments())
    except EightbellsError:  # a server that has just started may be slow to answer
        return False


def _is_running(postgres: embedded.EmbeddedServer) -> bool:
    try:
        os.kill(int((postgres.data / "postmaster.pid").read_text().splitlines()[0]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError):
        return False
    return True


def _answers(url: str) -> bool:
    """Whether a part of ours answers; where /metrics listens at another address, that is this machine's, too."""
    try:
        with open_directly(urllib.request.Request(url), timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _traded(settings: Settings) -> str:
    if settings.universe.top:
        return f"{settings.universe.top} symbols by the rule of the universe"
    return f"{len(settings.symbols)} symbols"
