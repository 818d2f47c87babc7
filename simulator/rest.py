"""The REST front: from an HTTP request to an endpoint's answer, past limits, faults, keys and signatures."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from simulator import rest_account, rest_market, rest_replace, rest_trade, signing
from simulator.endpoints import KEYED, NONE, TRADE, Call, Endpoint, registry
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.faults import ANSWERS, Fault
from simulator.params import Params

ROUTES = registry.by_route
MODULES = (rest_account, rest_market, rest_replace, rest_trade)  # importing them registers their endpoints
JSON = "application/json;charset=UTF-8"
HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
Sent = tuple[str, str]


class Rest:
    """Answers every request under /api and /sapi."""

    def __init__(self, exchange: Exchange):
        self.exchange = exchange

    async def handle(self, request: web.Request) -> web.StreamResponse:
        endpoint = ROUTES.get((request.method, request.path))
        if endpoint is None:
            return _not_found(request.path)
        query = request.raw_path.partition("?")[2]
        body = await request.text() if request.can_read_body else ""
        pairs = parse_qsl(query, True) + (parse_qsl(body, True) if body else [])
        call = Call(self.exchange, Params(pairs), self.exchange.now(), request.remote or "")
        call.repeated = len(pairs) != len(call.params.values)
        status, content = await self._serve(endpoint, call, request, (query, body))
        self._record(endpoint, call, status)
        return web.Response(body=content, status=status, headers={"Content-Type": JSON, **call.headers})

    def _record(self, endpoint: Endpoint, call: Call, status: int) -> None:
        symbol = call.params.values.get("symbol", "")
        weight = endpoint.weigh(call.params)
        self.exchange.record(endpoint.method, endpoint.path, weight, status, symbol)

    async def _serve(
        self, endpoint: Endpoint, call: Call, request: web.Request, sent: Sent
    ) -> tuple[int, bytes]:
        """Answer, unless a fault answers instead; a connection that was cut gets status 0."""
        try:
            call.headers |= self.exchange.limits.admit(call.ip, endpoint.weigh(call.params))
        except Refusal as refusal:
            return _refused(call, refusal)
        if not self.exchange.faults.active:
            return self._answer(endpoint, call, request.headers.get("X-MBX-APIKEY"), sent)
        facts = {
            "method": request.method,
            "path": request.path,
            "symbol": call.params.values.get("symbol", ""),
            "channel": "rest",
        }
        arrived = self.exchange.faults.arrive(facts)
        before = arrived.fire("before")
        if before is not None and (answer := await self._misbehave(before, call, request)) is not None:
            return answer
        answer = self._answer(endpoint, call, request.headers.get("X-MBX-APIKEY"), sent)
        after = arrived.fire("after")
        if after is not None and (other := await self._misbehave(after, call, request, answer)) is not None:
            return other
        return answer

    def _answer(self, endpoint: Endpoint, call: Call, key: str | None, sent: Sent) -> tuple[int, bytes]:
        try:
            if call.repeated:
                raise Refusal(-1101, "Duplicate values for a parameter detected.")
            self._authorize(endpoint, call, key, sent)
            endpoint.check_known(call.params)
            answer = endpoint.answer(call)
        except Refusal as refusal:
            return _refused(call, refusal)
        return 200, answer if isinstance(answer, bytes) else dump(answer)

    def _authorize(self, endpoint: Endpoint, call: Call, key: str | None, sent: Sent) -> None:
        if endpoint.security == NONE:
            return
        account = signing.find_account(self.exchange.accounts, key, call.ip, endpoint.security == TRADE)
        call.owner = account
        if endpoint.security == KEYED:
            return
        payload, signature = signing.split_signature(*sent)
        if "timestamp" not in call.params.values:
            signing.check_time(call.params, call.told_time)
        signing.check_signature(account, payload, signature)
        signing.check_time(call.params, call.told_time)

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
        return _scripted(call, action, answer) if ANSWERS & action.keys() else None


def _scripted(call: Call, action: dict[str, Any], answer: tuple[int, bytes]) -> tuple[int, bytes]:
    """The answer that a fault's action spells out."""
    errs = "code" in action or "msg" in action
    status = int(action.get("status", 400 if errs else 200))
    call.headers |= {name: str(value) for name, value in action.get("headers", {}).items()}
    if action.get("html"):
        call.headers["Content-Type"] = "text/html"
        return status, HTML.format("Bad Gateway" if status == 200 else status).encode()
    if "body" in action:
        body = action["body"]
        return status, body.encode() if isinstance(body, str) else dump(body)
    if action.get("truncate"):
        return answer[0], answer[1][: len(answer[1]) // 2]
    return status, dump({"code": action.get("code", -1000), "msg": action.get("msg", "Unknown error.")})


def _refused(call: Call, refusal: Refusal) -> tuple[int, bytes]:
    call.headers |= refusal.headers
    return refusal.status, dump(refusal.body())


def cut(transport: asyncio.Transport | None) -> None:
    """Reset a TCP connection, so that the other side sees an error and not an end."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def dump(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def _not_found(path: str) -> web.Response:
    return web.json_response({"status": 404, "error": "Not Found", "path": path}, status=404)
