"""The simulator's own endpoints under /simulator: clock, truth, settings, candles, faults, reset."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from simulator.accounts import Account, permissions_from
from simulator.candles import scaled
from simulator.clock import parse_time
from simulator.edits import Edits
from simulator.endpoints import Call
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.faults import CONNECTION_FAULTS
from simulator.params import Params
from simulator.redenomination import read_ratio
from simulator.rest_trade import check_order
from simulator.streams import Hub

Body = dict[str, Any]
MISTAKES = (ValueError, KeyError, TypeError, InvalidOperation, OverflowError)


class Control:
    """What tests and demonstrations steer the exchange with; no limits, no keys."""

    def __init__(self, exchange: Exchange, hub: Hub):
        self.exchange = exchange
        self.hub = hub

    def routes(self) -> list[web.RouteDef]:
        answer = self._answering
        return [
            web.get("/simulator/clock", answer(self.read_clock)),
            web.post("/simulator/clock", answer(self.set_clock)),
            web.get("/simulator/truth", self.truth),
            web.post("/simulator/reset", answer(self.reset)),
            web.get("/simulator/settings", answer(self.read_settings)),
            web.post("/simulator/settings", answer(self.change_settings)),
            web.post("/simulator/check", answer(self.check_orders)),
            web.post("/simulator/expire", answer(self.expire_orders)),
            web.post("/simulator/redenominate", answer(self.redenominate)),
            web.post("/simulator/candles", answer(self.change_candles)),
            web.get("/simulator/faults", answer(self.read_faults)),
            web.post("/simulator/faults", answer(self.add_fault)),
            web.delete("/simulator/faults", self.remove_faults),
        ]

    def _answering(self, act: Callable[[Body], Any]) -> Callable[[web.Request], Any]:
        """Wrap an action: read the JSON body, answer JSON, and make a mistake a 400 with its sentence."""

        async def handle(request: web.Request) -> web.Response:
            try:
                text = await request.text()
                body = json.loads(text) if text.strip() else {}
                if not isinstance(body, dict):
                    raise ValueError("the body must be a JSON object")
                answer = act(body)
                self.exchange.keep()
                self.hub.nudge.set()
                return web.json_response(answer)
            except Refusal as refusal:
                return web.json_response({"error": refusal.msg}, status=400)
            except MISTAKES as problem:
                told = f"{problem} is missing or unknown" if isinstance(problem, KeyError) else str(problem)
                return web.json_response({"error": told}, status=400)

        return handle

    # The clock

    def read_clock(self, _body: Body) -> Body:
        return {"time": self.exchange.now(), "speed": self.exchange.clock.speed}

    def set_clock(self, body: Body) -> Body:
        """Leap to `time` (milliseconds or ISO), then by `advance` milliseconds, then run at `speed`.

        With `until_fill` the leap ends at the first moment at which an order is filled.
        """
        unknown = set(body) - {"time", "advance", "speed", "until_fill"}
        if unknown:
            known = "time, advance, speed and until_fill"
            raise ValueError(f"the clock has no {', '.join(sorted(unknown))}; it has {known}")
        clock = self.exchange.clock
        speed = float(body.get("speed", clock.speed))
        if not 0 <= speed <= 1e9:
            raise ValueError("the clock's speed must be 0 or more")
        time = parse_time(str(body["time"])) if "time" in body else clock.now()
        time += int(body.get("advance", 0))
        if body.get("until_fill"):
            time = self.exchange.engine.next_fill(time)
        if "time" in body or "advance" in body:
            clock.set(time)
        clock.run_at(speed)
        now = self.exchange.now()
        self.hub.tell_closes(now)
        return {"time": now, "speed": speed}

    # What happened

    async def truth(self, request: web.Request) -> web.Response:
        """Orders, fills, balances and requests as they are; `?log=N` for so many of the newest requests."""
        self.exchange.now()
        newest = request.query.get("log", "1000")
        return web.json_response(self.exchange.truth(int(newest) if newest.isdigit() else 1000))

    def reset(self, _body: Body) -> Body:
        self.exchange.reset()
        return {}

    def check_orders(self, body: Body) -> Body:
        """Judge many orders at once as order/test would: null for each that is sound, else code and msg."""
        now, exchange = self.exchange.now(), self.exchange
        account = exchange.accounts.named(body["account"])
        answers: list[Body | None] = []
        for order in body["orders"]:
            params = Params((name, str(value)) for name, value in order.items())
            try:
                check_order(Call(exchange, params, now, "", owner=account))
                answers.append(None)
            except Refusal as refusal:
                answers.append(refusal.body())
        return {"answers": answers}

    def expire_orders(self, body: Body) -> Body:
        """Let the exchange end open orders: all of a `symbol`, or those with the numbers in `orders`."""
        now, numbers = self.exchange.now(), {int(number) for number in body.get("orders", [])}
        return {"expired": self.exchange.engine.expire(body.get("symbol"), numbers, now)}

    def redenominate(self, body: Body) -> Body:
        """Let one coin of `symbol` become `ratio` of them, after a `pause` of so many slots without candles."""
        unknown = set(body) - {"symbol", "ratio", "pause"}
        if unknown:
            raise ValueError(f"a redenomination has no {', '.join(sorted(unknown))}")
        ratio, pause, now = read_ratio(body["ratio"]), int(body.get("pause", 0)), self.exchange.now()
        if pause < 0:
            raise ValueError("the pause is a number of slots, 0 or more")
        return self.exchange.redenominations.carry_out(body["symbol"], ratio, pause, now)

    # Settings

    def read_settings(self, _body: Body) -> Body:
        """Everything that can be set."""
        exchange = self.exchange
        return {
            **exchange.settings.view(),
            "rate_limits": {_limit_name(x): x["limit"] for x in exchange.symbols.rate_limits},
            "accounts": {account.name: _account_view(account) for account in exchange.accounts},
        }

    def change_settings(self, body: Body) -> Body:
        """Change settings by name; accounts, symbols, prices and rate_limits are objects by name."""
        plain = dict(body)
        for name, fields in plain.pop("accounts", {}).items():
            _change_account(self.exchange.accounts.named(name), fields)
            self.exchange.deposited = True
        for symbol, changes in plain.pop("symbols", {}).items():
            self._change_symbol(symbol, dict(changes))
        for symbol, price in plain.pop("prices", {}).items():
            self._fix_price(symbol, price)
        for name, limit in plain.pop("rate_limits", {}).items():
            self._change_limit(name, int(limit))
        self.exchange.settings.change(plain)
        return self.read_settings({})

    def _change_symbol(self, symbol: str, changes: Body) -> None:
        """Change fields of a symbol; `listed` false removes it, with its open orders, and true lists it again."""
        listed = changes.pop("listed", None)
        if listed is False:
            self.exchange.engine.expire(symbol, set(), self.exchange.now())
        if listed is not None:
            self.exchange.symbols.list_or_remove(symbol, bool(listed))
        if changes or listed is None:
            self.exchange.symbols.amend(symbol, changes)

    def _fix_price(self, symbol: str, price: str | None) -> None:
        """Hold a symbol's price still, or with null let it follow its candles again."""
        self.exchange.symbols.get(symbol)
        self.exchange.engine.follow_extremes(symbol, self.exchange.now())
        self.exchange.market.revision += 1
        if price is None:
            self.exchange.market.fixed.pop(symbol, None)
        else:
            self.exchange.market.fixed[symbol] = scaled(str(price))
        self.exchange.engine.look_again(symbol, self.exchange.clock.now())

    def _change_limit(self, name: str, most: int) -> None:
        chosen = [limit for limit in self.exchange.symbols.rate_limits if _limit_name(limit) == name]
        if not chosen:
            raise KeyError(name)
        chosen[0]["limit"] = most

    # Candles

    def change_candles(self, body: Body) -> Body:
        """Change a symbol's served candles: restate, remove, repeat, add; `reset` undoes all first."""
        unknown = set(body) - {"symbol", "restate", "remove", "repeat", "add", "reset"}
        if unknown:
            raise ValueError(f"candles have no {', '.join(sorted(unknown))}")
        market, symbol = self.exchange.market, body["symbol"]
        self.exchange.engine.follow_extremes(symbol, self.exchange.now())
        series = market.series[symbol]
        if body.get("reset"):
            market.edits.pop(symbol, None)
        edits = market.edits.setdefault(symbol, Edits(symbol))
        for fields in body.get("restate", []):
            changes = {name: value for name, value in fields.items() if name != "at"}
            edits.change(series, int(fields["at"]), changes)
        for open_time in body.get("remove", []):
            edits.remove(int(open_time))
        for open_time in body.get("repeat", []):
            edits.repeat(series, int(open_time))
        for row in body.get("add", []):
            if not series.append(row):
                edits.add(row)
        self.exchange.engine.look_again(symbol, self.exchange.now())
        if not edits.rows:
            del market.edits[symbol]
        return {"symbol": symbol, "changed": sorted(edits.rows)}

    # Faults

    def read_faults(self, _body: Body) -> Body:
        return {"faults": self.exchange.faults.view()}

    def add_fault(self, body: Body) -> Body:
        fault = self.exchange.faults.add(body)
        if fault.stream in CONNECTION_FAULTS:
            self.hub.inflict(fault)
        return fault.view()

    async def remove_faults(self, request: web.Request) -> web.Response:
        """Forget all faults, or with `?id=N` one."""
        number = request.query.get("id")
        if number is not None and not number.isdigit():
            return web.json_response({"error": f"{number!r} is not the number of a fault"}, status=400)
        self.exchange.faults.remove(None if number is None else int(number))
        return web.json_response(self.read_faults({}))


def _limit_name(limit: dict[str, Any]) -> str:
    """REQUEST_WEIGHT, RAW_REQUESTS, or ORDERS with its window: ORDERS_10S, ORDERS_1D."""
    kind = str(limit["rateLimitType"])
    return kind if kind != "ORDERS" else f"ORDERS_{limit['intervalNum']}{limit['interval'][0]}"


def _account_view(account: Account) -> Body:
    may = account.permissions
    return {
        "maker_fee": str(account.maker_fee),
        "taker_fee": str(account.taker_fee),
        "fees_in_bnb": account.fees_in_bnb,
        "trade_group": account.trade_group,
        "permissions": {"read": may.read, "trade": may.trade, "withdraw": may.withdraw, "ips": list(may.ips)},
    }


def _change_account(account: Account, fields: Body) -> None:
    unknown = set(fields) - {"maker_fee", "taker_fee", "fees_in_bnb", "trade_group", "permissions", "deposit"}
    if unknown:
        raise ValueError(f"an account has no {', '.join(sorted(unknown))}")
    account.maker_fee = _rate(fields.get("maker_fee", account.maker_fee))
    account.taker_fee = _rate(fields.get("taker_fee", account.taker_fee))
    account.fees_in_bnb = bool(fields.get("fees_in_bnb", account.fees_in_bnb))
    account.trade_group = max(-1, int(fields.get("trade_group", account.trade_group)))
    account.permissions = permissions_from(fields.get("permissions", {}), account.permissions)
    for asset, amount in fields.get("deposit", {}).items():
        account.receive(asset, max(Decimal(str(amount)), -account.free(asset)))


def _rate(value: Any) -> Decimal:
    rate = Decimal(str(value))
    if not 0 <= rate < 1:
        raise ValueError(f"a fee is a share from 0 to below 1, not {value}")
    return rate
