"""The exchange as it is met from here: its clock, its limits, the key and what it may do, the sockets.

It is asked directly, since the database, where permits are counted, may be what is wrong.
"""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from cli.doctor.findings import Finding, fail, ok, warn
from cli.doctor.strategies import look_at_strategies
from cli.paper import PAPER_PORT, is_our_paper_exchange
from cli.processes import is_free
from eightbells.addresses import hidden
from eightbells.errors import EightbellsError
from eightbells.exchange.client import StampedClient
from eightbells.exchange.clock import ExchangeClock
from eightbells.exchange.permissions import objections
from eightbells.exchange.recovery import Failure, classify
from eightbells.settings import Credentials, Settings

_PATIENCE_SECONDS = 10.0
_OFFSET_SHOWN, _OFFSET_TOO_FAR = 0.5, 60.0  # seconds: the alert ClockOffset; schedules would miss their close
_MUCH = 0.8  # of a limit
_TIME = "switch time synchronisation on: `timedatectl set-ntp true`"
_NO_KEY = Credentials("none", SecretStr("none"))
_REMEDIES = {
    "network": "check the network, and exchange.rest_url in eightbells.toml",
    "timeout": "check the network, and exchange.rest_url in eightbells.toml",
    "http-403": "the exchange's firewall turns this address away: try from another, or another country",
    "http-418": "wait until the ban is over with everything stopped; then lower [budgets]",
    "http-429": "stop other programs on this address, or lower [budgets]",
    "-1003": "stop other programs on this address, or lower [budgets]",
    "http-5xx": "wait: the exchange is in trouble; see https://www.binance.com/en/support/announcement",
    "-1021": _TIME,
}


async def look_at_exchange(settings: Settings) -> AsyncIterator[Finding]:
    """Clock, symbols, limits, key and sockets, as far as they can be asked."""
    if is_our_paper_exchange(settings) and is_free(PAPER_PORT):
        yield warn("exchange", "paper mode's exchange is not running", "`eightbells up` starts it")
        return
    seen: dict[str, str] = {}
    try:
        credentials, missing = settings.credentials(), None
    except EightbellsError as error:
        credentials, missing = _NO_KEY, error
    try:
        client = _client(settings, credentials, clock := ExchangeClock(), seen)
    except EightbellsError as error:  # a private key that cannot be read
        credentials, missing = _NO_KEY, error
        client = _client(settings, credentials, clock := ExchangeClock(), seen)
    try:
        reached = True
        async for finding in _public(settings, client, clock, seen):
            reached &= finding.name != "exchange" or finding.verdict == "ok"
            yield finding
        if missing is not None:
            remedy = "set it in the environment: a key that may read and trade, and never withdraw"
            yield fail("key", str(missing), remedy)
        elif reached:
            async for finding in _private(settings, client):
                yield finding
    finally:
        await client.close_connection()
    for finding in await asyncio.gather(_stream(settings), _ws_api(settings)):
        yield finding


def _client(
    settings: Settings, key: Credentials, clock: ExchangeClock, seen: dict[str, str]
) -> StampedClient:
    def observe(headers: Mapping[str, str]) -> None:
        seen.update({name.upper(): value for name, value in headers.items()})

    exchange = settings.exchange
    return StampedClient(
        key, settings.rest_url, clock, exchange.recv_window_ms, exchange.timeout_seconds, 2, observe
    )


async def _public(
    settings: Settings, client: StampedClient, clock: ExchangeClock, seen: Mapping[str, str]
) -> AsyncIterator[Finding]:
    async def server_time() -> int:
        return int((await client.get_server_time())["serverTime"])

    failure = await _tried(lambda: clock.sync(server_time))
    if isinstance(failure, Failure):
        yield fail("exchange", f"{settings.rest_url}: {failure.message}", _remedy(failure))
        return
    yield ok("exchange", f"{settings.rest_url} answers")
    yield _offset(settings, clock)
    info = await _tried(lambda: client.get_exchange_info())
    if isinstance(info, Failure):
        yield fail("limits", info.message, _remedy(info))
        return
    yield _symbols(settings, info)
    for finding in look_at_strategies(settings, info):
        yield finding
    allowed = next(int(it["limit"]) for it in info["rateLimits"] if it["rateLimitType"] == "REQUEST_WEIGHT")
    used = int(seen.get("X-MBX-USED-WEIGHT-1M", 0))
    words = f"weight {used} of {allowed} used in this minute"
    if used > _MUCH * allowed:
        yield warn("limits", words, _REMEDIES["http-429"])
    else:
        yield ok("limits", words)


def _offset(settings: Settings, clock: ExchangeClock) -> Finding:
    offset = clock.now_ms() / 1000 - time.time()
    words = f"the exchange's is {abs(offset):.3f} s {'ahead of' if offset > 0 else 'behind'} this machine's"
    if abs(offset) < _OFFSET_SHOWN:
        return ok("clock", words)
    if settings.mode == "paper" and abs(offset) > _OFFSET_TOO_FAR:
        return warn(
            "clock",
            words,
            "only right for a simulator that lives in another time: cycles start by this clock",
        )
    verdict = fail if abs(offset) > _OFFSET_TOO_FAR else warn
    return verdict("clock", words, _TIME)


def _symbols(settings: Settings, info: Mapping[str, Any]) -> Finding:
    status = {entry["symbol"]: entry["status"] for entry in info["symbols"]}
    if missing := [symbol for symbol in settings.symbols if symbol not in status]:
        return fail(
            "symbols", f"not listed: {', '.join(missing)}", "take them out of symbols in eightbells.toml"
        )
    quotes = {entry["symbol"]: entry["quoteAsset"] for entry in info["symbols"]}
    if other := [f"{it} in {quotes[it]}" for it in settings.symbols if quotes[it] != settings.quote_asset]:
        return fail(
            "symbols",
            f"not quoted in {settings.quote_asset}: {', '.join(other)}",
            "take them out of symbols in eightbells.toml",
        )
    if resting := [symbol for symbol in settings.symbols if status[symbol] != "TRADING"]:
        return warn("symbols", f"not trading now: {', '.join(resting)}", "wait, or take them out of symbols")
    return ok("symbols", f"{len(settings.symbols)} listed and trading")


async def _private(settings: Settings, client: StampedClient) -> AsyncIterator[Finding]:
    account = await _tried(lambda: client.get_account())
    if isinstance(account, Failure):
        yield fail("key", f"{account.code}: {account.message}", _key_remedy(account))
        return
    if not account.get("canTrade"):
        yield fail(
            "key", "the account may not trade", "ask the exchange why; for a key, switch spot trading on"
        )
    else:
        yield ok("key", f"signs what the exchange accepts, for account {settings.account}")
    yield _private_key_file(settings)
    counts = await _tried(lambda: client._get("rateLimit/order", True, data={}))
    if not isinstance(counts, Failure):
        shown = ", ".join(
            f"{it['count']} of {it['limit']} in {it['intervalNum']} {it['interval']}" for it in counts
        )
        full = any(int(it["count"]) > _MUCH * int(it["limit"]) for it in counts)
        yield (
            warn("orders left", shown, "wait, or lower risk.max_orders_per_cycle")
            if full
            else ok("orders left", shown)
        )
    if settings.mode == "live":
        async for finding in _permissions(client):
            yield finding


async def _permissions(client: StampedClient) -> AsyncIterator[Finding]:
    """Testnet and paper have no such question: their keys cannot withdraw anything."""
    may = await _tried(lambda: client.get_account_api_permissions())
    if isinstance(may, Failure):
        yield fail("permissions", f"{may.code}: {may.message}", _key_remedy(may))
        return
    for objection in objections(may):
        what, _, remedy = objection.partition(": ")
        yield fail("permissions", f"the key: {what}", f"{remedy}, in the exchange's API management")
    if not objections(may):
        yield ok("permissions", "the key may read and trade, and not withdraw")
    if not may.get("ipRestrict"):
        yield warn("permissions", "the key works from any address", "restrict it to this machine's address")


def _private_key_file(settings: Settings) -> Finding:
    if not settings.binance_private_key_file or settings.mode == "paper":
        return ok("secret", "from the environment alone")
    file = Path(settings.binance_private_key_file)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warn("secret", f"others may read {file}", f"chmod 600 {file}")
    return ok("secret", f"{file}, readable for its owner alone")


async def _stream(settings: Settings) -> Finding:
    url = f"{settings.stream_url}stream?streams={settings.symbols[0].lower()}@kline_4h"

    async def listen() -> None:
        async with connect(url, open_timeout=_PATIENCE_SECONDS, close_timeout=1) as socket:
            await (await socket.ping())

    return await _socket("stream socket", settings.stream_url, listen)


async def _ws_api(settings: Settings) -> Finding:
    async def ping() -> None:
        async with connect(settings.ws_api_url, open_timeout=_PATIENCE_SECONDS, close_timeout=1) as socket:
            await socket.send('{"id":"doctor","method":"ping"}')
            answer = orjson.loads(await socket.recv())
            if answer.get("status") != 200:
                raise OSError(f"answers {answer.get('status')}")

    return await _socket("account socket", settings.ws_api_url, ping)


async def _socket(name: str, url: str, ask: Callable[[], Awaitable[None]]) -> Finding:
    """Ask, and ask again over another connection: a stream lives on reconnecting."""
    try:
        async with asyncio.timeout(2 * _PATIENCE_SECONDS):
            await ask()
            await ask()
    except (OSError, ValueError, WebSocketException) as error:
        said = hidden(str(error)) or "no answer in time"
        return fail(
            name,
            f"{url}: {said[:200]}",
            "let WebSockets out through firewall and proxy; check the [exchange] URLs",
        )
    return ok(name, f"{url} answers, and again after a reconnect")


async def _tried(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, or what went wrong, classified."""
    try:
        return await ask()
    except Exception as error:
        return classify(error)


def _remedy(failure: Failure) -> str:
    return _REMEDIES.get(failure.code, failure.remedy.advice)


def _key_remedy(failure: Failure) -> str:
    return _REMEDIES.get(failure.code, f"{failure.remedy.advice}; keys of testnet and live are not the same")
