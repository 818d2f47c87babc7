"""A request's parameters, read with Binance's checks and refused in its words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal

from simulator import errors

NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER = r"^[0-9]{1,20}$"
SYMBOL = r"^(?:(?![a-z])[\w.-]){1,50}$"  # letters of any script
LEGAL_SYMBOL = r"^[\w\-._&&[^a-z]]{1,50}$"  # the same, as the exchange says it
CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"
PRECISION = 8
TIMES = ("startTime", "endTime")
MICROSECONDS = 10**14  # times above are given in microseconds


class Params:
    """Parameters by name; the first of a name counts."""

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        self.values: dict[str, str] = {}
        for name, value in pairs:
            self.values.setdefault(name, value)

    def text(self, name: str, pattern: str | None = None) -> str | None:
        """A parameter, None when it was not sent; -1105 when empty, -1100 when outside the pattern."""
        value = self.values.get(name)
        if value is None:
            return None
        if value == "":
            raise errors.Refusal(-1105, f"Parameter '{name}' was empty.")
        if pattern and not re.fullmatch(pattern, value):
            raise errors.illegal(name, pattern)
        return value

    def need(self, name: str, pattern: str | None = None) -> str:
        """A mandatory parameter; -1102 when it was not sent or is empty."""
        if not self.values.get(name):
            raise errors.missing(name)
        return str(self.text(name, pattern))

    def symbol(self) -> str:
        self.need("symbol")
        return str(self._one())

    def symbols(self) -> list[str] | None:
        """The names in `symbols` (a JSON list) or `symbol`; None when neither was sent."""
        many, one = self.text("symbols"), self._one()
        if many is not None and one is not None:
            raise errors.Refusal(-1128, "Combination of optional parameters invalid.")
        if many is None:
            return None if one is None else [one]
        try:
            names = json.loads(many)
        except ValueError:
            names = None
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(n, str) and _is_symbol(n) for n in names)
        ):
            raise errors.illegal("symbols", r'^\["[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}\]$')
        if len(set(names)) != len(names):
            raise errors.Refusal(-1151, "Symbol is present multiple times in the list.")
        return names

    def _one(self) -> str | None:
        name = self.text("symbol")
        if name is not None and not _is_symbol(name):
            raise errors.illegal("symbol", LEGAL_SYMBOL)
        return name

    def integer(self, name: str) -> int | None:
        value = self.text(name, INTEGER)
        if value is not None and int(value) >= 2**63:
            raise errors.Refusal(-1108, f"Parameter '{name}' overflowed.")
        if value is not None and name in TIMES and int(value) > MICROSECONDS:
            return int(value) // 1000
        return None if value is None else int(value)

    def limit(self, default: int = 500, most: int = 1000) -> int:
        """How many rows are wanted, at most `most`; -1130 for none."""
        value = self.integer("limit")
        if value == 0:
            raise errors.not_valid("limit")
        return default if value is None else min(value, most)

    def amount(self, name: str) -> Decimal | None:
        """A price or quantity, exactly; -1100 for anything but plain digits, -1111 beyond eight decimals."""
        value = self.text(name, NUMBER)
        if value is None:
            return None
        if len(value.partition(".")[2].rstrip("0")) > PRECISION:
            raise errors.Refusal(-1111, f"Parameter '{name}' has too much precision.")
        return Decimal(value)

    def client_id(self, name: str) -> str | None:
        return self.text(name, CLIENT_ID)

    def choice(self, name: str, choices: Iterable[str], refusal: errors.Refusal) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise refusal
        return value

    def flag(self, name: str) -> bool:
        return self.values.get(name, "").lower() == "true"


def _is_symbol(name: str) -> bool:
    return re.fullmatch(SYMBOL, name) is not None
