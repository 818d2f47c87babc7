"""The running program: listens, keeps time, and ends cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from simulator.accounts import Accounts
from simulator.clock import Clock, iso
from simulator.control import Control
from simulator.exchange import Exchange
from simulator.options import Options
from simulator.rest import Rest
from simulator.settings import Settings
from simulator.sources import open_market
from simulator.streams import Hub
from simulator.ws_api import UserStreams

PULSE = 0.1  # real seconds between two looks at the clock


def build(options: Options) -> tuple[Exchange, str]:
    """The exchange as the options want it, and where its data comes from; ValueError when that cannot be."""
    market, end, told = open_market(options)
    clock = Clock(options.clock if options.clock is not None else end, options.speed)
    settings = Settings(limits=options.limits, stream_interval=options.stream_interval)
    return Exchange(clock, market, Accounts(options.accounts), settings), told


def application(exchange: Exchange) -> web.Application:
    app = web.Application(client_max_size=64 * 2**20)
    hub = Hub(exchange)
    users = UserStreams(hub)
    app.add_routes(Control(exchange, hub).routes())
    app.router.add_get("/stream", hub.connect)
    app.router.add_get("/ws", hub.connect)
    app.router.add_get("/ws/{streams:.*}", hub.connect)
    app.router.add_get("/ws-api/v3", users.connect)
    app.cleanup_ctx.append(_telling(hub))
    app.router.add_route("*", "/{path:.*}", Rest(exchange).handle)
    return app


def _telling(hub: Hub) -> Callable[[web.Application], AsyncIterator[None]]:
    """Let the hub tell its streams for as long as the application lives."""

    async def tell(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(hub.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return tell


async def run(options: Options, exchange: Exchange, told: str) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; OSError when the port is taken."""
    runner = web.AppRunner(application(exchange), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
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
        try:
            await asyncio.wait_for(ended.wait(), PULSE)
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
