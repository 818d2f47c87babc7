"""Rules over REST: an account's filters, execution rules, reference prices."""

from __future__ import annotations

from typing import Any

from simulator import errors
from simulator.candles import plain
from simulator.endpoints import NONE, USER_DATA, Call, registry
from simulator.errors import Refusal
from simulator.params import Params
from simulator.reference import calculation, reference
from simulator.symbols import Rules

STATUSES = ("TRADING", "HALT", "BREAK")
MOST = 40


@registry.add("GET", "/api/v3/myFilters", USER_DATA, 40, "symbol")
def my_filters(call: Call) -> Any:
    rules = call.exchange.symbols.get(call.params.symbol())
    return {"exchangeFilters": [], "symbolFilters": rules.entry["filters"], "assetFilters": []}


def rules_weight(params: Params) -> int:
    if "symbol" in params.values:
        return 2
    named = params.values["symbols"].count(",") + 1 if "symbols" in params.values else MOST
    return min(2 * named, MOST)


@registry.add("GET", "/api/v3/executionRules", NONE, rules_weight, "symbol symbols symbolStatus")
def execution_rules(call: Call) -> Any:
    symbols, names = call.exchange.symbols, call.params.symbols()
    status = _status(call.params)
    if names is not None and status is not None:
        raise Refusal(-1128, "Combination of optional parameters invalid.")
    chosen = symbols.listed if names is None else [symbols.get(name) for name in names]
    return {"symbolRules": [_shown(rules) for rules in chosen if status in (None, rules.status)]}


def _status(params: Params) -> str | None:
    return params.choice("symbolStatus", STATUSES, errors.Refusal(-1122, "Invalid symbolStatus."))


def _shown(rules: Rules) -> dict[str, Any]:
    shown = [{"ruleType": "PRICE_RANGE", **rules.price_range}] if rules.price_range else []
    return {"symbol": rules.symbol, "rules": shown}


def _referred(call: Call) -> tuple[str, int]:
    """The symbol that is asked for and its reference price; -2043 where it has none."""
    symbol = call.exchange.symbols.get(call.params.symbol()).symbol
    price = reference(call.exchange.market, symbol, call.now)
    if price is None:
        raise Refusal(-2043, "This symbol doesn't have a reference price.")
    return symbol, price


@registry.add("GET", "/api/v3/referencePrice", NONE, 2, "symbol")
def reference_price(call: Call) -> Any:
    symbol, price = _referred(call)
    return {"symbol": symbol, "referencePrice": plain(price), "timestamp": call.now}


@registry.add("GET", "/api/v3/referencePrice/calculation", NONE, 2, "symbol symbolStatus")
def reference_calculation(call: Call) -> Any:
    _status(call.params)
    symbol, _ = _referred(call)
    return {"symbol": symbol, **calculation(call.exchange.market, symbol)}
