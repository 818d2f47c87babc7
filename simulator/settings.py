"""What can be changed while the simulator runs, over POST /simulator/settings."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any


@dataclass
class Settings:
    """How awkward the exchange is at the moment; times in exchange time unless said otherwise."""

    visibility_ms: int = 0  # queries do not know an order or trade that is younger
    taker_fraction: Decimal = Decimal(1)  # share of an order that can be filled on arrival
    fill_parts: int = 1  # trades that an order is filled in
    fill_gap_ms: int = 1000  # between two parts of a resting order
    slippage_ticks: int = 0  # each further part of a taker is worse by so many ticks
    deep_book: bool = False  # an account's orders meet only where the last price has reached them
    limits: bool = True  # weights, order counts, bans
    ban_after: int = 10  # requests that may follow a 429 in its window before the address is banned
    ban_seconds: int = 120  # the first ban; each further one is five times as long, to 3 days
    clock_tolerance_ms: int = (
        0  # by which timestamps may miss their window: in compressed time a request's way is long
    )
    stream_interval: float = (
        2.0  # real seconds between two updates of a kline; other streams keep their share of it
    )
    ping_interval: float = 20.0  # real seconds between two pings
    delist_schedule: list[dict[str, Any]] = field(
        default_factory=list
    )  # as /sapi/v1/spot/delist-schedule answers
    connection_seconds: float = 86400.0  # a stream connection is ended after so many seconds of exchange time

    def change(self, changes: dict[str, Any]) -> None:
        """Take over values by name; ValueError with a sentence for a name or value that does not fit."""
        known = {f.name: f.type for f in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}; there are {', '.join(sorted(known))}")
            setattr(self, name, _convert(name, known[name], value))

    def view(self) -> dict[str, Any]:
        """All values, as JSON can carry them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _convert(name: str, kind: Any, value: Any) -> Any:
    try:
        if kind == "bool":
            if not isinstance(value, bool):
                raise ValueError
            return value
        if str(kind).startswith("list"):
            if not isinstance(value, list):
                raise ValueError
            return value
        number = Decimal(str(value))
        if not number.is_finite() or number < 0 or isinstance(value, bool):
            raise ValueError
        if kind == "Decimal":
            return number
        return float(number) if kind == "float" else int(number)
    except (ValueError, InvalidOperation):
        raise ValueError(f"setting {name!r} cannot be {value!r}: it is a {kind}") from None
