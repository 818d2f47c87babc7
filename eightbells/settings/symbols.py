"""Names of symbols as people write them: BTCUSDT, btcusdt, BTC/USDT. Each becomes the exchange's own name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from eightbells.errors import EightbellsError

_NAME = re.compile(r"[\w.]{1,50}")  # \w: names such as 币安人生USDT are legal
_SEPARATED = re.compile(r"([\w.]+)[/_-]([\w.]+)")  # other programs write BTC/USDT, BTC-USDT and BTC_USDT
_LONGEST_SHOWN = 40


class Several(ValueError):
    """More than one mistake in a value, each with its place inside of it."""

    def __init__(self, found: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = found


def normal(symbol: str) -> str:
    """The exchange's name of a symbol.

    Raises:
        ValueError: it cannot be the name of one.
    """
    name = symbol.strip().upper()
    if separated := _SEPARATED.fullmatch(name):
        name = separated[1] + separated[2]
    if not _NAME.fullmatch(name):
        raise ValueError(f"{symbol[:_LONGEST_SHOWN]!r} is not a symbol: write it as BTCUSDT")
    return name


def normal_asset(asset: str) -> str:
    """The exchange's name of an asset.

    Raises:
        ValueError: it cannot be the name of one.
    """
    name = asset.strip().upper()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{asset[:_LONGEST_SHOWN]!r} is not an asset: write it as USDT")
    return name


def chosen(symbols: Iterable[str]) -> list[str]:
    """The symbols that a person chose for one run, each once.

    Raises:
        EightbellsError: one cannot be the name of a symbol.
    """
    try:
        return once(normal(symbol) for symbol in symbols)
    except ValueError as error:
        raise EightbellsError(str(error)) from None


def one_symbol(symbol: str | None) -> str | None:
    """The symbol that a person chose, or None.

    Raises:
        EightbellsError: it cannot be the name of one.
    """
    return chosen([symbol])[0] if symbol else None


def split(value: object) -> object:
    """A list that is written as one text, with commas between the names."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith(("[", "{")):  # JSON that does not parse
        raise ValueError(
            'must be names with commas between them, or JSON, a list as in ["BTCUSDT","ETHUSDT"]'
        )
    return [part for part in value.split(",") if part.strip()]


def quoted_otherwise(symbol: str, quote: str) -> str | None:
    """What is wrong with a symbol whose name shows that it is not quoted in this asset."""
    if symbol.endswith(quote) and symbol != quote:
        return None
    return (
        f"{symbol} is not quoted in quote_asset {quote}, in which capital and limits are counted: "
        f"remove it, or name one that ends in {quote}"
    )


def once(symbols: Iterable[str]) -> list[str]:
    """The symbols in their order, each once."""
    return list(dict.fromkeys(symbols))


Symbol = Annotated[str, AfterValidator(normal)]
Symbols = Annotated[list[Symbol], BeforeValidator(split), AfterValidator(once)]
Asset = Annotated[str, AfterValidator(normal_asset)]
