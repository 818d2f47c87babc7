"""Limits on what may be ordered, through a whole cycle: nothing goes out, and a row says why with the figures."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy


def _refusals(trial: Trial) -> list[tuple[str, str]]:
    return [(stage, reason) for stage, reason in trial.rows("SELECT stage, reason FROM refusals ORDER BY id")]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"risk__max_order": "500"}, "the order would be"),
        ({"risk__max_symbol_exposure": "500"}, "exposure to BTCUSDT would be"),
        ({"risk__max_exposure": "500"}, "exposure in all would be"),
        ({"trading__limit_offset": "0.02", "risk__price_collar": "0.01"}, "from the last price"),
    ],
    ids=["the order", "the symbol", "all", "the collar"],
)
def test_what_is_beyond_a_limit_is_not_sent_and_said_once(
    world: World, limit: dict[str, Any], words: str
) -> None:
    with world.trial(**{"trading__limit_offset": CROSSING, **limit}) as trial:
        clean(trial.run())
        clean(trial.run())
        assert trial.simulator.orders() == []
        ((stage, reason),) = _refusals(trial)
        assert stage == "risk"
        assert words in reason
        assert "is the most" in reason


def test_strategies_share_a_symbols_limit_with_what_is_held_and_what_is_out(world: World) -> None:
    both = [strategy(), strategy(name="other")]
    with world.trial(
        strategies=both, trading__limit_offset=RESTING, risk__max_symbol_exposure="1500"
    ) as trial:
        clean(trial.run())
        assert len(trial.simulator.orders()) == 1
        ((_, reason),) = _refusals(trial)
        assert "1500 is the most" in reason


@pytest.mark.parametrize("order_type", ["limit", "market"])
def test_no_more_than_the_allocated_capital_is_spent_where_the_price_has_risen(
    world: World, order_type: str
) -> None:
    with world.trial(trading__order_type=order_type, trading__limit_offset=CROSSING) as trial:
        trial.hold(f"{Decimal(trial.close()) * Decimal('1.03'):.2f}")
        clean(trial.run())
        ((spent,),) = trial.rows("SELECT coalesce(sum(quote_quantity), 0) FROM fills")
        assert spent <= 1000


def test_a_cycle_sends_only_so_many_orders_however_often_it_runs(world: World) -> None:
    both = [strategy(), strategy(name="other")]
    with world.trial(strategies=both, trading__limit_offset=CROSSING, risk__max_orders_per_cycle=1) as trial:
        clean(trial.run())
        clean(trial.run())
        assert len(trial.simulator.orders()) == 1
        assert [reason for _, reason in _refusals(trial)] == ["1 orders in this cycle already, 1 is the most"]


def test_after_the_days_loss_nothing_is_bought_that_day_and_selling_goes_on(world: World) -> None:
    """The candles of 00:00 to 08:00 are of one day, the one of the next 00:00 begins another."""
    with world.trial(trading__limit_offset=CROSSING, risk__daily_loss="1", risk__price_collar="0") as trial:
        trial.change(strategies=[strategy("long"), strategy("flat", name="other")])
        trial.leap()
        clean(trial.run())
        trial.leap()
        _restate_lower(trial)
        clean(trial.run())
        trial.change(strategies=[strategy("flat"), strategy("long", name="other")])
        trial.leap()
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY", "SELL"]
        assert all("lost today, nothing is bought after 1" in reason for _, reason in _refusals(trial))
        trial.leap(4)
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY", "SELL", "BUY"]


def test_a_loss_of_the_candle_that_has_just_closed_counts_at_once(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING, risk__daily_loss="1", risk__price_collar="0") as trial:
        trial.change(strategies=[strategy("long"), strategy("flat", name="other")])
        trial.leap()
        clean(trial.run())
        trial.leap()
        _restate_lower(trial)
        trial.change(strategies=[strategy("long"), strategy("long", name="other")])
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY"]
        ((_, reason),) = _refusals(trial)
        assert "lost today, nothing is bought after 1" in reason


def _capital(trial: Trial) -> list[tuple[str, int]]:
    return [
        (name, int(amount))
        for name, amount in trial.rows("SELECT strategy, amount FROM capital_changes ORDER BY id")
    ]


def _worth(trial: Trial) -> tuple[Decimal, Decimal]:
    """Equity and capital of the newest cycle."""
    ((equity, capital),) = trial.rows("SELECT equity, capital FROM cycles ORDER BY open_time DESC LIMIT 1")
    return equity, capital


def test_a_change_of_capital_is_neither_profit_nor_loss(world: World) -> None:
    """Two cycles of one day. With less capital equity falls by it, and purchases go on."""
    with world.trial(
        trading__limit_offset=CROSSING, risk__daily_loss="200", risk__max_drawdown="0.05"
    ) as trial:
        waiting = strategy("flat", name="other")
        trial.change(strategies=[strategy() | {"capital": "6000"}, waiting])
        trial.leap()
        clean(trial.run())
        before = _worth(trial)
        trial.hold(trial.close())
        trial.change(strategies=[strategy() | {"capital": "500"}, strategy(name="other")])
        trial.leap()
        clean(trial.run())
        assert _refusals(trial) == []
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY", "BUY"]
        assert _capital(trial) == [("always", 6000), ("other", 1000), ("always", -5500)]
        equity, capital = _worth(trial)
        assert (before[1], capital) == (7000, 1500)
        (gained,) = trial.rows(
            "SELECT sum((p ->> 'realised')::numeric + (p ->> 'unrealised')::numeric - (p ->> 'fees')::numeric) "
            "FROM cycles AS c, jsonb_array_elements(c.positions) AS p WHERE c.open_time = "
            "(SELECT max(open_time) FROM cycles)"
        )
        assert equity == capital + gained[0]


def test_more_capital_hides_no_loss(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING, risk__daily_loss="1", risk__price_collar="0") as trial:
        trial.change(strategies=[strategy("long"), strategy("flat", name="other")])
        trial.leap()
        clean(trial.run())
        trial.leap()
        _restate_lower(trial)
        trial.change(strategies=[strategy("long"), strategy("long", name="other") | {"capital": "9000"}])
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY"]
        ((_, reason),) = _refusals(trial)
        assert "lost today, nothing is bought after 1" in reason


def test_a_strategy_that_is_gone_keeps_its_capital_until_its_position_is_closed(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.change(strategies=[strategy("flat", name="other")])
        trial.leap()
        clean(trial.run())
        assert _worth(trial)[1] == 2000
        clean(trial.run("sell", symbol=SYMBOL, reason="it is gone"))
        trial.leap()
        clean(trial.run())
        assert _capital(trial) == [("always", 1000), ("other", 1000), ("always", -1000)]
        assert _worth(trial)[1] == 1000


def test_what_is_held_counts_at_its_last_close_where_its_newest_candle_is_missing(world: World) -> None:
    symbols = [SYMBOL, "ETHUSDT"]
    held = {**strategy(), "symbols": symbols[:1]}
    flat, long = ({**strategy(target, name="other"), "symbols": symbols[1:]} for target in ("flat", "long"))
    with world.trial(symbols=symbols, trading__limit_offset=CROSSING, risk__max_exposure="1500") as trial:
        trial.change(strategies=[held, flat])
        clean(trial.run())
        ((before,),) = trial.rows("SELECT equity FROM cycles")
        trial.leap()
        trial.change(strategies=[held, long])
        gone = {"code": -1121, "msg": "Invalid symbol."}
        trial.simulator.fault("GET /api/v3/klines", gone, match={"symbol": SYMBOL}, times=99)
        trial.run()
        ((after,),) = trial.rows("SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1")
        assert after == before
        assert [order["symbol"] for order in trial.simulator.orders()] == [SYMBOL]
        assert "1500 is the most" in _refusals(trial)[-1][1]


def _restate_lower(trial: Trial) -> None:
    """Let the newest candle have closed a percent lower."""
    ((opened, _, _, low, close, *_),) = trial.simulator.klines(SYMBOL, trial.opened, trial.opened)
    lower = f"{Decimal(close) * Decimal('0.99'):.2f}"
    trial.simulator.control(
        "candles",
        symbol=SYMBOL,
        restate=[{"at": opened, "close": lower, "low": min(lower, low, key=Decimal)}],
    )
    trial.hold(lower)
