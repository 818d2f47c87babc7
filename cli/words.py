"""How lengths of time and amounts read on the terminal."""

from __future__ import annotations

from decimal import Decimal


def span(seconds: float) -> str:
    """A length of time to two parts: `3 h 5 min`; of days from a week on, the days alone."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days >= 7:
        return f"{days:,} days"
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2]) or "0 s"


def money(amount: Decimal, asset: str = "") -> str:
    """An amount of a quote asset: cents, and of less than one the first digits that are not zero."""
    places = 2 if not amount or abs(amount) >= 1 else min(8, max(2, 1 - amount.adjusted()))
    return f"{amount:,.{places}f} {asset}".rstrip()
