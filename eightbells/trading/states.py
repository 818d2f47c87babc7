"""The states of an order and the ways between them; sql/ enforces the same ones."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an order stands in our books."""

    PLANNED = "PLANNED"  # decided and committed, not sent
    SENDING = "SENDING"  # committed with the timestamp of its request, perhaps on the wire
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"  # by our own rules, or no longer wanted; nothing was sent
    REJECTED = "REJECTED"  # the exchange certainly did not execute it
    UNKNOWN = "UNKNOWN"  # to be asked until it is known
    ABSENT = "ABSENT"  # proven never to have been accepted


S = State
_CLOSED_BY_EXCHANGE = frozenset({S.FILLED, S.CANCELED, S.EXPIRED})
TRANSITIONS: dict[State, frozenset[State]] = {
    S.PLANNED: frozenset({S.SENDING, S.DENIED}),
    S.SENDING: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.REJECTED, S.UNKNOWN}) | _CLOSED_BY_EXCHANGE,
    S.UNKNOWN: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.ABSENT}) | _CLOSED_BY_EXCHANGE,
    S.OPEN: frozenset({S.PARTIALLY_FILLED}) | _CLOSED_BY_EXCHANGE,
    S.PARTIALLY_FILLED: _CLOSED_BY_EXCHANGE,
}
IN_FLIGHT = frozenset({S.SENDING, S.UNKNOWN})
# The `action` of the event that denies an order which nobody wanted any more, or which a process left unsent when it
# died: nobody has refused anything.
TAKEN_BACK = "taken back"
LIVE = frozenset({S.PLANNED, S.OPEN, S.PARTIALLY_FILLED}) | IN_FLIGHT

_OF_EXCHANGE = {
    "NEW": S.OPEN,
    "PENDING_NEW": S.OPEN,
    "PENDING_CANCEL": S.OPEN,
    "PARTIALLY_FILLED": S.PARTIALLY_FILLED,
    "FILLED": S.FILLED,
    "CANCELED": S.CANCELED,
    "REJECTED": S.EXPIRED,
    "EXPIRED": S.EXPIRED,
    "EXPIRED_IN_MATCH": S.EXPIRED,
}


def of_exchange(status: str) -> State | None:
    """Our state for the exchange's order status; None for one that is not known: the order may be live or over."""
    return _OF_EXCHANGE.get(status)
