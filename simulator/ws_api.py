"""The WebSocket API: the REST endpoints as methods, sessions, and the user data stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from aiohttp import web

from simulator import signing, time_units
from simulator.accounts import Account, money
from simulator.connections import Connection
from simulator.endpoints import NONE, TRADE, Call, Endpoint
from simulator.errors import Refusal
from simulator.lists import OrderList
from simulator.orders import Fill, Order
from simulator.params import Params
from simulator.reports import execution_report, list_status
from simulator.rest import ROUTES
from simulator.streams import Hub
from simulator.wire import cut, dump

METHODS = {
    "ping": "GET /api/v3/ping",
    "time": "GET /api/v3/time",
    "exchangeInfo": "GET /api/v3/exchangeInfo",
    "klines": "GET /api/v3/klines",
    "uiKlines": "GET /api/v3/uiKlines",
    "avgPrice": "GET /api/v3/avgPrice",
    "depth": "GET /api/v3/depth",
    "trades.recent": "GET /api/v3/trades",
    "trades.historical": "GET /api/v3/historicalTrades",
    "trades.aggregate": "GET /api/v3/aggTrades",
    "ticker": "GET /api/v3/ticker",
    "ticker.tradingDay": "GET /api/v3/ticker/tradingDay",
    "ticker.24hr": "GET /api/v3/ticker/24hr",
    "ticker.price": "GET /api/v3/ticker/price",
    "ticker.book": "GET /api/v3/ticker/bookTicker",
    "executionRules": "GET /api/v3/executionRules",
    "referencePrice": "GET /api/v3/referencePrice",
    "referencePrice.calculation": "GET /api/v3/referencePrice/calculation",
    "order.place": "POST /api/v3/order",
    "order.test": "POST /api/v3/order/test",
    "order.status": "GET /api/v3/order",
    "order.cancel": "DELETE /api/v3/order",
    "order.cancelReplace": "POST /api/v3/order/cancelReplace",
    "orderList.place.oco": "POST /api/v3/orderList/oco",
    "orderList.place.oto": "POST /api/v3/orderList/oto",
    "orderList.place.otoco": "POST /api/v3/orderList/otoco",
    "orderList.status": "GET /api/v3/orderList",
    "orderList.cancel": "DELETE /api/v3/orderList",
    "openOrderLists.status": "GET /api/v3/openOrderList",
    "allOrderLists": "GET /api/v3/allOrderList",
    "order.amend.keepPriority": "PUT /api/v3/order/amend/keepPriority",
    "order.amendments": "GET /api/v3/order/amendments",
    "openOrders.status": "GET /api/v3/openOrders",
    "openOrders.cancelAll": "DELETE /api/v3/openOrders",
    "allOrders": "GET /api/v3/allOrders",
    "myTrades": "GET /api/v3/myTrades",
    "myPreventedMatches": "GET /api/v3/myPreventedMatches",
    "myAllocations": "GET /api/v3/myAllocations",
    "myFilters": "GET /api/v3/myFilters",
    "account.status": "GET /api/v3/account",
    "account.commission": "GET /api/v3/account/commission",
    "account.rateLimits.orders": "GET /api/v3/rateLimit/order",
}
CONNECT_WEIGHT = 2


class ApiConnection(Connection):
    """A client of /ws-api/v3."""

    channel = "ws-api"

    def __init__(self, hub: Hub, request: web.Request):
        super().__init__(hub.exchange, request)
        self.account: Account | None = None
        self.subscriptions: dict[int, Account] = {}
        self._next_subscription = 0
        self.in_microseconds = time_units.wanted(request.query.get("timeUnit"))
        self._show_limits = request.query.get("returnRateLimits", "true") != "false"
        self._own: dict[str, Callable[[Params], Any]] = {
            "session.logon": self._logon,
            "session.status": lambda _params: self._session(),
            "session.logout": self._logout,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
            "session.subscriptions": lambda _params: [{"subscriptionId": n} for n in self.subscriptions],
        }

    def streams(self) -> list[str]:
        return ["executionReport", "outboundAccountPosition", "listStatus"] if self.subscriptions else []

    def shutdown_notice(self) -> str:
        notice = super().shutdown_notice()
        return f'{{"event":{time_units.of_event(notice) if self.in_microseconds else notice}}}'

    async def heard(self, text: str) -> None:
        try:
            request = json.loads(text)
            number, method = request.get("id"), str(request["method"]).removeprefix("v3/")
            sent = request.get("params") or {}
            params = Params((name, _text(value)) for name, value in sent.items())
        except (ValueError, KeyError, AttributeError):
            told = "JSON sent for parameter 'params' is not valid"
            self.send(dump({"id": None, "status": 400, "error": {"code": -1135, "msg": told}}))
            return
        answer = await self._answer(method, params)
        if answer is not None:
            show = params.values.get("returnRateLimits", str(self._show_limits)).lower() == "true"
            limits = {"rateLimits": self.exchange.limits.weight_usage(self.ip)} if show else {}
            self.send(dump({"id": number, **answer, **limits}))
        if answer is not None and answer["status"] == 418:
            await self.end(1008, b"banned")

    async def _answer(self, method: str, params: Params) -> dict[str, Any] | None:
        """Status and result, or status and error; None when a fault swallows the answer."""
        endpoint = self._endpoint(method)
        facts = {
            "method": "WS",
            "path": method,
            "symbol": params.values.get("symbol", ""),
            "channel": "ws-api",
        }
        status = 0
        try:
            if endpoint is None and method not in self._own:
                raise Refusal(-1020, "This operation is not supported.")
            weight = endpoint.weigh(params) if endpoint else 2
            self.exchange.limits.admit(self.ip, weight)
            arrived = self.exchange.faults.arrive(facts)
            if (answer := await self._misbehave(arrived.fire("before"))) is None:
                result = self._result(method, endpoint, params)
                if self.in_microseconds:
                    result = time_units.of_answer(result, method)
                answer = {"status": 200, "result": result}
                other = await self._misbehave(arrived.fire("after"))
                answer = other or answer
            status = int(answer["status"])
        except Refusal as refusal:
            status = refusal.status
            answer = {"status": status, "error": self._error(refusal)}
        self.exchange.record("WS", method, endpoint.weigh(params) if endpoint else 2, status, params.values)
        return answer if status else None

    def _endpoint(self, method: str) -> Endpoint | None:
        verb, _, path = METHODS.get(method, "").partition(" ")
        return ROUTES.get((verb, path))

    async def _misbehave(self, fault: Any) -> dict[str, Any] | None:
        """Carry out a fault of requests; status 0 stands for no answer at all."""
        if fault is None:
            return None
        action = fault.action
        await asyncio.sleep(float(action.get("delay", 0)))
        if "reset" in action:
            cut(self.request.transport)
        if "silence" in action or "reset" in action:
            return {"status": 0}
        if "status" not in action and "code" not in action:
            return None
        error = {"code": action.get("code", -1000), "msg": action.get("msg", "Unknown error.")}
        return {"status": int(action.get("status", 400)), "error": error}

    def _error(self, refusal: Refusal) -> dict[str, Any]:
        error = refusal.body()
        if refusal.status in (418, 429):
            now = self.exchange.clock.now()
            wait = int(refusal.headers.get("Retry-After", "10")) * 1000
            error["data"] = {"serverTime": now, "retryAfter": now + wait}
        return error

    def _result(self, method: str, endpoint: Endpoint | None, params: Params) -> Any:
        if endpoint is None:
            return self._own[method](params)
        signed = {name: text for name, text in params.values.items() if name not in NOT_READ}
        call = Call(self.exchange, Params(signed.items()), self.exchange.now(), self.ip)
        if endpoint.security != NONE:
            call.owner = self._identify(params, endpoint.security == TRADE)
        endpoint.check_known(call.params)
        try:
            answer = endpoint.answer(call)
        finally:
            self.exchange.keep()
        return json.loads(answer) if isinstance(answer, bytes) else answer

    def _identify(self, params: Params, needs_trade: bool = False) -> Account:
        """The account of a request: by its signature, or else the session's."""
        now = self.exchange.clock.now()
        if "signature" not in params.values and "apiKey" not in params.values and self.account is not None:
            signing.check_time(params, now, self.exchange.settings.clock_tolerance_ms)
            return self.account
        key = params.values.get("apiKey")
        account = signing.find_account(self.exchange.accounts, key, self.ip, needs_trade)
        pairs = sorted((n, v) for n, v in params.values.items() if n != "signature")
        plain = "&".join(f"{name}={value}" for name, value in pairs)
        encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        signature = params.values.get("signature")
        try:
            signing.check_signature(account, encoded, signature)
        except Refusal:
            signing.check_signature(account, plain, signature)
        signing.check_time(params, now, self.exchange.settings.clock_tolerance_ms)
        return account

    # Sessions and subscriptions

    def _logon(self, params: Params) -> Any:
        account = self._identify(params)
        if not account.secret.startswith("-----BEGIN"):
            raise Refusal(-4056, "HMAC_SHA256 API key is not supported.")
        self.account = account
        return self._session()

    def _logout(self, _params: Params) -> Any:
        self.account = None
        return self._session()

    def _session(self) -> dict[str, Any]:
        return {
            "apiKey": self.account.key if self.account else None,
            "authorizedSince": self.opened if self.account else None,
            "connectedSince": self.opened,
            "returnRateLimits": self._show_limits,
            "serverTime": self.exchange.clock.now(),
            "userDataStream": bool(self.subscriptions),
        }

    def _subscribe(self, _params: Params) -> Any:
        if self.account is None:
            raise Refusal(-1002, "You are not authorized to execute this request.", 401)
        return self._add_subscription(self.account)

    def _subscribe_signed(self, params: Params) -> Any:
        return self._add_subscription(self._identify(params))

    def _add_subscription(self, account: Account) -> dict[str, int]:
        number = self._next_subscription
        self._next_subscription += 1
        self.subscriptions[number] = account
        return {"subscriptionId": number}

    def _unsubscribe(self, params: Params) -> Any:
        number = params.integer("subscriptionId")
        if number is None:
            self.subscriptions.clear()
        else:
            self.subscriptions.pop(number, None)
        return {}

    def inform(self, account: str, kind: str, event: str) -> None:
        """Send an event of an account to its subscriptions."""
        numbers = [n for n, subscriber in self.subscriptions.items() if subscriber.name == account]
        if numbers and self.in_microseconds:
            event = time_units.of_event(event)
        for number in numbers:
            self.tell(kind, f'{{"subscriptionId":{number},"event":{event}}}')


NOT_READ = frozenset({"apiKey", "signature", "returnRateLimits"})


class UserStreams:
    """Connects clients of the WebSocket API, and tells them what happens to their accounts."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.exchange = hub.exchange
        self._execution = 0
        self.exchange.engine.listeners.append(self.told)
        self.exchange.engine.lists.listeners.append(self.told_of_list)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve /ws-api/v3."""
        try:
            connection = ApiConnection(self.hub, request)
            self.exchange.limits.admit(connection.ip, CONNECT_WEIGHT)
        except Refusal as refusal:
            return web.json_response(refusal.body(), status=refusal.status, headers=refusal.headers)
        self.hub.connections.add(connection)
        try:
            return await connection.serve()
        finally:
            self.hub.connections.discard(connection)

    def told(self, order: Order, execution: str, fill: Fill | None, time: int) -> None:
        """Listen to the engine."""
        self._execution += 1
        clients = [c for c in self.hub.connections if isinstance(c, ApiConnection) and c.subscriptions]
        if not clients:
            return
        report = dump(execution_report(order, execution, fill, time, self._execution))
        position = dump(self._position(order, fill, time))
        for client in clients:
            client.inform(order.account, "executionReport", report)
            client.inform(order.account, "outboundAccountPosition", position)

    def told_of_list(self, listed: OrderList, time: int) -> None:
        """Listen to the engine: a list has begun, or is over."""
        event = dump(list_status(listed, self.exchange.engine, time))
        for client in self.hub.connections:
            if isinstance(client, ApiConnection) and client.subscriptions:
                client.inform(listed.account, "listStatus", event)

    def _position(self, order: Order, fill: Fill | None, time: int) -> dict[str, Any]:
        account = self.exchange.accounts.named(order.account)
        assets = list(self.exchange.engine.settlement.assets(order))
        if fill is not None and fill.commission_asset not in assets:
            assets.append(fill.commission_asset)
        held = {asset: account.of(asset) for asset in assets}
        balances = [{"a": a, "f": money(b.free), "l": money(b.locked)} for a, b in held.items()]
        return {"e": "outboundAccountPosition", "E": time, "u": time, "B": balances}


def _text(value: Any) -> str:
    """A JSON parameter as the text that is signed and checked."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else dump(value)
