"""A thousand odd inputs, always the same ones: what is wrong with one symbol or asset leaves the others readable."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest

from eightbells.candles import grid
from eightbells.exchange import models, universe
from eightbells.exchange.answers import UnreadableAnswer
from eightbells.exchange.models import ListedOrder, OrderReport
from eightbells.exchange.rules import SymbolRules
from eightbells.exchange.streams import closed_candle
from eightbells.stream.engine import klines_of
from eightbells.trading.states import State, of_exchange

COUNT = 250  # of each of the four kinds
ODD: list[Any] = [
    None, "", " ", "NaN", "-1", "1e400", "1E+2", "0", "Infinity", 0, -1, 1.5, 1e308, 2**63, 2**80, True, False, [], {},
    [[]], [None], {"a": 1}, "\u0000", "\ud800", "币安人生USDT", "BTCUSDT", "x" * 10_000, "0x10", "1,000", "null",
]  # fmt: skip
ENTRY: dict[str, Any] = {
    "symbol": "ODDUSDT", "status": "TRADING", "baseAsset": "ODD", "baseAssetPrecision": 8, "quoteAsset": "USDT",
    "quoteAssetPrecision": 8, "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS"], "ocoAllowed": True,
    "allowTrailingStop": True, "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000"},
        {"filterType": "TRAILING_DELTA", "minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ],
}  # fmt: skip
ORDER: dict[str, Any] = {
    "symbol": "ODDUSDT", "orderId": 7, "orderListId": -1, "clientOrderId": "eb-7", "price": "1.00000000",
    "origQty": "2.00000000", "executedQty": "0.00000000", "cummulativeQuoteQty": "0.00000000", "status": "NEW",
    "timeInForce": "GTC", "type": "LIMIT", "side": "SELL", "stopPrice": "0.00000000", "time": 1, "updateTime": 1,
    "isWorking": True, "expiryReason": "", "preventedMatchId": 0, "preventedQuantity": "1.00000000",
    "pegPriceType": "PRIMARY_PEG", "pegOffsetType": "PRICE_LEVEL", "pegOffsetValue": 5, "peggedPrice": "1.00000000",
}  # fmt: skip
BALANCE = {"asset": "ODD", "free": "1.00000000", "locked": "0.00000000"}
FRAME: dict[str, Any] = {
    "stream": "oddusdt@kline_4h", "data": {"e": "kline", "E": 14_400_001, "s": "ODDUSDT", "k": {
        "t": 0, "T": 14_399_999, "s": "ODDUSDT", "i": "4h", "f": 1, "L": 2, "o": "1", "c": "1", "h": "1", "l": "1",
        "v": "1", "n": 1, "x": True, "q": "1", "V": "1", "Q": "1", "B": "0",
    }},
}  # fmt: skip
EVENT: dict[str, Any] = {
    "e": "executionReport", "E": 1, "s": "ODDUSDT", "c": "eb-7", "S": "SELL", "o": "LIMIT", "f": "GTC", "q": "2",
    "p": "1", "P": "0", "g": -1, "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 7, "l": "2", "z": "2",
    "L": "1", "n": "0", "N": "USDT", "T": 1, "t": 3, "O": 1, "Z": "2", "Y": "2", "Q": "0", "eR": "OCO_TRIGGER",
    "v": 0, "U": 8, "A": "1", "B": "1", "Cs": "ODDUSDT", "pl": "1", "pL": "1", "pY": "1", "u": 1, "gP": "PRIMARY_PEG",
}  # fmt: skip


def sound(entry: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    return {**copy.deepcopy(entry), name: value}


def mutated(chance: random.Random, value: Any) -> Any:
    """The value with something in it replaced, removed or doubled; or all of it replaced."""
    places = list(_places(value))
    if not places or chance.random() < 0.03:
        return chance.choice(ODD)
    value = copy.deepcopy(value)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        *way, last = chance.choice(places)
        inner = value
        try:
            for step in way:
                inner = inner[step]
            if isinstance(inner, dict) and chance.random() < 0.25:
                inner.pop(last)
            elif isinstance(inner, list) and chance.random() < 0.25:
                inner.append(copy.deepcopy(inner[last]))
            else:
                inner[last] = copy.deepcopy(chance.choice(ODD))
        except (KeyError, IndexError, TypeError):  # an earlier change has taken the place away
            continue
    return value


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        yield (*way, name)
        yield from _places(inner, (*way, name))


def mixed(chance: random.Random, good: Any, odd: Any) -> list[Any]:
    return [good, odd] if chance.random() < 0.5 else [odd, good]


@pytest.mark.parametrize("seed", range(COUNT))
def test_an_odd_entry_of_exchange_info_leaves_the_other_symbols(seed: int) -> None:
    chance = random.Random(seed)
    good = sound(ENTRY, "symbol", "GOODUSDT")
    info = {"symbols": mixed(chance, good, mutated(chance, ENTRY))}
    found = universe.by_symbol(info)
    assert universe.objection(found["GOODUSDT"]) is None
    assert models.statuses(info)["GOODUSDT"] == "TRADING"
    for symbol, entries in found.items():
        if universe.objection(entries) is None:
            assert SymbolRules.from_exchange_info(entries[0]).symbol == symbol


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("EXPIRED_IN_MATCH", State.EXPIRED),
        ("PENDING_NEW",      State.OPEN),
        ("SETTLED_BY_LOT",   None),  # a word that nobody knows
    ],
)  # fmt: skip
def test_a_status_is_read_whether_it_is_known_or_not(status: str, state: State | None) -> None:
    order = ListedOrder.read({**ORDER, "status": status, "expiryReason": "OCO_TRIGGER"})
    assert (order.status, order.expiry_reason, of_exchange(order.status)) == (status, "OCO_TRIGGER", state)
    report = OrderReport.of_event({**EVENT, "x": "TRADE_PREVENTION", "X": status, "t": -1, "N": None})
    assert (report.status, report.expiry_reason, report.fills) == (status, "OCO_TRIGGER", ())


@pytest.mark.parametrize("seed", range(COUNT))
def test_an_odd_order_leaves_the_others_and_is_named(seed: int) -> None:
    chance = random.Random(1_000 + seed)
    odd = mutated(chance, ORDER)
    orders = models.readable(ListedOrder.read, "symbol")(
        mixed(chance, sound(ORDER, "symbol", "GOODUSDT"), odd)
    )
    assert "GOODUSDT" in {order.symbol for order in orders}
    assert len(orders) + len(orders.odd) == 2
    if isinstance(odd, dict) and odd.get("symbol") == "ODDUSDT":
        assert [it.name for it in orders.odd] in ([], ["ODDUSDT"])
    for it in orders.odd:
        assert it.why


@pytest.mark.parametrize("seed", range(COUNT))
def test_an_odd_balance_leaves_the_others_and_is_named(seed: int) -> None:
    chance = random.Random(2_000 + seed)
    found = models.balances(
        {"balances": mixed(chance, sound(BALANCE, "asset", "GOOD"), mutated(chance, BALANCE))}
    )
    (good,) = [it for it in found if it.asset == "GOOD"]
    assert good.free == 1
    assert len(found) + len(found.odd) == 2


@pytest.mark.parametrize("seed", range(COUNT))
def test_an_odd_frame_is_passed_over_and_the_next_one_is_read(seed: int) -> None:
    chance = random.Random(3_000 + seed)
    frame = mutated(chance, FRAME)
    sent = json.dumps(frame).encode()
    if chance.random() < 0.2:
        sent = sent[: chance.randrange(len(sent))]
    candle = closed_candle(sent)
    if candle is not None:
        assert len(klines_of([candle])[0].frame) == 1
        assert grid.closes_at(candle.kline[0]) > candle.kline[0]
    event = mutated(chance, EVENT)
    if isinstance(event, dict):
        with suppress(UnreadableAnswer):
            OrderReport.of_event(event)
    good = closed_candle(orjson.dumps(FRAME))
    assert good is not None
    assert good.symbol == "ODDUSDT"
