"""Rate limits by address and by account: used weight, raw requests, order counts, 429 and growing bans."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import Any

from simulator.clock import Clock
from simulator.errors import Refusal
from simulator.settings import Settings
from simulator.symbols import SymbolTable

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
LONGEST_BAN = 3 * 86400
ATTEMPTS, ATTEMPT_WINDOW = 300, 300.0  # to connect, in real seconds
PLEASE = "Please use WebSocket Streams for live updates to avoid"


class Limits:
    """Counts requests in the windows that exchangeInfo.rateLimits names.

    Windows follow the exchange's clock while it runs at its natural speed, and the real one otherwise: a
    client waits in real seconds, and a standing clock must not lock it out for ever.
    """

    def __init__(self, clock: Clock, symbols: SymbolTable, settings: Settings):
        self._clock = clock
        self._symbols = symbols
        self._settings = settings
        self.clear()

    def clear(self) -> None:
        self._used: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._orders: dict[tuple[str, int], tuple[int, int]] = {}
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._bans: dict[str, int] = {}
        self._offences: defaultdict[str, int] = defaultdict(int)
        self._connections: defaultdict[str, deque[float]] = defaultdict(deque)

    def now(self) -> int:
        return self._clock.now() if self._clock.speed == 1 else int(time.time() * 1000)

    def admit(self, ip: str, weight: int) -> dict[str, str]:
        """Count a request; its headers, or 418 while banned, or 429 beyond a limit."""
        now = self.now()
        self._check_ban(ip, now)
        headers: dict[str, str] = {}
        broken: dict[str, Any] | None = None
        for limit in self._symbols.rate_limits:
            kind = limit["rateLimitType"]
            if kind == "ORDERS":
                continue
            used = self._count(ip, limit, weight if kind == "REQUEST_WEIGHT" else 1, now)
            if kind == "REQUEST_WEIGHT":
                headers |= {"X-MBX-USED-WEIGHT": str(used), f"X-MBX-USED-WEIGHT-{_letter(limit)}": str(used)}
            if used > limit["limit"]:
                broken = limit
        if broken and self._settings.limits:
            raise self._refuse(ip, broken, headers, now)
        self._refused.pop(ip, None)
        return headers

    def _count(self, owner: str, limit: dict[str, Any], amount: int, now: int) -> int:
        key = (owner, limit["rateLimitType"], _length(limit))
        window, used = self._used.get(key, (0, 0))
        if window != now // _length(limit):
            window, used = now // _length(limit), 0
        self._used[key] = (window, used + amount)
        return used + amount

    def _refuse(self, ip: str, limit: dict[str, Any], headers: dict[str, str], now: int) -> Refusal:
        """429, or a ban for an address that goes on asking after it."""
        self._refused[ip] += 1
        if self._refused[ip] > self._settings.ban_after:
            self.ban(ip)
            self._check_ban(ip, now)
        wait = -(-(_length(limit) - now % _length(limit)) // 1000)
        what = "request weight" if limit["rateLimitType"] == "REQUEST_WEIGHT" else "raw requests"
        per = f"{limit['intervalNum']} {limit['interval']}"
        msg = f"Too much {what} used; current limit is {limit['limit']} {what} per {per}."
        return Refusal(-1003, f"{msg} {PLEASE} polling the API.", 429, {**headers, "Retry-After": str(wait)})

    def ban(self, ip: str, seconds: int | None = None) -> None:
        """Ban an address; each offence five times as long as the last, up to three days."""
        if seconds is None:
            seconds = min(self._settings.ban_seconds * 5 ** self._offences[ip], LONGEST_BAN)
        self._offences[ip] += 1
        self._refused.pop(ip, None)
        self._bans[ip] = self.now() + seconds * 1000

    def _check_ban(self, ip: str, now: int) -> None:
        if self._bans.get(ip, 0) > now:
            raise self.banned(ip)

    def banned(self, ip: str) -> Refusal:
        """What a banned address is told: 418, until when, and for how many seconds."""
        left = self._bans.get(ip, 0) - self.now()
        until = self._clock.now() + left
        msg = f"Way too much request weight used; IP banned until {until}. {PLEASE} bans."
        return Refusal(-1003, msg, 418, {"Retry-After": str(-(-left // 1000))})

    def may_connect(self, ip: str) -> bool:
        """Count an attempt to open a WebSocket; False beyond 300 in five minutes."""
        attempts, now = self._connections[ip], time.monotonic()
        while attempts and attempts[0] < now - ATTEMPT_WINDOW:
            attempts.popleft()
        attempts.append(now)
        return len(attempts) <= ATTEMPTS or not self._settings.limits

    # Orders, by account

    def take_order(self, account: str) -> dict[str, str]:
        """Count a new order; its headers, or -1015 when the account has too many unfilled ones."""
        now = self.now()
        headers: dict[str, str] = {}
        limits = [limit for limit in self._symbols.rate_limits if limit["rateLimitType"] == "ORDERS"]
        for limit in limits:
            if self._settings.limits and self.order_count(account, limit, now) >= limit["limit"]:
                per = f"{limit['intervalNum']} {limit['interval']}"
                raise Refusal(
                    -1015, f"Too many new orders; current limit is {limit['limit']} orders per {per}.", 429
                )
        for limit in limits:
            used = self.order_count(account, limit, now) + 1
            self._orders[account, _length(limit)] = (now // _length(limit), used)
            headers[f"X-MBX-ORDER-COUNT-{_letter(limit)}"] = str(used)
        return headers

    def give_back(self, account: str) -> None:
        """Count one unfilled order less: it was refused, or has traded for the first time."""
        for (owner, length), (window, used) in self._orders.items():
            if owner == account:
                self._orders[owner, length] = (window, max(0, used - 1))

    def order_count(self, account: str, limit: dict[str, Any], now: int) -> int:
        window, used = self._orders.get((account, _length(limit)), (0, 0))
        return used if window == now // _length(limit) else 0

    def order_usage(self, account: str) -> list[dict[str, Any]]:
        """As GET rateLimit/order answers."""
        now = self.now()
        limits = [limit for limit in self._symbols.rate_limits if limit["rateLimitType"] == "ORDERS"]
        return [{**limit, "count": self.order_count(account, limit, now)} for limit in limits]

    def weight_usage(self, ip: str) -> list[dict[str, Any]]:
        """As the WebSocket API shows it under rateLimits."""
        now = self.now()
        return [
            {**limit, "count": self._count(ip, limit, 0, now)}
            for limit in self._symbols.rate_limits
            if limit["rateLimitType"] == "REQUEST_WEIGHT"
        ]


def _length(limit: dict[str, Any]) -> int:
    return SECONDS[limit["interval"]] * int(limit["intervalNum"]) * 1000


def _letter(limit: dict[str, Any]) -> str:
    return f"{limit['intervalNum']}{limit['interval'][0]}"
