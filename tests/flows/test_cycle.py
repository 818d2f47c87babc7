"""The four-hour cycle: from the candle that has just closed to the orders that follow, once."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.trading.switch import set_switch
from tests.exchange import LAST, STEP, SYMBOLS
from tests.flows.conftest import WINDOW, Watch, strategy

EVERY = sorted(SYMBOLS)


async def test_a_cycle_proves_its_candles_and_places_the_orders_that_follow(watch: Watch) -> None:
    report = await watch.cycle()
    assert (report.outcome, report.candle) == ("complete", grid.label(LAST))
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in EVERY]
    assert watch.differences() == []
    for symbol in SYMBOLS:
        served = watch.simulator.klines(symbol, LAST - (WINDOW - 1) * STEP)
        stored = watch.rows(
            "SELECT close FROM candles WHERE symbol = :symbol ORDER BY open_time", symbol=symbol
        )
        assert [close for (close,) in stored] == [Decimal(kline[4]) for kline in served]
    # the chain of proof, from every order down to its validation
    assert watch.one(
        "SELECT count(*) FROM orders o JOIN signals s ON o.signal_id = s.id "
        "JOIN evaluations e ON s.evaluation_id = e.id JOIN validations v ON e.validation_id = v.id "
        "WHERE v.success AND v.last_open_time = o.open_time"
    ) == len(SYMBOLS)


async def test_capital_is_shared_and_never_exceeded(watch: Watch) -> None:
    await watch.cycle()
    spent = watch.rows("SELECT symbol, sum(quote_quantity) FROM fills GROUP BY symbol")
    assert len(spent) == len(SYMBOLS)
    for _, quote in spent:
        assert 1900 < quote <= 2020  # a fifth of the capital; MARKET may cost a little more than the close


async def test_a_cycle_for_one_symbol_leaves_the_others_their_share(watch: Watch) -> None:
    await watch.cycle(symbols=["BTCUSDT"])
    assert 1900 < watch.one("SELECT sum(quote_quantity) FROM fills") <= 2020


async def test_the_same_candle_twice_places_nothing_new(watch: Watch) -> None:
    await watch.cycle()
    before = watch.state()
    report = await watch.cycle()
    assert report.outcome == "complete"
    assert watch.state() == before


async def test_the_newest_candle_by_itself_is_the_one_that_has_just_closed(watch: Watch) -> None:
    from flows.four_hour_cycle import four_hour_cycle

    report = await four_hour_cycle(symbols=["btcusdt "])
    assert report.candle == grid.label(LAST)
    assert watch.orders() == [("BTCUSDT", "BUY", "FILLED")]


async def test_two_cycles_at_once_place_every_order_once(watch: Watch) -> None:
    reports = await asyncio.gather(watch.cycle(), watch.cycle())
    assert [report.outcome for report in reports] == ["complete", "complete"]
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in EVERY]
    assert watch.differences() == []


async def test_who_is_long_already_buys_nothing_and_who_turns_flat_sells_all(watch: Watch) -> None:
    await watch.cycle()
    held = watch.rows("SELECT symbol FROM positions WHERE quantity > 0")
    assert len(held) == len(SYMBOLS)
    await watch.cycle(watch.next_candle())
    assert len(watch.orders()) == len(SYMBOLS)
    watch.use(strategies=[strategy(target="flat")])
    report = await watch.cycle(watch.next_candle())
    assert report.outcome == "complete"
    assert [side for _, side, _ in watch.orders()] == ["BUY", "SELL"] * len(SYMBOLS)
    assert watch.differences() == []
    # what is left of a position is less than a step of it
    for symbol, left in watch.rows("SELECT symbol, quantity FROM positions"):
        step = watch.one(
            "SELECT (f ->> 'stepSize')::numeric FROM symbols, jsonb_array_elements(rules -> 'filters') AS f "
            "WHERE symbol = :symbol AND f ->> 'filterType' = 'LOT_SIZE'",
            symbol=symbol,
        )
        assert 0 <= left < step


@pytest.mark.parametrize(
    ("unfilled", "then"), [("renew", ["CANCELED", "OPEN"]), ("cancel", ["CANCELED"]), ("keep", ["OPEN"])]
)
async def test_what_becomes_of_an_order_whose_candle_is_over_is_a_setting(
    watch: Watch, unfilled: str, then: list[str]
) -> None:
    watch.use(trading__order_type="limit", trading__limit_offset="-0.04", trading__unfilled=unfilled)
    watch.simulator.control("settings", prices={"BTCUSDT": watch.simulator.klines("BTCUSDT", LAST)[0][4]})
    await watch.cycle(symbols=["BTCUSDT"])
    assert watch.orders() == [("BTCUSDT", "BUY", "OPEN")]
    opened = watch.next_candle()
    watch.simulator.control(
        "settings", prices={"BTCUSDT": watch.simulator.klines("BTCUSDT", opened, opened)[0][4]}
    )
    await watch.cycle(opened, symbols=["BTCUSDT"])
    assert [state for _, _, state in watch.orders()] == then
    assert watch.differences() == []


async def test_a_stale_candle_is_proven_and_evaluated_but_not_traded(watch: Watch) -> None:
    watch.simulator.advance(31 * 60_000)
    await watch.cycle()
    assert watch.simulator.orders() == []
    assert watch.orders() == []
    assert watch.one("SELECT count(*) FROM signals") == len(SYMBOLS)
    assert {(symbol, stage) for symbol, stage, _ in watch.refusals()} == {(s, "age") for s in SYMBOLS}
    assert "the candle closed 31 minutes ago, trading stops after 30" in watch.refusals()[0][2]


async def test_a_past_candle_is_evaluated_on_what_was_there_then(watch: Watch) -> None:
    await watch.cycle(LAST - 10 * STEP)
    assert watch.one("SELECT max(open_time) FROM candles") == grid.to_time(LAST - 10 * STEP)
    assert watch.one("SELECT count(*) FROM signals") == len(SYMBOLS)
    assert watch.simulator.orders() == []


async def test_without_trading_nothing_is_planned(watch: Watch) -> None:
    report = await watch.cycle(trade=False)
    assert len(report.evaluated.decisions) == len(SYMBOLS)
    assert watch.orders() == watch.simulator.orders() == []


async def test_the_trading_switch_stops_every_order_and_says_why(watch: Watch) -> None:
    set_switch(watch.engine, False, "a bad feeling")
    await watch.cycle()
    assert watch.simulator.orders() == []
    assert {stage for _, stage, _ in watch.refusals()} == {"switch"}
    assert "a bad feeling" in watch.refusals()[0][2]
    set_switch(watch.engine, True, "it has passed")
    await watch.cycle()
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in EVERY]


# What a person gets wrong


@pytest.mark.parametrize(
    ("candle", "words"),
    [(LAST + STEP, "is not over yet"), (LAST + STEP // 2, "is not on the four-hour grid")],
)
async def test_a_candle_that_is_none_is_one_clear_error_and_nothing_is_written(
    watch: Watch, candle: int, words: str
) -> None:
    before = watch.state()
    with pytest.raises(EightbellsError, match=words):
        await watch.cycle(candle)
    assert watch.state() == before


async def test_an_unknown_symbol_among_the_chosen_ends_the_cycle(watch: Watch) -> None:
    before = watch.state()
    with pytest.raises(EightbellsError, match="not listed at the exchange: NOSUCHUSDT"):
        await watch.cycle(symbols=["BTCUSDT", "NOSUCHUSDT"])
    after = watch.state()
    after["books"]["symbols"] = before["books"]["symbols"]  # rules of the others may have been seen
    assert after == before


async def test_an_unknown_symbol_of_the_settings_stops_only_itself(watch: Watch) -> None:
    watch.use(symbols=[*SYMBOLS, "GONEUSDT"])
    report = await watch.cycle()
    assert report.outcome == "problems"
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in EVERY]
    assert watch.refusals() == [("GONEUSDT", "universe", "the exchange does not list it (-1121)")]


async def test_a_symbol_of_another_quote_and_a_strategy_that_cannot_trade_are_told_and_the_others_trade(
    watch: Watch,
) -> None:
    watch.simulator.control("settings", symbols={"ETHUSDT": {"quoteAsset": "FDUSD"}})
    lost, poor = strategy("lost", symbols=["ETHUSDT"]), strategy("poor", capital="1", symbols=["BTCUSDT"])
    watch.use(symbols=["BTCUSDT", "ETHUSDT"], strategies=[strategy(), lost, poor])
    report = await watch.cycle()
    assert watch.orders() == [("BTCUSDT", "BUY", "FILLED")]
    assert ("ETHUSDT", "universe", "it is quoted in FDUSD, not in quote_asset USDT") in watch.refusals()
    assert report.outcome == "problems"
    assert report.problems == [
        "strategy 'lost' cannot trade ETHUSDT: it is quoted in FDUSD, not in quote_asset USDT",
        "strategy 'poor' cannot trade BTCUSDT: 1 USDT of capital is too little: "
        "BTCUSDT notional 0.634072 is below the minimum 5",
    ]
    with pytest.raises(EightbellsError, match="ETHUSDT: it is quoted in FDUSD"):
        await watch.cycle(symbols=["ETHUSDT"])
