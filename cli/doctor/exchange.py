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
from urllib.parse import quote

import orjson
from pydantic import SecretStr
from websockets.exceptions import WebSocketException

from cli.doctor.findings import Finding, fail, ok, warn
from cli.doctor.strategies import look_at_strategies
from cli.paper import PAPER_PORT, is_our_paper_exchange
from cli.processes import is_free
from cli.words import span
from eightbells.addresses import hidden
from eightbells.candles.timeframe import CYCLE
from eightbells.errors import EightbellsError, UnsendableKey
from eightbells.exchange.classification import classify
from eightbells.exchange.client import StampedClient
from eightbells.exchange.clock import ExchangeClock
from eightbells.exchange.permissions import objections
from eightbells.exchange.recovery import KEY_ROWS, TABLE, Failure
from eightbells.exchange.rules import SymbolRules
from eightbells.exchange.sockets import open_socket
from eightbells.exchange.universe import by_symbol, objection
from eightbells.settings import Credentials, Settings

_PATIENCE_SECONDS = 10.0
_OFFSET_SHOWN, _OFFSET_TOO_FAR = 0.5, 60.0  # seconds: the alert ClockOffset; schedules would miss their close
_MUCH = 0.8  # of a limit
_TIME = "switch time synchronisation on: `timedatectl set-ntp true`"
_NO_KEY = Credentials("none", SecretStr("none"))


async def look_at_exchange(settings: Settings) -> AsyncIterator[Finding]:
    """Clock, symbols, limits, key and sockets, as far as they can be asked."""
    if is_our_paper_exchange(settings) and is_free(PAPER_PORT):
        yield warn("exchange", "paper mode's exchange is not running", "`eightbells up` starts it")
        return
    seen: dict[str, str] = {}
    credentials, missing = _NO_KEY, None
    try:
        credentials = settings.credentials()
    except EightbellsError as error:
        missing = error
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
            yield fail("key", str(missing), _remedy_without_key(missing))
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
        yield fail("exchange", f"{settings.rest_url}: {failure.message}", failure.remedy.advice)
        return
    yield ok("exchange", f"{settings.rest_url} answers")
    yield _offset(settings, clock)
    info = await _tried(lambda: client.get_exchange_info())
    if isinstance(info, Failure):
        yield fail("limits", info.message, info.remedy.advice)
        return
    yield _symbols(settings, info)
    for finding in look_at_strategies(settings, info):
        yield finding
    yield _limits(info, seen)


def _limits(info: Mapping[str, Any], seen: Mapping[str, str]) -> Finding:
    try:
        allowed = next(
            int(it["limit"]) for it in info["rateLimits"] if it["rateLimitType"] == "REQUEST_WEIGHT"
        )
        used = int(seen.get("X-MBX-USED-WEIGHT-1M", 0))
    except (KeyError, TypeError, ValueError, StopIteration):
        return warn(
            "limits",
            "exchangeInfo states no limit that can be read",
            "wait, then run `eightbells doctor` again",
        )
    words = f"weight {used} of {allowed} used in this minute"
    if used > _MUCH * allowed:
        return warn("limits", words, TABLE["http-429"].advice)
    return ok("limits", words)


def _offset(settings: Settings, clock: ExchangeClock) -> Finding:
    offset = clock.now_ms() / 1000 - time.time()
    length = f"{abs(offset):.3f} s" if abs(offset) <= _OFFSET_TOO_FAR else span(abs(offset))
    words = f"the exchange's is {length} {'ahead of' if offset > 0 else 'behind'} this machine's"
    if abs(offset) < _OFFSET_SHOWN:
        return ok("clock", words)
    if abs(offset) > _OFFSET_TOO_FAR and _may_live_in_another_time(settings):
        return ok("clock", f"{words}: a simulator's own time, which candles and orders follow")
    verdict = fail if abs(offset) > _OFFSET_TOO_FAR else warn
    return verdict("clock", words, _TIME)


def _may_live_in_another_time(settings: Settings) -> bool:
    """Whether the exchange is a simulator without live prices: its clock is where its candles are."""
    return settings.mode == "paper" and not (is_our_paper_exchange(settings) and settings.paper.prices)


def _symbols(settings: Settings, info: Mapping[str, Any]) -> Finding:
    """A symbol that the exchange has taken away, or describes badly, fails only where it leaves no other."""
    entries, take_out = by_symbol(info), "take them out of symbols in eightbells.toml"
    missing = [symbol for symbol in settings.symbols if symbol not in entries]
    odd = {it: why for it in settings.symbols if it in entries and (why := objection(entries[it]))}
    listed = {
        it: SymbolRules.from_exchange_info(entries[it][0])
        for it in settings.symbols
        if it in entries and it not in odd
    }
    quotes = {it: its.quote_asset for it, its in listed.items()}
    if other := [f"{it} in {quote}" for it, quote in quotes.items() if quote != settings.quote_asset]:
        return fail("symbols", f"not quoted in {settings.quote_asset}: {', '.join(other)}", take_out)
    troubles = [f"not listed: {', '.join(missing)}"] if missing else []
    troubles += [f"{symbol}: {why}" for symbol, why in odd.items()]
    if resting := [symbol for symbol, its in listed.items() if its.status != "TRADING"]:
        troubles.append(f"not trading now: {', '.join(resting)}")
    if troubles:
        return (warn if listed else fail)("symbols", "; ".join(troubles), f"wait, or {take_out}")
    return ok("symbols", f"{len(settings.symbols)} listed and trading")


async def _private(settings: Settings, client: StampedClient) -> AsyncIterator[Finding]:
    account = await _tried(lambda: client.get_account())
    if isinstance(account, Failure):
        yield fail("key", _said(account), _key_remedy(account))
        return
    if not account.get("canTrade"):
        yield fail(
            "key", "the account may not trade", "ask the exchange why; for a key, switch spot trading on"
        )
    else:
        yield ok("key", f"the exchange accepts its signature, account {settings.account}")
    yield _private_key_file(settings)
    counts = await _tried(lambda: client._get("rateLimit/order", True, data={}))
    if not isinstance(counts, Failure):
        shown = ", ".join(
            f"{it['count']} of {it['limit']} used in {_window(it['intervalNum'], it['interval'])}"
            for it in counts
        )
        full = any(int(it["count"]) > _MUCH * int(it["limit"]) for it in counts)
        yield (
            warn("order limits", shown, "wait, or lower risk.max_orders_per_cycle")
            if full
            else ok("order limits", shown)
        )
    if settings.mode == "live":
        async for finding in _permissions(client):
            yield finding


def _window(count: int, unit: str) -> str:
    """The length of a limit's window: 10 SECOND is `10 s`."""
    short = {"SECOND": "s", "MINUTE": "min", "HOUR": "h", "DAY": "day"}
    return f"{count} {short.get(unit, unit.lower())}{'s' * (unit == 'DAY' and int(count) > 1)}"


async def _permissions(client: StampedClient) -> AsyncIterator[Finding]:
    """Testnet and paper have no such question: their keys cannot withdraw anything."""
    may = await _tried(lambda: client.get_account_api_permissions())
    if isinstance(may, Failure):
        yield fail("permissions", _said(may), _key_remedy(may))
        return
    found = objections(may)
    for it in found:
        yield fail("permissions", f"the key: {it.what}", f"{it.remedy}, in the exchange's API management")
    if not found:
        yield ok("permissions", "the key may read and trade, and not withdraw")
    if not may.get("ipRestrict"):
        yield warn("permissions", "the key works from any address", "restrict it to this machine's address")


def _private_key_file(settings: Settings) -> Finding:
    if not settings.binance_private_key_file or settings.mode == "paper":
        return ok("secret", "from the environment only")
    file = Path(settings.binance_private_key_file)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warn("secret", f"other users can read {file}", f"chmod 600 {file}")
    return ok("secret", f"only its owner can read {file}")


async def _stream(settings: Settings) -> Finding:
    url = f"{settings.stream_url}stream?streams={quote(settings.symbols[0].lower())}@kline_{CYCLE.name}"

    async def listen() -> None:
        async with open_socket(url, open_timeout=_PATIENCE_SECONDS) as socket:
            await (await socket.ping())

    return await _socket("stream socket", settings.stream_url, listen)


async def _ws_api(settings: Settings) -> Finding:
    async def ping() -> None:
        async with open_socket(settings.ws_api_url, open_timeout=_PATIENCE_SECONDS) as socket:
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
            "allow WebSockets in firewall and proxy; check the [exchange] URLs",
        )
    return ok(name, f"{url} answers, and again after a reconnect")


async def _tried(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, or what went wrong, classified."""
    try:
        return await ask()
    except Exception as error:
        return classify(error)


def _said(failure: Failure) -> str:
    return f"{failure.code}: {failure.message}" if failure.code.startswith("-") else failure.message


def _remedy_without_key(missing: EightbellsError) -> str:
    if isinstance(missing, UnsendableKey):
        return classify(missing).remedy.advice
    return "set it in the environment: a key that may read and trade, and never withdraw"


def _key_remedy(failure: Failure) -> str:
    """The row's advice; keys of the wrong exchange are the commonest reason where the key is at fault."""
    hint = "; keys of testnet and live are not the same" if failure.row in KEY_ROWS else ""
    return failure.remedy.advice + hint
