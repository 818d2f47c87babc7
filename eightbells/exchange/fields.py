"""Fields of an exchangeInfo entry, read strictly: a rule that cannot be read must not pass for no rule."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

PRECISION = 8  # digits after the point, where an entry does not state them
_MOST_DIGITS = 18


class RulesUnreadable(ValueError):
    """An entry of exchangeInfo is not what it must be; the text names the field and what stands there."""


def filters_of(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The filters of an entry by type."""
    found: dict[str, Mapping[str, Any]] = {}
    listed = entry.get("filters")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise _odd("filters", listed)
    for item in listed:
        kind = word(item, "filterType")
        if found.setdefault(kind, item) != item:
            raise RulesUnreadable(f"exchangeInfo lists the filter {kind} twice")
    return found


def word(entry: Mapping[str, Any], name: str) -> str:
    """A text that is not empty."""
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise _odd(name, value)
    return value


def words(entry: Mapping[str, Any], name: str) -> frozenset[str]:
    """A list of texts that is not empty."""
    value = entry.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise _odd(name, value)
    return frozenset(value)


def number(entry: Mapping[str, Any], name: str) -> Decimal:
    """A number of 0 or more, as a text or a JSON number; 0, which is no rule, where the field is missing."""
    value = entry.get(name, "0")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _odd(name, value, entry)
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        raise _odd(name, value, entry) from None
    if not read.is_finite() or read < 0 or not -30 <= read.adjusted() <= 30:
        raise _odd(name, value, entry)
    return read


def flag(entry: Mapping[str, Any], name: str) -> bool:
    """True or false; false where the field is missing."""
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise _odd(name, value, entry)
    return value


def smallest_unit(entry: Mapping[str, Any], name: str) -> Decimal:
    """The smallest amount of an asset that has so many digits after the point."""
    digits = number({name: PRECISION, **entry}, name)
    if digits != int(digits) or digits > _MOST_DIGITS:
        raise _odd(name, entry[name])
    return Decimal(1).scaleb(-int(digits))


def _odd(name: str, value: object, of: Mapping[str, Any] | None = None) -> RulesUnreadable:
    place = f"{of['filterType']}.{name}" if of and isinstance(of.get("filterType"), str) else name
    stands = "null or missing" if value is None else str(value)[:60]
    return RulesUnreadable(f"exchangeInfo cannot be read: {place} is {stands}")
