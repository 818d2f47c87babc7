"""What an endpoint is: its path, who may call it, what it weighs, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.accounts import Account
from simulator.errors import Refusal
from simulator.exchange import Exchange
from simulator.params import Params

NONE, KEYED, USER_DATA, TRADE = "NONE", "KEYED", "USER_DATA", "TRADE"
ALWAYS_KNOWN = frozenset({"timestamp", "recvWindow", "signature"})


@dataclass
class Call:
    """One request that is being answered."""

    exchange: Exchange
    params: Params
    now: int
    ip: str
    headers: dict[str, str] = field(default_factory=dict)
    owner: Account | None = None
    repeated: bool = False
    clock_offset: int = 0

    @property
    def told_time(self) -> int:
        """The time that the exchange shows and judges timestamps by: its clock, unless that is made wrong."""
        return self.exchange.clock.now() + self.clock_offset

    @property
    def account(self) -> Account:
        assert self.owner is not None, "only signed endpoints have an account"
        return self.owner


Weight = int | Callable[[Params], int]
Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """One method and path; `answer` returns what JSON can carry, or bytes that are JSON already."""

    method: str
    path: str
    security: str
    weight: Weight
    answer: Handler
    known: frozenset[str]

    def weigh(self, params: Params) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(params)

    def check_known(self, params: Params) -> None:
        """-1101 or -1104 when parameters were sent that the endpoint does not read."""
        sent = set(params.values)
        if not self.path.startswith("/api/"):
            return  # the services next door are not so strict
        known = self.known | ALWAYS_KNOWN if self.security in (USER_DATA, TRADE) else self.known
        if sent <= known:
            return
        if not known:
            raise Refusal(-1101, f"Too many parameters; expected '0' and received '{len(sent)}'.")
        read = len(sent & known)
        raise Refusal(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'.",
        )


class Registry:
    """The endpoints by method and path."""

    def __init__(self) -> None:
        self.by_route: dict[tuple[str, str], Endpoint] = {}

    def add(
        self, method: str, path: str, security: str, weight: Weight, known: str = ""
    ) -> Callable[[Handler], Handler]:
        """Decorate the function that answers a path; `known` lists its parameters."""

        def register(answer: Handler) -> Handler:
            names = frozenset(known.split())
            self.by_route[method, path] = Endpoint(method, path, security, weight, answer, names)
            return answer

        return register


registry = Registry()
