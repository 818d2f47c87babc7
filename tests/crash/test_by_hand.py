"""By hand: what a person wants sold is sold at once and once, and what is paused buys nothing until it is resumed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.crash.cells import CROSSING, LOST, RESTING, clean
from tests.crash.command import command
from tests.crash.jobs import Ended
from tests.crash.world import DUST, SYMBOL, Trial, World, strategy

_LONG = [strategy("long", "0.2")]
_SOLD = [("LIMIT", "FILLED"), ("STOP_LOSS", "CANCELED"), ("MARKET", "FILLED")]
_KEPT = [("LIMIT", "FILLED"), ("STOP_LOSS", "NEW")]
REPLACE = "POST /api/v3/order/cancelReplace"


@pytest.fixture
def holding(world: World) -> Iterator[Trial]:
    """A position with its stop, a candle later."""
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.leap()
        yield trial


def _orders(trial: Trial) -> list[tuple[str, str]]:
    return [(order["type"], order["status"]) for order in trial.simulator.orders()]


def _sell(trial: Trial, **given: object) -> Ended:
    return trial.run("sell", **{"symbol": SYMBOL, "reason": "a bad feeling", "by": "me", **given})


def _refused(ended: Ended) -> str:
    assert ended.told is not None
    assert ended.told.error.startswith("EightbellsError"), ended.told
    return ended.told.error


def _drift(trial: Trial) -> None:
    trial.execute(
        "INSERT INTO drifts (account, symbol, reason, facts, exchange_order_id, found_at) VALUES ('paper', 'BTCUSDT', "
        """'unknown_order', '{"client_order_id": "eb-x"}', 1, now())"""
    )


def test_a_sale_by_hand_takes_the_place_of_the_stop_and_says_who_and_why(holding: Trial) -> None:
    clean(_sell(holding))
    assert _orders(holding) == _SOLD
    clean(holding.run("reconcile"))
    assert holding.wrongs() == []
    assert holding.rows(
        "SELECT o.leg, c.command, c.by_whom, c.why, c.arguments ->> 'symbol' FROM orders AS o "
        "INNER JOIN commands AS c ON o.command = c.id"
    ) == [("manual", "sell", "me", "a bad feeling", SYMBOL)]


def test_what_was_sold_by_hand_is_not_bought_back_until_the_strategy_was_flat(holding: Trial) -> None:
    clean(_sell(holding))
    for target, bought in (("long", 1), ("long", 1), ("flat", 1), ("long", 2)):
        holding.change(strategies=[strategy(target, "0.2") | {"cooldown": 0}])
        clean(holding.run())
        assert [order["side"] for order in holding.simulator.orders()].count("BUY") == bought
        holding.leap()
    assert {stage for (stage,) in holding.rows("SELECT stage FROM refusals")} == {"protection"}
    assert "it was sold by hand" in holding.rows("SELECT reason FROM refusals")[0][0]


def test_a_sale_by_hand_goes_out_while_trading_is_halted_and_of_a_strategy_that_is_gone(
    holding: Trial,
) -> None:
    clean(holding.run("halt", action="halt", reason="a look"))
    holding.change(strategies=[strategy(name="other")])
    clean(_sell(holding))
    assert _orders(holding) == _SOLD


def test_a_sale_by_hand_is_refused_while_a_drift_is_open_unless_it_is_wanted_anyway(holding: Trial) -> None:
    _drift(holding)
    assert "do not agree" in _refused(_sell(holding))
    assert _orders(holding) == _KEPT
    clean(_sell(holding, anyway=True))
    assert _orders(holding) == _SOLD


def test_a_drift_that_opens_before_the_sale_is_sent_stops_it(holding: Trial) -> None:
    assert _sell(holding, target="commit plan_sale, done").killed
    _drift(holding)
    told = _sell(holding, anyway=False).told
    assert told is not None
    assert told.error
    clean(holding.run())
    assert _orders(holding) == _KEPT, "nothing was sent, and the stop stays"


def test_only_the_position_of_the_strategy_that_is_named_is_sold(world: World) -> None:
    both = [strategy(), strategy(name="other")]
    with world.trial(strategies=both, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        clean(_sell(trial, strategy="other"))
        held = trial.rows(f"SELECT strategy FROM positions WHERE quantity > {DUST}")
        assert held == [("always",)]
        assert "it is held by always" in _refused(_sell(trial, strategy="nobody"))
        clean(_sell(trial))
        assert "nothing of BTCUSDT can be sold" in _refused(_sell(trial))
        clean(trial.run("reconcile"))
        assert trial.wrongs() == []


def test_what_was_sold_in_part_is_sold_on(holding: Trial) -> None:
    holding.simulator.control("settings", taker_fraction="0.4")
    clean(_sell(holding))
    assert holding.rows(f"SELECT count(*) FROM positions WHERE quantity > {DUST}") == [(0,)]
    assert holding.rows("SELECT count(DISTINCT command) FROM orders WHERE leg = 'manual'") == [(1,)]


def test_a_symbol_that_takes_no_orders_keeps_its_stop_and_the_person_is_told(holding: Trial) -> None:
    holding.simulator.control("settings", symbols={SYMBOL: {"status": "BREAK"}})
    told = _sell(holding).told
    assert told is not None
    assert "BTCUSDT is BREAK: the order there stays" in "".join(told.problems)
    assert _orders(holding) == _KEPT


def test_a_sale_whose_answer_is_lost_sells_once(holding: Trial) -> None:
    holding.simulator.fault(REPLACE, LOST, when="after")
    _sell(holding)
    clean(holding.run("reconcile"))
    assert _orders(holding) == _SOLD
    assert holding.wrongs() == []


@pytest.mark.parametrize(
    "point",
    ["commit begin_sale, done", "commit plan_sale, done", "order.cancelReplace, on the wire"],
)
def test_a_sale_that_was_killed_is_completed_by_another_and_sells_once(holding: Trial, point: str) -> None:
    assert _sell(holding, target=point).killed
    _sell(holding)
    clean(holding.run("reconcile"))
    assert _orders(holding) == _SOLD
    assert holding.wrongs() == []


def test_explain_names_the_person(holding: Trial) -> None:
    clean(_sell(holding))
    ((order,),) = holding.rows("SELECT client_order_id FROM orders WHERE leg = 'manual'")
    assert "me: a bad feeling" in command(holding.environment(), "explain", order).answer


def test_after_a_resume_what_was_sold_by_hand_may_be_bought_again(holding: Trial) -> None:
    clean(_sell(holding))
    said = command(holding.environment(), "resume", "always").answer
    assert "always on BTCUSDT, until it is flat: sold by hand" in said
    clean(holding.run())
    assert [order["side"] for order in holding.simulator.orders()].count("BUY") == 2


# Pauses


def _sides(trial: Trial) -> list[str]:
    return [order["side"] for order in trial.simulator.orders()]


def _pause(trial: Trial, **given: object) -> None:
    clean(trial.run("pause", **{"strategy": "always", "reason": "a look", "by": "me", **given}))


def test_a_paused_strategy_is_asked_and_buys_nothing_and_the_others_go_on(world: World) -> None:
    both = [strategy(), strategy(name="other")]
    with world.trial(strategies=both, trading__limit_offset=CROSSING) as trial:
        _pause(trial)
        clean(trial.run())
        assert trial.rows("SELECT count(*) FROM signals") == [(2,)]
        assert trial.rows("SELECT strategy FROM orders") == [("other",)]
        ((stage, strategy_name, reason),) = trial.rows("SELECT stage, strategy, reason FROM refusals")
        assert (stage, strategy_name) == ("protection", "always")
        assert "the strategy is paused since" in reason
        assert "a look (me); `eightbells resume always` ends that" in reason
        clean(trial.run("resume", strategy="always"))
        trial.leap()
        clean(trial.run())
        assert _sides(trial) == ["BUY", "BUY"]


def test_what_a_paused_strategy_holds_stays_protected_and_is_sold_when_it_wants_so(holding: Trial) -> None:
    _pause(holding)
    clean(holding.run())
    assert _orders(holding) == _KEPT
    holding.leap()
    holding.change(strategies=[strategy("flat", "0.2")])
    clean(holding.run())
    assert _sides(holding) == ["BUY", "SELL", "SELL"]
    assert holding.wrongs() == []


def test_a_pause_cancels_the_open_purchases_of_the_strategy_alone(world: World) -> None:
    both = [strategy(), strategy(name="other")]
    with world.trial(strategies=both, trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        _pause(trial)
        states = dict(trial.rows("SELECT strategy, state FROM orders"))
        assert states == {"always": "CANCELED", "other": "OPEN"}


def test_a_pause_stops_an_order_that_is_planned_already(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        child = trial.start(target="order.place, permitted", act=signal.SIGSTOP)
        trial.until_stopped(child)
        _pause(trial)
        child.send(signal.SIGCONT)
        clean(child.wait())
        assert _orders(trial) == []
        assert trial.rows("SELECT state FROM orders") == [("DENIED",)]


def test_a_pause_of_a_symbol_leaves_the_others_to_the_strategy(world: World) -> None:
    with world.trial(symbols=[SYMBOL, "ETHUSDT"], trading__limit_offset=CROSSING) as trial:
        _pause(trial, symbol=SYMBOL)
        clean(trial.run())
        assert [order["symbol"] for order in trial.simulator.orders()] == ["ETHUSDT"]


def test_the_commands_pause_and_resume_need_no_exchange_and_status_shows_what_is_paused(world: World) -> None:
    with world.trial(exchange__rest_url="http://127.0.0.1:1/api") as trial:
        assert (
            command(trial.environment(), "pause", "always", "--symbol", "btc/usdt", "--reason", "a look").code
            == 0
        )
        (pause,) = json.loads(command(trial.environment(), "status", "--json").answer)["pauses"]
        assert (pause["strategy"], pause["symbol"], pause["until_flat"]) == ("always", SYMBOL, False)
        assert "always on BTCUSDT, since" in command(trial.environment(), "status").answer
        assert (
            "is already paused"
            in command(trial.environment(), "pause", "always", "--symbol", SYMBOL, "--reason", "b").answer
        )
        assert command(trial.environment(), "resume", "always").answer.startswith(
            "ended: always on BTCUSDT, since "
        )
        assert trial.rows("SELECT count(*) FROM open_pauses") == [(0,)]
        assert trial.rows("SELECT command, why FROM commands ORDER BY id") == [
            ("pause", "a look"),
            ("resume", "by hand"),
        ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["pause", "nobody", "--reason", "x"],
            "there is no strategy nobody in the settings; there are: always",
        ),
        (["pause", "always", "--reason", " "], "a reason is needed"),
        (["pause", "always", "--symbol", "DOGEUSDT", "--reason", "x"], "always does not trade DOGEUSDT"),
        (["resume", "always"], "always is not paused"),
        (["resume", "--symbol", SYMBOL], "name the strategy"),
    ],
)
def test_a_pause_that_cannot_be_is_one_line(world: World, given: list[str], words: str) -> None:
    with world.trial() as trial:
        done = command(trial.environment(), *given)
        assert done.code == 1
        (line,) = done.complaint.splitlines()
        assert words in line
        assert trial.rows("SELECT count(*) FROM commands") == [(0,)]
