"""Times in microseconds, for clients that ask for them: X-MBX-TIME-UNIT over REST, timeUnit in a WebSocket's URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator.errors import Refusal
from simulator.wire import dump

UNITS = {"MILLISECOND": False, "millisecond": False, "MICROSECOND": True, "microsecond": True}
TIMES = frozenset(
    (
        *("serverTime", "time", "updateTime", "transactTime", "workingTime", "trailingTime", "openTime"),
        *("closeTime", "transactionTime", "timestamp", "T", "authorizedSince", "connectedSince"),
    )
)
EVENT_TIMES = frozenset("ETOCWD")
FURTHER_TIMES = {"referencePrice": "t", "outboundAccountPosition": "u"}
KLINES = ("klines", "uiKlines")


def wanted(unit: str | None) -> bool:
    """Whether a client wants microseconds; -1194 for a unit that there is not."""
    if unit is None:
        return False
    if unit not in UNITS:
        msg = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
        raise Refusal(-1194, msg)
    return UNITS[unit]


def of_answer(answer: Any, name: str) -> Any:
    """An endpoint's answer with its times in microseconds; `name` is the last part of its path or method."""
    content = json.loads(answer) if isinstance(answer, bytes) else answer
    if name.rpartition("/")[2] in KLINES:
        return [[row[0] * 1000, *row[1:6], _end(row[6]), *row[7:]] for row in content]
    return _converted(content, TIMES.__contains__)


def of_event(event: str) -> str:
    """A stream's event with its times in microseconds."""
    return dump(_of_event(json.loads(event)))


def _of_event(event: Any) -> Any:
    if isinstance(event, list):
        return [_of_event(each) for each in event]
    further = FURTHER_TIMES.get(event.get("e"), "")
    content = _converted(event, lambda name: name in EVENT_TIMES or name == further)
    if "k" in event and isinstance(event["k"], dict):
        content["k"] = event["k"] | {"t": event["k"]["t"] * 1000, "T": _end(event["k"]["T"])}
    return content


def _end(time: int) -> int:
    """The last microsecond of a last millisecond."""
    return time * 1000 + 999


def _converted(content: Any, is_time: Callable[[str], bool]) -> Any:
    if isinstance(content, list):
        return [_converted(each, is_time) for each in content]
    if not isinstance(content, dict):
        return content
    return {
        name: value * 1000
        if is_time(name) and isinstance(value, int) and not isinstance(value, bool) and value > 0
        else _converted(value, is_time)
        for name, value in content.items()
    }
