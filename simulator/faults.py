"""Scripted faults: what is to go wrong, for which requests or stream frames, when and how often.

A fault has a `match`, a choice among what matches (`nth`, `times`, `seconds`, `probability`) and an `action`.
Without a choice it fires for everything that matches until it is deleted. For example, an order that the
exchange takes while its answer is lost, and a candle whose close is never told:

    {"match": {"method": "POST", "path": "/api/v3/order"}, "nth": 1, "when": "after", "action": {"reset": true}}
    {"match": {"stream": "btcusdt@kline_4h"}, "times": 1, "action": {"stream": "missing_close"}}
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

MATCHES = frozenset({"method", "path", "symbol", "channel", "stream"})
CHOICES = frozenset({"nth", "times", "seconds", "probability", "seed", "when"})
ANSWERS = frozenset({"status", "code", "msg", "body", "html", "truncate"})
REST_ACTIONS = ANSWERS | {"headers", "reset", "silence", "delay", "clock_offset_ms", "ban"}
NUMBERS = frozenset({"status", "code", "silence", "delay", "clock_offset_ms", "ban"})
CONNECTION_FAULTS = frozenset({"close", "reset", "half_open", "silent", "server_shutdown"})
FRAME_FAULTS = frozenset({"duplicate", "out_of_order", "missing", "missing_close", "garbage"})
GOING_AWAY = 1001
STREAM_ACTIONS = CONNECTION_FAULTS | FRAME_FAULTS | {"refuse"}


@dataclass
class Fault:
    """One scripted fault and how often it met and hit."""

    id: int
    match: dict[str, str]
    action: dict[str, Any]
    choice: dict[str, Any]
    since: float = field(default_factory=time.monotonic)
    matched: int = 0
    fired: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.choice.get("seed", self.id))

    @property
    def when(self) -> str:
        return str(self.choice.get("when", "before"))

    @property
    def stream(self) -> str | None:
        """What is to happen to streams; None for a fault of requests."""
        return self.action.get("stream")

    def meets(self, facts: dict[str, str]) -> bool:
        """Whether every condition holds; each may use * and ?, letters count as they are."""
        return all(fnmatchcase(facts.get(name, ""), wanted) for name, wanted in self.match.items())

    def fires(self) -> bool:
        """Count a match and say whether it is one of those that go wrong."""
        self.matched += 1
        return self.hits(self.matched)

    def hits(self, ordinal: int) -> bool:
        """Whether the fault strikes at its nth match; counted when it does."""
        choice = self.choice
        hit = choice.get("nth") in (None, ordinal)
        hit = hit and self.fired < choice.get("times", self.fired + 1)
        hit = hit and time.monotonic() - self.since <= choice.get("seconds", float("inf"))
        hit = hit and ("probability" not in choice or self._chance.random() < choice["probability"])
        self.fired += hit
        return bool(hit)

    def view(self) -> dict[str, Any]:
        counts = {"matched": self.matched, "fired": self.fired}
        return {"id": self.id, "match": self.match, **self.choice, "action": self.action, **counts}


@dataclass(frozen=True)
class Arrival:
    """A request, and how many like it each fault has met with it."""

    met: list[tuple[Fault, int]]

    def fire(self, when: str) -> Fault | None:
        """The first fault that strikes the request before or after the exchange takes it."""
        for fault, ordinal in self.met:
            if fault.when == when and fault.hits(ordinal):
                return fault
        return None


class Faults:
    """All scripted faults, oldest first."""

    def __init__(self) -> None:
        self._next = 1
        self.active: list[Fault] = []

    def add(self, script: dict[str, Any]) -> Fault:
        """Take up a fault; ValueError with a sentence when the script cannot be understood."""
        unknown = set(script) - {"match", "action"} - CHOICES
        match, action = script.get("match", {}), script.get("action")
        if unknown or not isinstance(match, dict) or set(match) - MATCHES:
            raise ValueError(
                f"a fault has match ({', '.join(sorted(MATCHES))}), action and {', '.join(sorted(CHOICES))}"
            )
        _check_action(action)
        if script.get("when", "before") not in ("before", "after"):
            raise ValueError('"when" is "before" or "after" the exchange took the request')
        choice = {name: script[name] for name in script if name in CHOICES}
        _check_numbers({name: value for name, value in choice.items() if name != "when"})
        fault = Fault(self._next, {k: str(v) for k, v in match.items()}, dict(action or {}), choice)
        self._next += 1
        self.active.append(fault)
        return fault

    def remove(self, number: int | None) -> None:
        """Forget one fault, or all."""
        self.active = [f for f in self.active if number is not None and f.id != number]

    def clear(self) -> None:
        self.remove(None)

    def view(self) -> list[dict[str, Any]]:
        return [fault.view() for fault in self.active]

    def arrive(self, facts: dict[str, str]) -> Arrival:
        """Count a request with every fault that it meets, whichever of them fires in the end."""
        met = [fault for fault in self.active if fault.stream is None and fault.meets(facts)]
        for fault in met:
            fault.matched += 1
        return Arrival([(fault, fault.matched) for fault in met])

    def for_stream(self, facts: dict[str, str], kinds: frozenset[str]) -> Fault | None:
        """The first fault of some kinds that fires for a stream, a frame or a connection."""
        for fault in self.active:
            if fault.stream in kinds and fault.meets(facts) and fault.fires():
                return fault
        return None


def _may_be_sent(code: int) -> bool:
    """Whether a close frame may carry the code (RFC 6455, 7.4): 1004 to 1006 and 1015 may not."""
    return 1000 <= code <= 4999 and code not in (1004, 1005, 1006, 1015)


def _check_action(action: Any) -> None:
    if not isinstance(action, dict) or not action:
        raise ValueError(f"a fault needs an action: one of {', '.join(sorted(REST_ACTIONS))} or stream")
    if "stream" in action:
        if action["stream"] not in STREAM_ACTIONS or set(action) - {"stream", "status", "code"}:
            raise ValueError(f"a stream fault is one of {', '.join(sorted(STREAM_ACTIONS))}")
        code = action.get("code", GOING_AWAY)
        if action["stream"] == "close" and not (isinstance(code, int) and _may_be_sent(code)):
            raise ValueError(f"a socket is closed with a code from 1000 to 4999 that may be sent, not {code}")
    elif set(action) - REST_ACTIONS:
        raise ValueError(f"an action is made of {', '.join(sorted(REST_ACTIONS))}")
    _check_numbers({name: action[name] for name in NUMBERS & action.keys()})


def _check_numbers(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{name!r} must be a number, not {value!r}")
