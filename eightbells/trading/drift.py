"""Drift: one disagreement between the exchange and the books. Its identity is data; words are rendered from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, text

from eightbells.errors import EightbellsError


class Reason(StrEnum):
    """In what the exchange and the books differ; sql/ allows the same reasons."""

    DUPLICATE_ORDER = "duplicate_order"
    UNKNOWN_ORDER = "unknown_order"
    ORDER_STATE = "order_state"
    UNKNOWN_STATUS = "unknown_status"
    EXECUTED_QUANTITY = "executed_quantity"
    BALANCE = "balance"
    OTHER = "other"


_WORDS = {
    Reason.DUPLICATE_ORDER: "the exchange has {times} orders named {client_order_id}",
    Reason.UNKNOWN_ORDER: "order {client_order_id} is at the exchange and not in the books",
    Reason.ORDER_STATE: "order {client_order_id} is {exchange} at the exchange and {books} in the books",
    Reason.UNKNOWN_STATUS: "order {client_order_id} is {exchange} at the exchange, a status that is not known",
    Reason.EXECUTED_QUANTITY: "order {client_order_id}: {exchange} executed at the exchange, {books} booked",
    Reason.BALANCE: "{books} {asset} in the books, {exchange} at the exchange",
    Reason.OTHER: "{detail}",
}


@dataclass(frozen=True)
class Drift:
    """One disagreement. While it is open, its symbol is not traded.

    Args:
        facts: what differs, by name; quantities as plain decimals.
        exchange_order_id: the order that differs; None for a balance.
        id: of its row, once it has one.
    """

    symbol: str
    reason: Reason
    facts: Mapping[str, str]
    exchange_order_id: int | None = None
    id: int | None = field(default=None, compare=False)

    @property
    def detail(self) -> str:
        """The disagreement in words."""
        number = "" if self.exchange_order_id is None else f" (exchange order {self.exchange_order_id})"
        return _WORDS[self.reason].format_map(self.facts) + number

    @property
    def line(self) -> str:
        """The disagreement as a problem among others."""
        return f"{self.symbol}: {self.detail}"

    def described(self) -> dict[str, object]:
        """The drift as `--json` shows it."""
        return {**vars(self), "facts": dict(self.facts), "detail": self.detail}


def unknown_status(symbol: str, client_order_id: str, status: str, number: int) -> Drift:
    """The drift of an order whose status at the exchange is not known: neither side can be right."""
    return Drift(
        symbol,
        Reason.UNKNOWN_STATUS,
        {"client_order_id": client_order_id, "exchange": status},
        number,
    )


def unbookable(symbol: str, client_order_id: str, why: str, number: int) -> Drift:
    """The drift of an order of which the exchange says what cannot be."""
    return Drift(symbol, Reason.OTHER, {"detail": f"order {client_order_id} cannot be booked: {why}"}, number)


def unreadable(symbol: str, what: str, why: str) -> Drift:
    """The drift of a symbol of which an answer of the exchange holds something that cannot be read."""
    return Drift(symbol, Reason.OTHER, {"detail": f"{what} cannot be read: {why}"})


_COLUMNS = "symbol, reason, facts, exchange_order_id, id"


def open_drifts(connection: Connection, account: str) -> list[Drift]:
    """The account's open drifts, oldest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM open_drifts WHERE account = :account ORDER BY id"), {"account": account}
    )
    return [_drift(row) for row in rows]


def blocked_symbols(connection: Connection, account: str) -> dict[str, str]:
    """The symbols that drift keeps from being traded, each with its oldest drift in words."""
    found: dict[str, str] = {}
    for drift in open_drifts(connection, account):
        found.setdefault(drift.symbol, f"the exchange and the books do not agree: {drift.detail}")
    return found


def doubtful(connection: Connection, account: str) -> list[Drift]:
    """The open drifts of orders whose status at the exchange is not known."""
    return [it for it in open_drifts(connection, account) if it.reason is Reason.UNKNOWN_STATUS]


def accepted(connection: Connection, account: str) -> list[Drift]:
    """Disagreements that a person accepted. Another one about the same order is not among them."""
    rows = connection.execute(
        text(
            "SELECT d.symbol, d.reason, d.facts, d.exchange_order_id, d.id FROM drifts AS d "
            "INNER JOIN drift_acceptances AS a ON a.drift_id = d.id WHERE d.account = :account"
        ),
        {"account": account},
    )
    return [_drift(row) for row in rows]


def require_open(connection: Connection, account: str, number: int, *, lock: bool = False) -> Drift:
    """The open drift of that number, its row locked on request.

    Raises:
        EightbellsError: there is no such drift, or it is over.
    """
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS}, cleared_at FROM drifts WHERE account = :account AND id = :id"
            + (" FOR UPDATE" if lock else "")
        ),
        {"account": account, "id": number},
    ).one_or_none()
    if row is None:
        raise EightbellsError(f"there is no drift {number}: `eightbells reconcile` lists the open ones")
    if row.cleared_at is not None:
        raise EightbellsError(
            f"drift {number} ({row.symbol}) is over: it was cleared at {row.cleared_at:%Y-%m-%d %H:%M} UTC"
        )
    return _drift(row)


def clear(connection: Connection, number: int, at: datetime) -> None:
    """End one drift."""
    connection.execute(text("UPDATE drifts SET cleared_at = :at WHERE id = :id"), {"id": number, "at": at})


def begin(connection: Connection, account: str, drift: Drift, at: datetime) -> None:
    """Open a drift; one that is open stays as it is."""
    connection.execute(
        text(
            "INSERT INTO drifts (account, symbol, reason, facts, exchange_order_id, found_at) VALUES "
            "(:account, :symbol, :reason, CAST(:facts AS jsonb), :number, :at) ON CONFLICT DO NOTHING"
        ),
        {
            "account": account,
            "symbol": drift.symbol,
            "reason": drift.reason,
            "facts": json.dumps(dict(drift.facts)),
            "number": drift.exchange_order_id,
            "at": at,
        },
    )


def keep(
    connection: Connection,
    account: str,
    found: Iterable[Drift],
    seen: Collection[tuple[str, int]],
    at: datetime,
) -> list[Drift]:
    """Open what is new and clear what is gone; returns what was found, with the rows' ids.

    Args:
        seen: symbol and number of each order that was looked at: the drift of another order stays open.
    """
    found = list(found)
    for drift in found:
        begin(connection, account, drift, at)
    kept = []
    for drift in open_drifts(connection, account):
        looked_at = drift.exchange_order_id is None or (drift.symbol, drift.exchange_order_id) in seen
        if drift in found:
            kept.append(drift)
        elif looked_at and drift.id is not None:
            clear(connection, drift.id, at)
    return kept


def _drift(row: Row[tuple[object, ...]]) -> Drift:
    return Drift(row.symbol, Reason(row.reason), row.facts, row.exchange_order_id, row.id)
