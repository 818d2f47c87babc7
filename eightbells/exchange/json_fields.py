"""Fields and lists of the exchange's JSON answers, read strictly: exact decimals, times in ms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from eightbells.candles.klines import RowsText
from eightbells.exchange.answers import UnreadableAnswer, shown

T = TypeVar("T")
Entry = Mapping[str, Any]

_AMOUNT = re.compile(r"[0-9]{1,25}(\.[0-9]{1,25})?")
_END_OF_TIME_MS = 253_402_300_800_000  # the year 10000
_LARGEST = 2**63


@dataclass(frozen=True)
class Odd:
    """An entry of a list that cannot be read: the symbol or asset that it names, empty where it names none, and why."""

    name: str
    why: str


class Readable(list[T]):
    """What of a list could be read; `odd` is the rest. One bad entry keeps no other from being used."""

    def __init__(self, found: Iterable[T] = (), odd: Iterable[Odd] = ()) -> None:
        super().__init__(found)
        self.odd = list(odd)


def readable(read: Callable[[object], T], name: str) -> Callable[[object], Readable[T]]:
    """Read a JSON list, and set aside the entries that cannot be read.

    Args:
        name: the field that says what an entry is about.
    """

    def read_all(answer: object) -> Readable[T]:
        found = Readable[T]()
        for entry in a_list(answer):
            try:
                found.append(read(entry))
            except UnreadableAnswer as error:
                named = entry.get(name) if isinstance(entry, dict) else None
                found.odd.append(Odd(named if isinstance(named, str) else "", error.why))
        return found

    return read_all


def an_object(answer: object) -> dict[str, Any]:
    """An answer that must be a JSON object."""
    if not isinstance(answer, dict):
        raise UnreadableAnswer("the answer is no JSON object")
    return answer


def some_rows(answer: object) -> Sequence[Any]:
    """An answer that must be rows of klines, or a JSON list."""
    return answer if isinstance(answer, RowsText) else a_list(answer)


def a_list(answer: object) -> list[Any]:
    """An answer that must be a JSON list."""
    if not isinstance(answer, list):
        raise UnreadableAnswer("the answer is no JSON list")
    return answer


def each(read: Callable[[object], T]) -> Callable[[object], list[T]]:
    """Read a JSON list, entry by entry; an entry that cannot be read is named by its place."""

    def read_all(answer: object) -> list[T]:
        found = []
        for place, entry in enumerate(a_list(answer)):
            try:
                found.append(read(entry))
            except UnreadableAnswer as error:
                raise UnreadableAnswer(f"entry {place + 1}: {error.why}") from None
        return found

    return read_all


def need(entry: Entry, name: str, read: Callable[[object], T]) -> T:
    """A field that the caller cannot do without. Raises UnreadableAnswer, which names it."""
    value = entry.get(name)
    try:
        return read(value)
    except ValueError:
        stands = "null or missing" if value is None else shown(repr(value))[:60]
        raise UnreadableAnswer(f"{name} is {stands}") from None


def may(entry: Entry, name: str, read: Callable[[object], T]) -> T | None:
    """A field that only informs; None where it is missing or odd."""
    try:
        return read(entry.get(name))
    except ValueError:
        return None


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def whole(value: object) -> int:
    """A whole number of 64 bits, also where it comes as a text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    number = int(value)
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError
    return number


def amount(value: object) -> Decimal:
    """An amount of 0 or more. A JSON number with a point is refused: what was read of it need not be exact."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not _AMOUNT.fullmatch(str(value)):
        raise ValueError
    return Decimal(value)


def milliseconds(value: object) -> int:
    """A time in ms since 1970, before the year 10000."""
    moment = whole(value)
    if not 0 <= moment < _END_OF_TIME_MS:
        raise ValueError
    return moment
