"""The simulator's own endpoints under /simulator: clock, truth, settings, candles, reset."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from simulator.clock import parse_time
from simulator.exchange import Exchange

Body = dict[str, Any]


class Control:
    """What tests and demonstrations steer the exchange with; no limits, no keys."""

    def __init__(self, exchange: Exchange):
        self.exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        answer = self._answering
        return [
            web.get("/simulator/clock", answer(self.read_clock)),
            web.post("/simulator/clock", answer(self.set_clock)),
            web.get("/simulator/truth", self.truth),
            web.post("/simulator/reset", answer(self.reset)),
            web.get("/simulator/settings", answer(self.read_settings)),
            web.post("/simulator/settings", answer(self.change_settings)),
            web.post("/simulator/candles", answer(self.change_candles)),
        ]

    def _answering(self, act: Callable[[Body], Any]) -> Callable[[web.Request], Any]:
        """Wrap an action: read the JSON body, answer JSON, and make a mistake a 400 with its sentence."""

        async def handle(request: web.Request) -> web.Response:
            try:
                text = await request.text()
                body = json.loads(text) if text.strip() else {}
                if not isinstance(body, dict):
                    raise ValueError("the body must be a JSON object")
                return web.json_response(act(body))
            except (ValueError, KeyError, TypeError, AssertionError) as problem:
                return web.json_response({"error": str(problem)}, status=400)

        return handle

    # The clock

    def read_clock(self, _body: Body) -> Body:
        return {"time": self.exchange.now(), "speed": self.exchange.clock.speed}

    def set_clock(self, body: Body) -> Body:
        """Leap to `time` (milliseconds or ISO), then by `advance` milliseconds, then run at `speed`."""
        unknown = set(body) - {"time", "advance", "speed"}
        if unknown:
            raise ValueError(f"the clock has no {', '.join(sorted(unknown))}; it has time, advance and speed")
        clock = self.exchange.clock
        speed = float(body.get("speed", clock.speed))
        if not 0 <= speed <= 1e9:
            raise ValueError("the clock's speed must be 0 or more")
        if "time" in body:
            clock.set(parse_time(str(body["time"])))
        if "advance" in body:
            clock.set(clock.now() + int(body["advance"]))
        if "speed" in body:
            clock.run_at(speed)
        return self.read_clock({})

    # What happened

    async def truth(self, request: web.Request) -> web.Response:
        """Orders, fills, balances and requests as they are; `?log=N` for more of the newest requests."""
        self.exchange.now()
        return web.json_response(self.exchange.truth(int(request.query.get("log", "1000"))))

    def reset(self, _body: Body) -> Body:
        self.exchange.reset()
        return {}

    # Settings and candles

    def read_settings(self, _body: Body) -> Body:
        return self.exchange.settings.view()

    def change_settings(self, body: Body) -> Body:
        self.exchange.settings.change(body)
        return self.read_settings({})

    def change_candles(self, body: Body) -> Body:
        raise ValueError("not yet")
