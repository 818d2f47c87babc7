"""The REST front: from an HTTP request to an endpoint's answer, past limits, faults, keys and signatures."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from simulator import rest_account, rest_market, rest_trade, signing
from simulator.endpoints import KEYED, NONE, TRADE, Call, Endpoint, registry
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.params import Params

ROUTES = registry.by_route
MODULES = (rest_account, rest_market, rest_trade)  # importing them registers their endpoints
JSON = "application/json;charset=UTF-8"


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
        weight = endpoint.weigh(call.params)
        status, content = self._answer(endpoint, call, weight, request, (query, body), pairs)
        symbol = call.params.values.get("symbol", "")
        self.exchange.record(request.method, request.path, weight, status, symbol)
        return web.Response(body=content, status=status, headers={"Content-Type": JSON, **call.headers})

    def _answer(
        self,
        endpoint: Endpoint,
        call: Call,
        weight: int,
        request: web.Request,
        sent: tuple[str, str],
        pairs: list[tuple[str, str]],
    ) -> tuple[int, bytes]:
        try:
            call.headers |= self.exchange.limits.admit(call.ip, weight)
            if len(pairs) != len(call.params.values):
                raise Refusal(-1101, "Duplicate values for a parameter detected.")
            self._authorize(endpoint, call, request.headers.get("X-MBX-APIKEY"), sent)
            endpoint.check_known(call.params)
            answer = endpoint.answer(call)
        except Refusal as refusal:
            call.headers |= refusal.headers
            return refusal.status, _dump(refusal.body())
        return 200, answer if isinstance(answer, bytes) else _dump(answer)

    def _authorize(self, endpoint: Endpoint, call: Call, key: str | None, sent: tuple[str, str]) -> None:
        if endpoint.security == NONE:
            return
        account = signing.find_account(self.exchange.accounts, key, call.ip, endpoint.security == TRADE)
        call.owner = account
        if endpoint.security == KEYED:
            return
        payload, signature = signing.split_signature(*sent)
        if "timestamp" not in call.params.values:
            signing.check_time(call.params, call.now)
        signing.check_signature(account, payload, signature)
        signing.check_time(call.params, call.now)


def _dump(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def _not_found(path: str) -> web.Response:
    body = {
        "timestamp": 0,
        "status": 404,
        "error": "Not Found",
        "message": "No message available",
        "path": path,
    }
    return web.json_response(body, status=404)
