"""Orders that are there without our books: placed with a bare python-binance client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from binance import AsyncClient

from eightbells.exchange.rules import SymbolRules, wire
from tests.exchange import KEY, SECRET, Simulator


@asynccontextmanager
async def bare_client(simulator: Simulator) -> AsyncIterator[Any]:
    class Bare(AsyncClient):  # type: ignore[misc]
        API_URL = f"{simulator.url}/api"

    client = await Bare.create(KEY, SECRET)
    try:
        yield client
    finally:
        await client.close_connection()


async def rest_buys(
    simulator: Simulator,
    rules: Mapping[str, SymbolRules],
    prices: Mapping[str, Decimal],
    count: Mapping[str, int],
) -> dict[str, Decimal]:
    """Place so many buys of each symbol that stay open; returns what they may bring."""
    bought = {}
    async with bare_client(simulator) as client:
        for symbol, number in count.items():
            low = rules[symbol].price("BUY", prices[symbol] * Decimal("0.9"))
            quantity = rules[symbol].quantity(max(rules[symbol].min_notional, Decimal(1)) * 2 / low, low)
            for _ in range(number):
                await client.create_order(
                    symbol=symbol,
                    side="BUY",
                    type="LIMIT",
                    timeInForce="GTC",
                    quantity=wire(quantity),
                    price=wire(low),
                )
            bought[symbol] = quantity * number
    return bought


def holdings(simulator: Simulator) -> dict[str, Decimal]:
    """What the account owns of each asset, free and locked."""
    balances = simulator.truth()["balances"][KEY[:4]]  # the account's short name
    return {asset: Decimal(held["free"]) + Decimal(held["locked"]) for asset, held in balances.items()}
