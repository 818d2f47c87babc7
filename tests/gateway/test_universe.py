"""exchangeInfo as it is asked for and taken: names of any script, a short question refused, one entry that is odd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine

from eightbells.exchange import rules
from eightbells.exchange.gateway import Gateway
from eightbells.exchange.universe import Universe, refresh_universe
from eightbells.settings import StrategySettings
from eightbells.strategies.obstacles import Obstacle, obstacles
from tests.conftest import Configure
from tests.gateway.served import answer, serving
from tests.klines import FIRST, rows_of

CHINESE = "币安人生USDT"
ENTRY = {"status": "TRADING", "baseAsset": "X", "quoteAsset": "USDT", "orderTypes": ["LIMIT"], "filters": []}


def info(*entries: dict[str, Any]) -> bytes:
    return answer(200, json.dumps({"symbols": entries, "rateLimits": None}))


def entry(symbol: str, **changed: Any) -> dict[str, Any]:
    return {"symbol": symbol, **ENTRY, **changed}


def refreshed(
    configure: Configure, engine: Engine, symbols: list[str], say: Callable[[str], bytes]
) -> tuple[Universe, list[str]]:
    """The universe that a server's answers make, and the queries that it was asked."""

    async def refresh() -> tuple[Universe, list[str]]:
        async with serving(say) as served:
            settings = configure(exchange__rest_url=f"http://127.0.0.1:{served.port}/api")
            gateway = Gateway(settings, engine)

            async def now() -> int:
                return FIRST

            try:
                await gateway.clock.sync(now)
                universe = await refresh_universe(gateway, engine, symbols)
            finally:
                await gateway.close()
            return universe, served.lines

    return asyncio.run(refresh())


def test_names_of_any_script_are_encoded(configure: Configure, decided: tuple[Engine, int]) -> None:
    universe, (line,) = refreshed(
        configure, decided[0], ["AUSDT", CHINESE], lambda _: info(entry("AUSDT"), entry(CHINESE))
    )
    assert line.isascii()
    assert '"' not in line
    asked = parse_qs(urlsplit(line.split()[1]).query)
    assert json.loads(asked["symbols"][0]) == ["AUSDT", CHINESE]
    assert universe.symbols == ("AUSDT", CHINESE)


@pytest.mark.parametrize(
    "refusal",
    [
        answer(400, "<html>Bad Request"),
        answer(400, '{"code":-1121,"msg":"Invalid symbol."}'),
        answer(400, '{"code":-1100,"msg":"Illegal characters found in parameter"}'),
        answer(414, ""),
    ],
    ids=["400", "-1121", "-1100", "414"],
)
def test_a_short_question_that_is_refused_is_followed_by_the_long_one(
    configure: Configure, decided: tuple[Engine, int], refusal: bytes
) -> None:
    universe, lines = refreshed(
        configure,
        decided[0],
        ["AUSDT", "GONEUSDT"],
        lambda line: refusal if "symbols=" in line else info(entry("AUSDT"), entry("BUSDT")),
    )
    assert len(lines) == 2
    assert universe.symbols == ("AUSDT",)
    assert universe.refused == {"GONEUSDT": "the exchange does not list it (-1121)"}


def test_one_name_that_the_exchange_refuses_is_left_out_alone(
    configure: Configure, decided: tuple[Engine, int]
) -> None:
    """Whatever it is refused for: the long question names no symbol."""
    universe, lines = refreshed(
        configure,
        decided[0],
        ["AUSDT", CHINESE],
        lambda line: (
            answer(400, '{"code":-1100,"msg":"Illegal characters found in parameter"}')
            if "symbols=" in line
            else info(entry("AUSDT"))
        ),
    )
    assert len(lines) == 2
    assert universe.symbols == ("AUSDT",)
    assert universe.refusal == f"not listed at the exchange: {CHINESE}"


def test_a_step_of_nought_is_no_rule_and_a_status_that_is_not_known_waits(
    configure: Configure, decided: tuple[Engine, int]
) -> None:
    engine = decided[0]
    free = entry("FREEUSDT", filters=[{"filterType": "LOT_SIZE", "stepSize": "0"}])
    universe, _ = refreshed(
        configure,
        engine,
        ["FREEUSDT", "RESTUSDT"],
        lambda _: info(free, entry("RESTUSDT", status="PENDING_TRADING")),
    )
    assert universe.symbols == ("FREEUSDT", "RESTUSDT")
    with engine.connect() as connection:
        listed = rules.load_all(connection, universe.symbols)
    assert listed["FREEUSDT"].quantity(Decimal("1.123456789"), None) == Decimal("1.12345678")
    settings = configure(symbols=list(universe.symbols))
    strategy = StrategySettings(name="all", kind="tests.always:Always", capital=Decimal(1000))
    assert obstacles(settings, strategy, 1, listed, {}) == [
        Obstacle("RESTUSDT", "it is PENDING_TRADING", lasts=False)
    ]


ODD: dict[str, list[Any]] = {
    "a step of null": [entry("ODDUSDT", filters=[{"filterType": "LOT_SIZE", "stepSize": None}])],
    "a step that is NaN": [entry("ODDUSDT", filters=[{"filterType": "LOT_SIZE", "stepSize": float("nan")}])],
    "a step that is a word": [entry("ODDUSDT", filters=[{"filterType": "LOT_SIZE", "stepSize": "fine"}])],
    "a negative tick": [entry("ODDUSDT", filters=[{"filterType": "PRICE_FILTER", "tickSize": "-0.01"}])],
    "a filter without its type": [entry("ODDUSDT", filters=[{"stepSize": "1"}])],
    "a filter twice": [
        entry("ODDUSDT", filters=[{"filterType": "LOT_SIZE", "stepSize": step} for step in ("1", "2")])
    ],
    "filters of null": [entry("ODDUSDT", filters=None)],
    "no filters at all": [{name: value for name, value in entry("ODDUSDT").items() if name != "filters"}],
    "an odd filter": [entry("ODDUSDT", filters=["LOT_SIZE"])],
    "no order types": [entry("ODDUSDT", orderTypes=None)],
    "an empty list of order types": [entry("ODDUSDT", orderTypes=[])],
    "a status of null": [entry("ODDUSDT", status=None)],
    "a status that is no word": [entry("ODDUSDT", status=5)],
    "NaN in a field that is not used": [entry("ODDUSDT", something=float("nan"))],
    "twice, differently": [entry("ODDUSDT"), entry("ODDUSDT", status="BREAK")],
    "only its name": [{"symbol": "ODDUSDT"}],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_entry_stops_its_symbol_alone(
    configure: Configure, decided: tuple[Engine, int], name: str
) -> None:
    engine = decided[0]
    others = [None, "words", {}, {"symbol": 5}, entry("AUSDT"), entry("AUSDT")]
    universe, _ = refreshed(
        configure,
        engine,
        ["AUSDT", "ODDUSDT"],
        lambda _: info(*others, *ODD[name]),  # type: ignore[arg-type]
    )
    assert universe.symbols == ("AUSDT",)
    assert list(universe.refused) == ["ODDUSDT"]
    assert "exchangeInfo" in universe.refused["ODDUSDT"]
    assert universe.refusal == f"ODDUSDT: {universe.refused['ODDUSDT']}"
    assert rows_of(engine, "SELECT symbol FROM symbols WHERE symbol = 'ODDUSDT'") == []
