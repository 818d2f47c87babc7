"""The exchange's list of symbols with their rules: from a saved exchangeInfo, or made up."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from simulator.candles import plain
from simulator.errors import bad_symbol
from simulator.generator import Profile
from simulator.info_files import REMEDY, read_info
from simulator.kline_files import BadFile

RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
]
STP_MODES = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"]
LIMITS = ("bidLimitMultUp", "bidLimitMultDown", "askLimitMultUp", "askLimitMultDown")
ORDER_TYPES = [
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
]


class Rules:
    """One symbol's entry of exchangeInfo, its filters at hand by name."""

    def __init__(self, entry: dict[str, Any]):
        self.entry = entry
        self.symbol: str = entry["symbol"]
        self.base: str = entry["baseAsset"]
        self.quote: str = entry["quoteAsset"]
        self.listed = True
        self.price_range: dict[str, str] = {}  # the execution rule, by the names of its limits
        self.reference: str | None = None  # a reference price that an operator has set
        self.refresh()

    def refresh(self) -> None:
        """Take over what was changed in `entry`."""
        self.filters: dict[str, dict[str, Any]] = {f["filterType"]: f for f in self.entry["filters"]}
        self.status: str = self.entry["status"]
        self.rendered = json.dumps(self.entry, separators=(",", ":")).encode()
        self.tick = int(self.number("PRICE_FILTER", "tickSize") * 10**8) or 1

    def number(self, filter_name: str, field: str) -> Decimal:
        """A filter's value; 0 where the symbol lacks it, which switches the rule off."""
        return Decimal(str(self.filters.get(filter_name, {}).get(field) or 0))


class SymbolTable:
    """All symbols of the exchange and its rate limits."""

    def __init__(self, entries: Iterable[dict[str, Any]], rate_limits: list[dict[str, Any]]):
        self.rules = {entry["symbol"]: Rules(entry) for entry in entries}
        self.rate_limits = [{"intervalNum": 1, **limit} for limit in rate_limits]
        self._first_limits = copy.deepcopy(self.rate_limits)
        self._original = {name: copy.deepcopy(rules.entry) for name, rules in self.rules.items()}

    @classmethod
    def load(cls, path: Path) -> SymbolTable:
        """Read a whole-exchange file; raises BadFile when it is not one."""
        info = read_info(path)
        try:
            return cls(info["symbols"], info["rateLimits"])
        except (ValueError, TypeError, AttributeError, InvalidOperation, OverflowError) as problem:
            raise BadFile(path, f"a filter cannot be read: {problem}", REMEDY, line=1) from None

    def get(self, symbol: str) -> Rules:
        """A symbol's rules; -1121 when the exchange does not list it."""
        rules = self.rules.get(symbol)
        if rules is None or not rules.listed:
            raise bad_symbol()
        return rules

    @property
    def listed(self) -> list[Rules]:
        """The symbols that the exchange lists at present."""
        return [rules for rules in self.rules.values() if rules.listed]

    def list_or_remove(self, symbol: str, listed: bool) -> None:
        """List a symbol that was removed, or remove one; -1121 for one that never was there."""
        if symbol not in self.rules:
            raise bad_symbol()
        self.rules[symbol].listed = listed

    def amend(self, symbol: str, changes: dict[str, Any]) -> None:
        """Change fields of a symbol; under "filters", fields by filter name, null removes that filter.

        `priceRange` is its execution rule, `referencePrice` what an operator sets; null takes each away.
        """
        rules = self.get(symbol)
        changes = dict(changes)
        if "priceRange" in changes:
            rules.price_range = _range(changes.pop("priceRange"))
        if "referencePrice" in changes:
            given = changes.pop("referencePrice")
            rules.reference = None if given is None else str(Decimal(str(given)))
        for name, fields in (changes.pop("filters", None) or {}).items():
            others = [f for f in rules.entry["filters"] if f["filterType"] != name]
            changed = [{"filterType": name, **rules.filters.get(name, {}), **fields}] if fields else []
            rules.entry["filters"] = others + changed
            rules.refresh()
        rules.entry.update(changes)
        rules.refresh()

    def restore(self) -> None:
        """Undo every amendment."""
        self.rate_limits[:] = copy.deepcopy(self._first_limits)
        for name, entry in self._original.items():
            rules = self.rules[name]
            if rules.entry != entry or not rules.listed or rules.price_range or rules.reference:
                self.rules[name] = Rules(copy.deepcopy(entry))

    def info(self, now: int, chosen: Iterable[Rules]) -> bytes:
        """The body of exchangeInfo for some symbols."""
        head = {"timezone": "UTC", "serverTime": now, "rateLimits": self.rate_limits, "exchangeFilters": []}
        front = json.dumps(head, separators=(",", ":")).encode()[:-1]
        return front + b',"symbols":[' + b",".join(rules.rendered for rules in chosen) + b"]}"


def _range(limits: dict[str, Any] | None) -> dict[str, str]:
    """A price range rule; ValueError for a limit that there is not."""
    unknown = set(limits or {}) - set(LIMITS)
    if unknown:
        raise ValueError(f"a price range has no {', '.join(sorted(unknown))}; it has {', '.join(LIMITS)}")
    return {name: str(Decimal(str(value))) for name, value in (limits or {}).items()}


def made_up(profile: Profile) -> dict[str, Any]:
    """An exchangeInfo entry for a generated symbol, with filters of the usual kind."""
    tick, step = plain(profile.tick), plain(profile.step)
    most = plain(profile.step * 900_000_000)
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": plain(profile.tick * 10**8),
            "tickSize": tick,
        },
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": most, "stepSize": "0.00000000"},
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
    return {**_plain_symbol(profile), "filters": filters, "permissions": [], **_modes()}


def _plain_symbol(profile: Profile) -> dict[str, Any]:
    return {
        "symbol": profile.symbol,
        "status": "TRADING",
        "baseAsset": profile.base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
    }


def _modes() -> dict[str, Any]:
    return {
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": STP_MODES,
    }
