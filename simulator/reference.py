"""Reference prices, and the execution rule that is judged by them: no trade too far from the reference."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from simulator.candles import as_decimal, scaled
from simulator.market import Market
from simulator.orders import Order

BUCKETS = 10
BUCKET_MS = 1000
EXCEEDED = "EXECUTION_RULE_PRICE_RANGE_EXCEEDED"


def reference(market: Market, symbol: str, now: int) -> int | None:
    """The mean price of the last seconds, or what an operator has set; None where nothing has been traded yet."""
    given = market.symbols.rules[symbol].reference
    if given is not None:
        return scaled(given)
    since = market.since.get(symbol, 0)
    seen = [market.price(symbol, max(now - i * BUCKET_MS, since)) for i in range(BUCKETS)]
    prices = [price for price in seen if price is not None]
    return sum(prices) // len(prices) if prices else None


def calculation(market: Market, symbol: str) -> dict[str, Any]:
    """Where a symbol's reference price comes from."""
    if market.symbols.rules[symbol].reference is not None:
        return {"calculationType": "EXTERNAL", "externalCalculationId": 0}
    return {"calculationType": "ARITHMETIC_MEAN", "bucketCount": BUCKETS, "bucketWidthMs": BUCKET_MS}


def exceeds(market: Market, order: Order, price: int, now: int) -> bool:
    """Whether a taker's trade at a price would break the symbol's price range."""
    rule = market.symbols.rules[order.symbol].price_range
    around = reference(market, order.symbol, now) if rule else None
    if around is None:
        return False
    side = "bid" if order.buys else "ask"
    up, down = rule.get(f"{side}LimitMultUp"), rule.get(f"{side}LimitMultDown")
    share = as_decimal(price) / as_decimal(around)
    return (up is not None and share > Decimal(up)) or (down is not None and share < Decimal(down))
