"""The running program: listens, keeps time, and ends cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from aiohttp import web

from simulator.accounts import Accounts
from simulator.clock import Clock, iso, machine_time
from simulator.control import Control
from simulator.exchange import Exchange
from simulator.options import Options
from simulator.rest import Rest
from simulator.settings import Settings
from simulator.sources import open_market
from simulator.state import State
from simulator.streams import Hub
from simulator.upstream import Upstream, passing_streams
from simulator.ws_api import UserStreams

Background = Callable[[web.Application], AsyncIterator[None]]
PULSE = 0.1  # real seconds between two looks at the clock


def build(options: Options) -> tuple[Exchange, str]:
    """The exchange as the options want it, and where its data comes from; ValueError when that cannot be."""
    market, end, told = open_market(options)
    given = end if options.clock is None else options.clock
    # the machine's clock is read last: what takes time before must not make it late
    clock = Clock(given if isinstance(given, int) else machine_time(), options.speed)
    settings = Settings(limits=options.limits, stream_interval=options.stream_interval)
    exchange = Exchange(clock, market, Accounts(options.accounts), settings)
    if options.state is not None:
        told += _keep_state(exchange, options.state)
        if options.upstream is not None and end is not None:
            clock.set(end)
        elif options.clock == "now":
            clock.set(machine_time())
    return exchange, told


def _keep_state(exchange: Exchange, path: Path) -> str:
    """Go on from an earlier run, and write down from now on; says what was found."""
    state = State(path)
    exchange.keep = lambda: state.save(exchange)
    exchange.forget = state.forget
    return f"; goes on from {path}" if state.restore(exchange) else f"; keeps its state in {path}"


def application(exchange: Exchange, upstream: Upstream | None = None) -> web.Application:
    """Everything that is served; market data comes from upstream if there is one."""
    app = web.Application(client_max_size=64 * 2**20)
    hub = Hub(exchange)
    users = UserStreams(hub)
    app.add_routes(Control(exchange, hub).routes())
    connect = passing_streams(upstream, hub) if upstream else hub.connect
    app.router.add_get("/stream", connect)
    app.router.add_get("/ws", connect)
    app.router.add_get("/ws/{streams:.*}", connect)
    app.router.add_get("/ws-api/v3", users.connect)
    app.cleanup_ctx.append(_working(hub.run))
    if upstream is not None:
        app.cleanup_ctx.append(_working(lambda: upstream.follow(exchange)))
        app.on_cleanup.append(lambda _app: upstream.close())
    app.router.add_route("*", "/{path:.*}", Rest(exchange, upstream).handle)
    return app


def _working(work: Callable[[], Coroutine[None, None, None]]) -> Background:
    """Let a piece of work go on for as long as the application lives."""

    async def context(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        task.add_done_callback(_complain)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return context


def _complain(task: asyncio.Task[None]) -> None:
    """Say so when background work ends by a mistake, for nothing else would."""
    if not task.cancelled() and (problem := task.exception()) is not None:
        traceback.print_exception(problem)


async def run(options: Options, exchange: Exchange, told: str) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; OSError when the port is taken."""
    upstream = Upstream(options.upstream) if options.upstream else None
    runner = web.AppRunner(application(exchange, upstream), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        if upstream is not None:  # exchangeInfo took its time since the clock was set
            exchange.clock.set(int((await upstream.read("/api/v3/time"))["serverTime"]))
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        port = runner.addresses[0][1]
        print(
            f"simulator: {told}; clock {iso(exchange.clock.now())}, speed {exchange.clock.speed:g}",
            file=sys.stderr,
        )
        print(f"simulator ready http://{options.host}:{port}", flush=True)
        await _until_ended(options, exchange)
    finally:
        await runner.cleanup()


async def _until_ended(options: Options, exchange: Exchange) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    while not ended.is_set() and _alive(options.parent_pid):
        exchange.now()
        exchange.keep()
        try:
            async with asyncio.timeout(PULSE):
                await ended.wait()
        except TimeoutError:
            continue


def _alive(pid: int | None) -> bool:
    """Whether a process is there and not a zombie; with none to watch, always."""
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
