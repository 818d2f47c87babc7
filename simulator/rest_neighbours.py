"""Endpoints next door that clients of the spot API call in passing: coins, margin pairs, fees, futures markets.

There is no margin and there are no futures here: these say so in the form that clients expect.
"""

from __future__ import annotations

from typing import Any

from simulator.accounts import money
from simulator.endpoints import NONE, USER_DATA, Call, registry


@registry.add("GET", "/sapi/v1/capital/config/getall", USER_DATA, 10)
def coins(call: Call) -> Any:
    rules = call.exchange.symbols.rules.values()
    assets = sorted({asset for r in rules for asset in (r.base, r.quote)})
    return [_coin(call, asset) for asset in assets]


def _coin(call: Call, asset: str) -> dict[str, Any]:
    held = call.account.balances.get(asset)
    nothing = dict.fromkeys(("freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    return {
        "coin": asset,
        "name": asset,
        "free": money(held.free) if held else "0",
        "locked": money(held.locked) if held else "0",
        **nothing,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


@registry.add("GET", "/sapi/v1/asset/tradeFee", USER_DATA, 1, "symbol")
def trade_fee(call: Call) -> Any:
    names = call.params.symbols() or list(call.exchange.market.series)
    account = call.account
    rates = {"makerCommission": str(account.maker_fee), "takerCommission": str(account.taker_fee)}
    return [{"symbol": call.exchange.symbols.get(name).symbol, **rates} for name in names]


@registry.add("GET", "/sapi/v1/account/status", USER_DATA, 1)
def account_status(_call: Call) -> Any:
    return {"data": "Normal"}


@registry.add("GET", "/sapi/v1/spot/delist-schedule", USER_DATA, 100)
def delist_schedule(call: Call) -> Any:
    return call.exchange.settings.delist_schedule


@registry.add("GET", "/sapi/v1/margin/allPairs", NONE, 1)
@registry.add("GET", "/sapi/v1/margin/isolated/allPairs", USER_DATA, 10)
def margin_pairs(_call: Call) -> Any:
    return []


@registry.add("GET", "/fapi/v1/exchangeInfo", NONE, 1)
@registry.add("GET", "/dapi/v1/exchangeInfo", NONE, 1)
def futures(call: Call) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": call.told_time,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }
