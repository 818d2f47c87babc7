"""The account over REST: balances, trades, fees, order counts, what the key may do."""

from __future__ import annotations

from typing import Any

from simulator.accounts import Account, money
from simulator.endpoints import KEYED, NONE, USER_DATA, Call, registry
from simulator.errors import Refusal
from simulator.params import Params
from simulator.rest_trade import time_range

NOTHING = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000"}


def rates(account: Account) -> dict[str, str]:
    return {**NOTHING, "maker": money(account.maker_fee), "taker": money(account.taker_fee)}


@registry.add("GET", "/api/v3/account", USER_DATA, 20, "omitZeroBalances")
def account_information(call: Call) -> Any:
    account = call.account
    per_mille = {"maker": int(account.maker_fee * 10_000), "taker": int(account.taker_fee * 10_000)}
    return {
        "makerCommission": per_mille["maker"],
        "takerCommission": per_mille["taker"],
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": rates(account),
        "canTrade": account.permissions.trade,
        "canWithdraw": account.permissions.withdraw,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated,
        "accountType": "SPOT",
        "balances": _balances(call),
        "permissions": ["SPOT"],
        "uid": 354937868,
        "tradeGroupId": account.trade_group,
    }


def _balances(call: Call) -> list[dict[str, str]]:
    """What the account holds, and nothing of every other asset that has candles."""
    held = call.account.statement()
    if call.params.flag("omitZeroBalances"):
        return [{"asset": a, **b} for a, b in held.items() if call.account.total(a) > 0]
    zero = {"free": money(call.account.free("")), "locked": money(call.account.free(""))}
    listed = [call.exchange.symbols.rules[s] for s in call.exchange.market.series]
    others = {asset: zero for rules in listed for asset in (rules.base, rules.quote)}
    return [{"asset": asset, **balance} for asset, balance in (others | held).items()]


@registry.add("GET", "/api/v3/account/commission", USER_DATA, 20, "symbol")
def commission(call: Call) -> Any:
    rules, account = call.exchange.symbols.get(call.params.symbol()), call.account
    return {
        "symbol": rules.symbol,
        "standardCommission": rates(account),
        "specialCommission": NOTHING,
        "taxCommission": NOTHING,
        "discount": {
            "enabledForAccount": account.fees_in_bnb,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.25000000",
        },
    }


def trades_weight(params: Params) -> int:
    return 5 if "orderId" in params.values else 20


@registry.add(
    "GET", "/api/v3/myTrades", USER_DATA, trades_weight, "symbol orderId startTime endTime fromId limit"
)
def my_trades(call: Call) -> Any:
    params, engine = call.params, call.exchange.engine
    symbol = call.exchange.symbols.get(params.symbol()).symbol
    start, end = time_range(params)
    order_id, first, limit = params.integer("orderId"), params.integer("fromId"), params.limit()
    if first is not None and (start is not None or end is not None):
        raise Refusal(-1128, "Combination of optional parameters invalid.")
    fills = [
        fill
        for order in engine.history(call.account, symbol)
        if order_id in (None, order.id)
        for fill in engine.fills_of[order.id]
        if (start or 0) <= fill.time
        and (end is None or fill.time <= end)
        and (first or 0) <= fill.trade_id
        and call.exchange.visible(fill.time, call.now)
    ]
    fills.sort(key=lambda fill: fill.trade_id)
    newest = start is None and first is None
    return [fill.in_my_trades() for fill in (fills[-limit:] if newest else fills[:limit])]


@registry.add("GET", "/api/v3/rateLimit/order", USER_DATA, 40)
def order_counts(call: Call) -> Any:
    return call.exchange.limits.order_usage(call.account.name)


@registry.add("GET", "/sapi/v1/account/apiRestrictions", USER_DATA, 1)
def restrictions(call: Call) -> Any:
    permitted = call.account.permissions
    return {
        "ipRestrict": bool(permitted.ips),
        "createTime": call.exchange.start_time,
        "enableReading": permitted.read,
        "enableWithdrawals": permitted.withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": permitted.trade,
        "enablePortfolioMarginTrading": False,
    }


@registry.add("GET", "/sapi/v1/system/status", NONE, 1)
def system_status(_call: Call) -> Any:
    return {"status": 0, "msg": "normal"}


PREVENTED = "symbol preventedMatchId orderId fromPreventedMatchId limit"
ALLOCATED = "symbol startTime endTime fromAllocationId limit orderId"


def prevented_weight(params: Params) -> int:
    return 2 if "preventedMatchId" in params.values else 20


@registry.add("GET", "/api/v3/myPreventedMatches", USER_DATA, prevented_weight, PREVENTED)
def prevented_matches(call: Call) -> Any:
    params = call.params
    symbol = call.exchange.symbols.get(params.symbol()).symbol
    number, order = params.integer("preventedMatchId"), params.integer("orderId")
    first, limit = params.integer("fromPreventedMatchId"), params.limit()
    if (number is None) == (order is None) or (number is not None and first is not None):
        raise Refusal(-1128, "Combination of optional parameters invalid.")
    found = call.exchange.engine.prevention.matches(call.account, symbol)
    if number is not None:
        return [match for match in found if match["preventedMatchId"] == number]
    chosen = [match for match in found if order in (match["takerOrderId"], match["makerOrderId"])]
    return [match for match in chosen if match["preventedMatchId"] >= (first or 0)][:limit]


@registry.add("GET", "/api/v3/myAllocations", USER_DATA, 20, ALLOCATED)
def allocations(call: Call) -> Any:
    """No order is ever routed to another book here."""
    call.exchange.symbols.get(call.params.symbol())
    return []


def gone(_call: Call) -> Any:
    raise Refusal(-1016, "This service is no longer available.", 410)


for _method in ("POST", "PUT", "DELETE"):
    registry.add(_method, "/api/v3/userDataStream", KEYED, 2, "listenKey")(gone)
