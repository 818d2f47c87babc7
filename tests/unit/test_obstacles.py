"""Why a strategy cannot trade, said of each of its symbols."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eightbells.exchange.rules import SymbolRules
from eightbells.settings import Settings
from eightbells.strategies.obstacles import Known, Obstacle, in_words, obstacles

D = Decimal


def rules(**changed: Any) -> SymbolRules:
    entry = {
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "orderTypes": ["LIMIT"],
        "filters": [
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "100", "stepSize": "0.001"},
            {"filterType": "NOTIONAL", "minNotional": "5"},
        ],
    }  # fmt: skip
    return SymbolRules.from_exchange_info({**entry, **changed})


@pytest.mark.parametrize(
    ("capital", "listed", "known", "expected"),
    [
        ("1000", rules(), Known(D(50000), 10), None),
        ("1000", None, Known(), Obstacle("BTCUSDT", "the exchange does not list it")),
        ("1000", rules(quoteAsset="FDUSD"), Known(), Obstacle("BTCUSDT", "it is quoted in FDUSD, not in USDT")),
        ("1000", rules(status="BREAK"), Known(), Obstacle("BTCUSDT", "it is BREAK", lasts=False)),
        (
            "4", rules(), Known(),
            Obstacle("BTCUSDT", "4 USDT of capital is too little: BTCUSDT notional 5 is the minimum"),
        ),
        (
            "30", rules(), Known(D(50000)),
            Obstacle("BTCUSDT", "30 USDT of capital is too little: BTCUSDT quantity 0 is below the minimum 0.001"),
        ),
        ("1000", rules(), Known(D(1), 9), Obstacle("BTCUSDT", "it has 9 candles, 10 are needed", lasts=False)),
    ],
    ids=["none", "not listed", "other quote", "break", "notional", "lot", "young"],
)  # fmt: skip
def test_what_keeps_a_strategy_from_a_symbol(
    capital: str, listed: SymbolRules | None, known: Known, expected: Obstacle | None
) -> None:
    entry = {"name": "mine", "kind": "ma_cross", "capital": capital}
    settings = Settings(symbols=["BTCUSDT"], strategies=[entry])  # type: ignore[arg-type, list-item]
    found = obstacles(
        settings, settings.strategies[0], 10, {"BTCUSDT": listed} if listed else {}, {"BTCUSDT": known}
    )
    assert found == ([expected] if expected else [])


def test_many_symbols_are_counted() -> None:
    settings = Settings(strategies=[{"name": "mine", "kind": "ma_cross", "capital": 1}])  # type: ignore[list-item]
    (entry,) = settings.strategies
    said = in_words(entry, obstacles(settings, entry, 10, {}, {}))
    assert said.startswith("strategy 'mine' cannot trade BTCUSDT: the exchange does not list it; ETHUSDT: ")
    assert said.endswith("; and 2 more")
