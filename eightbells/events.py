"""Events that a person may attach actions to: published once what they tell of is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CANDLES_VALIDATED = "eightbells.candles.validated"
ORDER_FILLED = "eightbells.order.filled"


@dataclass(frozen=True)
class Event:
    """Something that has happened.

    Args:
        name: one of the constants above.
        subject: what it happened to, such as `order.12`.
        title: the subject in words.
        labels: what an automation may choose events by.
        facts: everything else; only what JSON has, amounts as text.
        flow_run: id of the run that it happened in.
    """

    name: str
    subject: str
    title: str
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    flow_run: str | None = None


Listener = Callable[[Event], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Let this process's events go to a listener, in place of the one before. It must return at once."""
    global _listener
    _listener = listener


def publish(event: Event) -> None:
    """Hand an event to the listener, if there is one. Raises nothing: what is committed does not depend on it."""
    if _listener is None:
        return
    try:
        _listener(event)
    except Exception:
        logging.getLogger(__name__).exception(
            "event %s of %s could not be published", event.name, event.subject
        )
