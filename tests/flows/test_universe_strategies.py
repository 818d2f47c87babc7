"""A strategy that decides for all its symbols at once, in the cycle: what it is shown, what it trades, what is kept."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from eightbells.candles import grid
from eightbells.strategies.replay import replay_between
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import Watch, strategy

ROTATION = {
    "name": "rotation",
    "kind": "momentum",
    "capital": "10000",
    "parameters": {"lookback": 3, "skip": 0, "top": 2, "rebalance": 1, "volatility": 0.2},
}
FACTS = {"before": "1", "after": "2", "asset": "BTC"}
EVALUATED = (
    "SELECT symbol, universe, inputs_hash FROM evaluations WHERE strategy = 'rotation' ORDER BY symbol"
)


def best(watch: Watch, symbols: list[str], opened: int = LAST) -> list[str]:
    """The two symbols that have risen most in three candles, of those that have risen, by the exchange's own klines."""
    returns = {}
    for symbol in symbols:
        rows = {row[0]: Decimal(row[4]) for row in watch.simulator.klines(symbol, opened - 3 * STEP, opened)}
        returns[symbol] = rows[opened] / rows[opened - 3 * STEP] - 1
    ranked = sorted(symbols, key=lambda it: (-returns[it], it))[:2]
    return sorted(it for it in ranked if returns[it] > 0)


def long(watch: Watch) -> list[str]:
    return [
        symbol
        for (symbol,) in watch.rows(
            "SELECT e.symbol FROM signals AS s INNER JOIN evaluations AS e ON s.evaluation_id = e.id "
            "WHERE s.target = 'long' AND e.strategy = 'rotation' ORDER BY e.symbol"
        )
    ]


def replayed(watch: Watch, settings: Any) -> list[str]:
    with watch.engine.connect() as connection:
        day = grid.to_time(LAST) - timedelta(days=1), grid.to_time(LAST) + timedelta(days=1)
        return [it.line for it in replay_between(connection, settings, *day)]


async def test_it_trades_what_it_ranks_first_and_each_decision_names_what_it_saw(watch: Watch) -> None:
    settings = watch.use(strategies=[ROTATION])
    assert (await watch.cycle()).problems == []
    evaluated = watch.rows(EVALUATED)
    assert [(symbol, universe) for symbol, universe, _ in evaluated] == [
        (symbol, sorted(SYMBOLS)) for symbol in sorted(SYMBOLS)
    ]
    assert len({inputs for _, _, inputs in evaluated}) == 1
    bought = []
    for _ in range(8):
        bought.append(best(watch, SYMBOLS, grid.last_closed(watch.simulator.now)))
        watch.next_candle()
        assert (await watch.cycle(grid.last_closed(watch.simulator.now))).problems == []
    orders = {
        (symbol, side)
        for symbol, side, state in watch.rows("SELECT symbol, side, state FROM orders")
        if state == "FILLED"
    }
    assert {symbol for symbol, side in orders if side == "BUY"} >= {it for of in bought for it in of}
    assert any(side == "SELL" for _, side in orders)
    ((whole,),) = watch.rows(
        "SELECT max(total) FROM (SELECT sum(s.weight) AS total FROM signals AS s INNER JOIN evaluations AS e "
        "ON s.evaluation_id = e.id GROUP BY e.open_time) AS t"
    )
    assert 0 < whole <= 1
    assert watch.differences() == []
    lines = replayed(watch, settings)
    assert len(lines) > len(SYMBOLS)
    assert all(line.endswith(": equal") for line in lines)


async def test_what_is_wrong_with_one_symbol_leaves_the_others_trading(watch: Watch) -> None:
    watch.use(strategies=[ROTATION, strategy()])
    watch.simulator.control("candles", symbol="BTCUSDT", restate=[{"at": LAST, "volume": "-1"}])
    watch.simulator.control("candles", symbol="XRPUSDT", remove=[LAST - slot * STEP for slot in range(2, 20)])
    report = await watch.cycle()
    refused = dict(watch.rows("SELECT symbol, reason FROM refusals WHERE strategy = 'rotation'"))  # type: ignore[arg-type]
    assert refused.keys() == {"BTCUSDT", "XRPUSDT"}
    assert refused["BTCUSDT"].startswith("validation failed: volume negative")
    sound = sorted({*SYMBOLS} - refused.keys())
    assert {(symbol, tuple(universe)) for symbol, universe, _ in watch.rows(EVALUATED)} == {
        (symbol, tuple(sound)) for symbol in sound
    }
    assert long(watch) == best(watch, sound)
    assert not any("rotation" in problem for problem in report.problems)


async def test_a_symbol_on_hold_is_not_ranked(watch: Watch) -> None:
    watch.use(strategies=[ROTATION])
    await watch.cycle()
    held = sorted(SYMBOLS)[0]
    opened = watch.next_candle()
    with watch.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO holds (account, symbol, reason, scope, facts, found_at) "
                "VALUES ('paper', :symbol, 'balance', 'all', CAST(:facts AS jsonb), :at)"
            ),
            {"symbol": held, "at": grid.to_time(opened), "facts": json.dumps(FACTS)},
        )
    await watch.cycle(opened)
    newest = watch.rows(
        "SELECT symbol, universe FROM evaluations WHERE open_time = :at", at=grid.to_time(opened)
    )
    sound = sorted({*SYMBOLS} - {held})
    assert sorted(symbol for symbol, _ in newest) == sound
    assert all(universe == sound for _, universe in newest)


async def test_a_late_symbol_is_decided_on_and_the_decisions_before_stand(watch: Watch) -> None:
    settings = watch.use(strategies=[ROTATION])
    watch.simulator.control("candles", symbol="BTCUSDT", remove=[LAST])
    await watch.cycle()
    before = watch.rows(EVALUATED)
    assert [symbol for symbol, *_ in before] == sorted({*SYMBOLS} - {"BTCUSDT"})
    watch.simulator.control("candles", symbol="BTCUSDT", reset=True)
    await watch.cycle()
    after = watch.rows(EVALUATED)
    assert [row for row in after if row[0] != "BTCUSDT"] == before
    (late,) = [row for row in after if row[0] == "BTCUSDT"]
    assert late[1] == sorted(SYMBOLS)
    # a candle of another symbol that is restated later changes no decision that rested on it
    watch.simulator.control(
        "candles", symbol="ETHUSDT", restate=[{"at": LAST, "volume": "999.5", "taker_base": "1"}]
    )
    await watch.cycle()
    assert watch.one("SELECT count(*) FROM candle_revisions") == 1
    assert watch.rows(EVALUATED) == after
    lines = replayed(watch, settings)
    assert len(lines) == len(SYMBOLS)
    assert all(line.endswith(": equal") for line in lines)


async def test_what_it_needs_is_shown_and_not_traded_and_without_it_nothing_is_decided(watch: Watch) -> None:
    traded = ["BNBUSDT", "ETHUSDT"]
    regime = {"name": "rotation", "kind": "tests.together:Regime", "capital": "10000", "symbols": traded}
    settings = watch.use(strategies=[regime])
    assert (await watch.cycle()).problems == []
    assert [row[:2] for row in watch.rows(EVALUATED)] == [
        (it, ["BNBUSDT", "BTCUSDT", "ETHUSDT"]) for it in traded
    ]
    assert {symbol for symbol, *_ in watch.orders()} <= set(traded)
    assert all(line.endswith(": equal") for line in replayed(watch, settings))
    opened = watch.next_candle()
    watch.simulator.control("candles", symbol="BTCUSDT", restate=[{"at": opened, "volume": "-1"}])
    await watch.cycle(opened)
    assert len(watch.rows(EVALUATED)) == 2
    refused = watch.rows(
        "SELECT symbol, stage, reason FROM refusals WHERE strategy = 'rotation' ORDER BY symbol"
    )
    assert [row[:2] for row in refused] == [(it, "evaluation") for it in traded]
    assert refused[0][2].startswith(
        "BTCUSDT, which the strategy needs, may not be looked at: validation failed: volume negative"
    )


async def test_a_strategy_that_fails_on_one_symbol_trades_the_others(watch: Watch) -> None:
    spoiled = {"name": "rotation", "kind": "tests.together:Spoiled", "capital": "10000"}
    watch.use(strategies=[spoiled])
    report = await watch.cycle()
    first = sorted(SYMBOLS)[0]
    assert watch.orders() == [(first, "BUY", "FILLED"), (first, "SELL", "OPEN")]  # the latter is its stop
    (problem,) = report.problems
    assert problem.startswith("rotation on ")
    assert "the strategy failed: ValueError: the stop of its Opinion is" in problem
