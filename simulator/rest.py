"""The REST front: from an HTTP request to an endpoint's answer, past limits, faults, keys and signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from simulator import (
    archive,
    rest_account,
    rest_amend,
    rest_lists,
    rest_market,
    rest_neighbours,
    rest_replace,
    rest_rules,
    rest_trade,
    signing,
    time_units,
)
from simulator.endpoints import KEYED, NONE, TRADE, Call, Endpoint, registry
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.faults import ANSWERS, Fault
from simulator.params import Params
from simulator.upstream import Upstream
from simulator.wire import cut, dump

ROUTES = registry.by_route
# Importing a module registers its endpoints.
MODULES = (
    rest_account,
    rest_amend,
    rest_lists,
    rest_market,
    rest_neighbours,
    rest_replace,
    rest_rules,
    rest_trade,
)
JSON = "application/json;charset=UTF-8"
HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
Sent = tuple[str, str]
Answering = Callable[[], Awaitable[tuple[int, bytes]]]


class Rest:
    """Answers every request under /api and /sapi."""

    def __init__(self, exchange: Exchange, upstream: Upstream | None = None):
        self.exchange = exchange
        self.upstream = upstream

    async def handle(self, request: web.Request) -> web.StreamResponse:
        endpoint = ROUTES.get((request.method, request.path))
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
        pairs = parse_qsl(query, True) + (parse_qsl(body, True) if body else [])
        call = Call(self.exchange, Params(pairs), self.exchange.now(), request.remote or "")
        call.repeated = len(pairs) != len(call.params.values)
        if endpoint is None:
            return await self._other(call, request)
        status, content = await self._serve(endpoint, call, request, (query, body))
        self._record(request, call, endpoint.weigh(call.params), status)
        return web.Response(body=content, status=status, headers={"Content-Type": JSON, **call.headers})

    async def _other(self, call: Call, request: web.Request) -> web.StreamResponse:
        """The archive, and paths that do not exist."""

        async def answer() -> tuple[int, bytes]:
            found = archive.file(self.exchange.market, request.path, call.now)
            return (200, found) if found is not None else (404, b"Not Found")

        status, content = await self._exposed(call, request, answer)
        self._record(request, call, 0, status)
        kind = "application/zip" if request.path.endswith(".zip") and status == 200 else "text/plain"
        return web.Response(body=content, status=status, headers={"Content-Type": kind, **call.headers})

    def _record(self, request: web.Request, call: Call, weight: int, status: int) -> None:
        self.exchange.record(request.method, request.path, weight, status, call.params.values)

    async def _serve(
        self, endpoint: Endpoint, call: Call, request: web.Request, sent: Sent
    ) -> tuple[int, bytes]:
        """Answer, unless a limit or a fault answers instead; a connection that was cut gets status 0."""
        try:
            call.headers |= self.exchange.limits.admit(call.ip, endpoint.weigh(call.params))
        except Refusal as refusal:
            return _refused(call, refusal)

        async def answer() -> tuple[int, bytes]:
            if self.upstream is not None:
                return await self._answer_from_upstream(endpoint, call, request, sent)
            return self._answer(endpoint, call, request, sent)

        return await self._exposed(call, request, answer)

    async def _answer_from_upstream(
        self, endpoint: Endpoint, call: Call, request: web.Request, sent: Sent
    ) -> tuple[int, bytes]:
        """Market data as the upstream has it; orders against its price of this moment."""
        assert self.upstream is not None
        if self.upstream.passes(endpoint.path):
            return await self.upstream.fetch(request.raw_path)
        try:
            if endpoint.security == TRADE:
                await self.upstream.know_price(self.exchange, call.params.values.get("symbol", ""))
                call.now = self.exchange.now()
        except Refusal as refusal:
            return _refused(call, refusal)
        return self._answer(endpoint, call, request, sent)

    async def _exposed(self, call: Call, request: web.Request, answer: Answering) -> tuple[int, bytes]:
        """Answer, exposed to the faults that match before and after."""
        if not self.exchange.faults.active:
            return await answer()
        facts = {
            "method": request.method,
            "path": request.path,
            "symbol": call.params.values.get("symbol", ""),
            "channel": "rest",
        }
        arrived = self.exchange.faults.arrive(facts)
        before = arrived.fire("before")
        if before is not None and (instead := await self._misbehave(before, call, request)) is not None:
            return instead
        given = await answer()
        after = arrived.fire("after")
        if after is not None and (instead := await self._misbehave(after, call, request, given)) is not None:
            return instead
        return given

    def _answer(self, endpoint: Endpoint, call: Call, request: web.Request, sent: Sent) -> tuple[int, bytes]:
        key, unit = request.headers.get("X-MBX-APIKEY"), request.headers.get("X-MBX-TIME-UNIT")
        try:
            if call.repeated:
                raise Refusal(-1101, "Duplicate values for a parameter detected.")
            self._authorize(endpoint, call, key, sent)
            endpoint.check_known(call.params)
            in_microseconds = time_units.wanted(unit)
            answer = endpoint.answer(call)
            if in_microseconds:
                answer = time_units.of_answer(answer, endpoint.path)
        except Refusal as refusal:
            return _refused(call, refusal)
        finally:
            self.exchange.keep()
        return 200, answer if isinstance(answer, bytes) else dump(answer).encode()

    def _authorize(self, endpoint: Endpoint, call: Call, key: str | None, sent: Sent) -> None:
        if endpoint.security == NONE:
            return
        account = signing.find_account(self.exchange.accounts, key, call.ip, endpoint.security == TRADE)
        call.owner = account
        if endpoint.security == KEYED:
            return
        payload, signature = signing.split_signature(*sent)
        if "timestamp" not in call.params.values:
            signing.check_time(call.params, call.told_time, self.exchange.settings.clock_tolerance_ms)
        signing.check_signature(account, payload, signature)
        signing.check_time(call.params, call.told_time, self.exchange.settings.clock_tolerance_ms)

    async def _misbehave(
        self, fault: Fault, call: Call, request: web.Request, answer: tuple[int, bytes] = (200, b"{}")
    ) -> tuple[int, bytes] | None:
        """Carry out a fault; the answer that it makes, or None when the request goes on."""
        action = fault.action
        if "delay" in action:
            await asyncio.sleep(float(action["delay"]))
            call.now = self.exchange.now()
        call.clock_offset += int(action.get("clock_offset_ms", 0))
        if "ban" in action:
            self.exchange.limits.ban(call.ip, int(action["ban"]))
            return _refused(call, self.exchange.limits.banned(call.ip))
        if "silence" in action:
            await asyncio.sleep(float(action["silence"]))
        if "silence" in action or "reset" in action:
            cut(request.transport)
            return 0, b""
        call.headers |= {name: str(value) for name, value in action.get("headers", {}).items()}
        return _scripted(call, action, answer) if ANSWERS & action.keys() else None


def _scripted(call: Call, action: dict[str, Any], answer: tuple[int, bytes]) -> tuple[int, bytes]:
    """The answer that a fault's action spells out."""
    errs = "code" in action or "msg" in action
    status = int(action.get("status", 400 if errs else 200))
    if action.get("html"):
        call.headers["Content-Type"] = "text/html"
        return status, HTML.format("Bad Gateway" if status == 200 else status).encode()
    if "body" in action:
        body = action["body"]
        return status, body.encode() if isinstance(body, str) else dump(body).encode()
    if action.get("truncate"):
        return answer[0], answer[1][: len(answer[1]) // 2]
    body = {"code": action.get("code", -1000), "msg": action.get("msg", "Unknown error.")}
    return status, dump(body).encode()


def _refused(call: Call, refusal: Refusal) -> tuple[int, bytes]:
    call.headers |= refusal.headers
    return refusal.status, dump(refusal.body()).encode()
