"""The cycle with a universe by rule: it chooses, trades the members, and leaves what is delisted in time."""

from __future__ import annotations

from eightbells.candles import grid
from tasks.reports import cycle_markdown
from tests.exchange import LAST, START, STEP, SYMBOLS
from tests.flows.conftest import Watch, strategy

DAY = 6 * STEP
RULE = {"top": 3, "days": 7, "older_than_days": 100, "exclude": ["BTCUSDT"], "every_days": 1}


def members(watch: Watch) -> list[str]:
    return [
        symbol
        for (symbol,) in watch.rows(
            "SELECT symbol FROM universe_members WHERE left_at IS NULL ORDER BY symbol"
        )
    ]


async def test_the_cycle_chooses_and_trades_the_members(watch: Watch) -> None:
    watch.use(universe=RULE, symbols=["XRPUSDT"])
    report = await watch.cycle()
    assert report.outcome == "complete"
    volumes = {
        symbol: sum(float(kline[7]) for kline in watch.simulator.klines(symbol, START - 7 * DAY))
        for symbol in SYMBOLS
        if symbol != "BTCUSDT"
    }
    chosen = sorted(sorted(volumes, key=lambda it: -volumes[it])[:3])
    assert members(watch) == chosen
    assert [row[:2] for row in report.universe] == [(symbol, "joined") for symbol in chosen]
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in chosen]
    for _, quote in watch.rows("SELECT symbol, sum(quote_quantity) FROM fills GROUP BY symbol"):
        assert 3200 < quote <= 3350  # a third of the capital
    assert watch.one("SELECT left_out ->> 'BTCUSDT' FROM universe_choices") == "universe.exclude names it"
    before, asked = watch.state(), watch.simulator.requests()["GET /api/v3/klines"]
    again = await watch.cycle()
    assert (again.outcome, again.universe) == ("complete", report.universe)
    assert watch.state() == before
    assert (await watch.cycle(watch.next_candle())).universe == []
    # between two choices only the members' candles are asked for
    assert watch.simulator.requests()["GET /api/v3/klines"] - asked == 2 * len(chosen)


async def test_a_planted_delisting_is_left_in_time_and_what_is_held_stays_protected(watch: Watch) -> None:
    watch.use(universe=RULE, strategies=[strategy(stop_loss="0.2")])
    await watch.cycle()
    gone, *others = members(watch)
    delisted = START + 3 * DAY
    watch.simulator.control("settings", delist_schedule=[{"delistTime": delisted, "symbols": [gone]}])
    opened = watch.next_candle()
    await watch.cycle(opened)
    opened = watch.next_candle()
    report = await watch.cycle(opened)
    assert report.outcome == "complete"
    (left,) = watch.rows("SELECT symbol, left_at, why_left FROM universe_members WHERE left_at IS NOT NULL")
    assert left[:2] == (gone, grid.to_time(opened + STEP))
    assert grid.to_ms(left[1]) < delisted
    assert left[2].startswith("the exchange stops trading it at")
    assert report.universe == [(gone, "left", left[2])]
    assert f"| {gone} | left | {left[2]} |" in cycle_markdown(report)
    assert members(watch) == others
    evaluated = watch.rows("SELECT symbol FROM evaluations WHERE open_time = :at", at=grid.to_time(opened))
    assert sorted(symbol for (symbol,) in evaluated) == others
    # it is no member, and is still valued, visible and protected
    assert gone in {it.symbol for it in report.positions}
    stops = [
        order for order in watch.simulator.orders() if order["symbol"] == gone and order["status"] == "NEW"
    ]
    assert [order["type"] for order in stops] == ["STOP_LOSS"]
    assert watch.differences() == []
    # the next day's choice gives its place to another one
    for _ in range(5):
        opened = watch.next_candle()
        await watch.cycle(opened)
    assert len(members(watch)) == 3
    assert gone not in members(watch)


async def test_the_members_of_a_rule_that_begins_between_two_choices_are_told(watch: Watch) -> None:
    assert (await watch.cycle()).universe == []
    watch.use(universe={**RULE, "every_days": 30})  # its newest choice lies before the cycle that is over
    report = await watch.cycle(watch.next_candle())
    assert [row[:2] for row in report.universe] == [(symbol, "joined") for symbol in members(watch)]
    assert (await watch.cycle(watch.next_candle())).universe == []


async def test_a_strategy_with_symbols_of_its_own_trades_those(watch: Watch) -> None:
    watch.use(
        universe={**RULE, "top": 1},
        strategies=[strategy("own", symbols=["BTCUSDT"]), strategy("any", capital="3000")],
    )
    await watch.cycle()
    (member,) = members(watch)
    traded = watch.rows("SELECT strategy, symbol FROM orders ORDER BY strategy")
    assert traded == [("any", member), ("own", "BTCUSDT")]


async def test_without_a_member_nothing_is_traded(watch: Watch) -> None:
    watch.use(universe={**RULE, "older_than_days": 30000})
    report = await watch.cycle()
    assert watch.orders() == []
    assert report.problems == ["strategy 'always' trades nothing: the rule of the universe has no member"]
    assert watch.one("SELECT found FROM universe_choices") == 0


async def test_without_a_rule_nothing_is_chosen(watch: Watch) -> None:
    await watch.cycle(LAST)
    assert watch.one("SELECT count(*) FROM universe_choices") == 0
    assert len(watch.orders()) == len(SYMBOLS)


async def test_after_days_without_a_cycle_nobody_leaves_for_candles_that_were_not_fetched(
    watch: Watch,
) -> None:
    watch.use(universe={**RULE, "every_days": 30})
    await watch.cycle()
    before = members(watch)
    watch.simulator.leap(START + 3 * DAY)
    opened = START + 3 * DAY - STEP
    await watch.cycle(opened, symbols=[before[0]])
    assert members(watch) == before
    refused = {"code": -1121, "msg": "Invalid symbol."}
    watch.simulator.fault("GET /api/v3/klines", refused, times=1000, match={"symbol": before[0]})
    report = await watch.cycle(opened)
    assert set(report.ingested.failed) == {before[0]}
    assert members(watch) == before


async def test_what_has_left_is_sold_where_the_rule_says_so(watch: Watch) -> None:
    watch.use(universe={**RULE, "sell_left": True}, strategies=[strategy(stop_loss="0.2")])
    await watch.cycle()
    gone, *others = members(watch)
    watch.simulator.control("settings", delist_schedule=[{"delistTime": START + 3 * DAY, "symbols": [gone]}])
    for _ in range(2):
        await watch.cycle(watch.next_candle())
    sold = watch.rows("SELECT symbol, type, state FROM orders WHERE side = 'SELL' AND type = 'MARKET'")
    assert sold == [(gone, "MARKET", "FILLED")]
    # another rule has chosen nobody yet, and sells nothing
    watch.use(universe={**RULE, "top": 1, "sell_left": True, "older_than_days": 30000})
    await watch.cycle(watch.next_candle())
    assert watch.one("SELECT count(*) FROM orders WHERE side = 'SELL' AND type = 'MARKET'") == 1
    assert members(watch) == others
    assert watch.differences() == []
