"""Named points on the way of a run, at any of which its process can be stopped or killed.

They are set from outside: around every commit, named by the function that owns the transaction, around every request,
and around what writes orders and fills. A point that is passed again carries a number: `commit _record, done #2`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from sqlalchemy.engine.default import DefaultDialect

from eightbells.exchange.gateway import Gateway
from eightbells.trading import ledger, outbox, permission
from tests.surroundings import ROOT

_OWNERS = tuple(str(ROOT / room) for room in ("eightbells", "orchestration", "tasks", "flows"))
_BY_TIME = ("_renew",)  # passes whenever a quarter of a lease is over: the same run has it here or there
_WRITERS = (
    (outbox, ("plan", "plan_again", "move", "note_exchange")),
    (permission, ("begin_sending",)),
    (ledger, ("book", "save_balances")),
)
_endpoint: ContextVar[str] = ContextVar("_endpoint", default="")


class Points:
    """Counts the points of this process, and acts at one: chosen by its name, or as the so-manieth of all."""

    def __init__(self, target: str | int | None = None, act: int = signal.SIGKILL) -> None:
        self.passed: list[str] = []
        self.armed = False
        self._target, self._act = target, act
        self._times: Counter[str] = Counter()

    def is_next(self, name: str) -> bool:
        """Whether the coming point of that name is the one to act at."""
        return self.armed and self._target in (self._numbered(name, 1), len(self.passed))

    def reach(self, name: str) -> None:
        if not self.armed:
            return
        acts = self.is_next(name)
        self.passed.append(self._numbered(name, 1))
        self._times[name] += 1
        if acts:
            # To this thread: another one would take a process' signal when it next runs, and we would go on till then.
            signal.pthread_kill(threading.get_ident(), self._act)

    def _numbered(self, name: str, more: int) -> str:
        number = self._times[name] + more
        return name if number == 1 else f"{name} #{number}"


def install(points: Points) -> None:
    """Set the points for the rest of this process."""
    _around_commits(points)
    _around_requests(points)
    for module, names in _WRITERS:
        for name in names:
            setattr(module, name, _around(points, getattr(module, name)))


def _around_commits(points: Points) -> None:
    commit = DefaultDialect.do_commit

    def do_commit(dialect: DefaultDialect, connection: Any) -> None:
        owner = _owner()
        if owner in _BY_TIME:
            return commit(dialect, connection)
        points.reach(f"commit {owner}, due")
        commit(dialect, connection)
        points.reach(f"commit {owner}, done")

    DefaultDialect.do_commit = do_commit


def _owner() -> str:
    """The product's function in whose transaction we are."""
    frame = inspect.currentframe()
    while frame is not None and not frame.f_code.co_filename.startswith(_OWNERS):
        frame = frame.f_back
    return frame.f_code.co_name if frame else "?"


def _around_requests(points: Points) -> None:
    request, permit, start = Gateway._request, Gateway.permit_order, aiohttp.ClientResponse.start

    async def _request(
        gateway: Gateway, endpoint: str, weight: int, budget: str | None, ask: Callable[[], Awaitable[Any]]
    ) -> Any:
        async def asked() -> Any:
            points.reach(f"{endpoint}, not sent")
            named = _endpoint.set(endpoint)
            try:
                answer = await ask()
            except Exception:
                points.reach(f"{endpoint}, failed")
                raise
            finally:
                _endpoint.reset(named)
            points.reach(f"{endpoint}, answered")
            return answer

        if weight:
            points.reach(f"{endpoint}, no permit")
        return await request(gateway, endpoint, weight, budget, asked)

    async def permit_order(gateway: Gateway, count: int = 1) -> None:
        points.reach("order.place, no permit")
        await permit(gateway, count)
        points.reach("order.place, permitted")

    async def _start(response: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        name = f"{_endpoint.get()}, on the wire"
        if points.is_next(name):
            await asyncio.sleep(0.02)  # until the bytes have left; nothing of the answer is read yet
        points.reach(name)
        return await start(response, connection)

    Gateway._request, Gateway.permit_order = _request, permit_order  # type: ignore[method-assign]
    aiohttp.ClientResponse.start = _start  # type: ignore[method-assign]


def _around(points: Points, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        name = function.__name__
        if name == "move":
            name = f"move to {args[2]}"
        value = function(*args, **kwargs)
        points.reach(f"{name}, done")
        return value

    return watched
