"""Pauses and jumps: what nobody can explain is neither bought nor sold until a person says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, clean
from tests.crash.command import command
from tests.crash.world import SYMBOL, Trial, World, strategy
from tests.exchange import STEP

_STOP = [strategy("long", "0.1")]
_COIN = "BTC"
_AHEAD = 40  # candles that are shown in new coins


@pytest.fixture
def holding(world: World) -> Iterator[Trial]:
    """A position with its stop."""
    with world.trial(strategies=_STOP, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        clean(trial.run("reconcile"))
        yield trial


def _looking_back(candles: int, target: str = "long", stop_loss: str = "0") -> list[dict[str, Any]]:
    return [strategy(target, stop_loss) | {"parameters": {"target": target, "window": candles}}]


def _pause(trial: Trial, candles: int, ratio: str = "1") -> None:
    """Let the exchange show no candles for a while, and then those of another coin: `ratio` new ones for an old one."""
    first = trial.opened + STEP
    reopens = first + candles * STEP
    rows = trial.simulator.klines(SYMBOL, first, first)  # none yet: only what has closed is shown
    assert not [row for row in rows if row[6] < trial.simulator.now]
    trial.simulator.control("candles", symbol=SYMBOL, remove=[first + slot * STEP for slot in range(candles)])
    if ratio != "1":
        price = Decimal(trial.close()) / Decimal(ratio)
        shown = {
            "open": f"{price:.8f}",
            "high": f"{price * Decimal('1.01'):.8f}",
            "low": f"{price * Decimal('0.99'):.8f}",
            "close": f"{price:.8f}",
        }
        restated = [{"at": reopens + slot * STEP, **shown} for slot in range(_AHEAD)]
        trial.simulator.control("candles", symbol=SYMBOL, restate=restated)


def _exchange_coins(trial: Trial, ratio: str) -> None:
    """As the exchange does it: open orders end, the rules fit the new price, a coin becomes `ratio` new ones."""
    finer = {
        "LOT_SIZE": {"minQty": "0.00000001", "stepSize": "0.00000001"},
        "PRICE_FILTER": {"maxPrice": "1000000000"},
    }
    trial.simulator.control("settings", symbols={SYMBOL: {"filters": finer}})
    trial.simulator.control("expire", symbol=SYMBOL)
    (held,) = trial.simulator.truth()["balances"].values()
    there = Decimal(held[_COIN]["free"])
    added = f"{there * (Decimal(ratio) - 1):.8f}"
    trial.simulator.control("settings", accounts={"paper": {"deposit": {_COIN: added}}})


def _orders(trial: Trial) -> list[tuple[str, str, str]]:
    return [(it["side"], it["type"], it["status"]) for it in trial.simulator.orders()]


def _holds(trial: Trial) -> list[tuple[str, str]]:
    return [
        (reason, scope)
        for reason, scope in trial.rows(
            "SELECT reason, scope FROM holds WHERE released_at IS NULL ORDER BY id"
        )
    ]


def _equity(trial: Trial) -> Decimal:
    ((equity,),) = trial.rows("SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1")
    return Decimal(equity)


def _told(trial: Trial, *words: str) -> str:
    """The one line that a command says."""
    said = command(trial.environment(), *words)
    assert said.code == 0, said.complaint
    assert said.answer.count("\n") == 1
    return said.answer.strip()


def _status(trial: Trial) -> str:
    """What the status says, without its frame."""
    return " ".join(command(trial.environment(), "status").answer.replace("│", " ").split())


def _refused(trial: Trial, *words: str) -> str:
    said = command(trial.environment(), *words)
    assert (said.code, said.answer) == (1, "")
    assert said.complaint.count("\n") == 1
    return said.complaint.strip()


@pytest.mark.parametrize(("ratio", "pause"), [("100", 8), ("0.001", 8), ("100", 1), ("2", 2), ("0.5", 3)])
def test_exchanged_coins_are_neither_bought_nor_sold_and_booked_when_a_person_says_so(
    holding: Trial, ratio: str, pause: int
) -> None:
    before, ((owned,),) = _equity(holding), holding.rows("SELECT quantity FROM positions")
    holding.change(strategies=[*_STOP, strategy(name="other")])
    _pause(holding, pause, ratio)
    _exchange_coins(holding, ratio)
    for _ in range(3):
        holding.leap(pause + 1 if holding.candle == 0 else 1)
        holding.run("reconcile")
        holding.run()
        assert _orders(holding) == [("BUY", "LIMIT", "FILLED"), ("SELL", "STOP_LOSS", "EXPIRED")]
        assert ("jump", "all") in _holds(holding)
        assert _equity(holding) == before + 1000  # the capital of the other one
    assert {stage for (stage,) in holding.rows("SELECT stage FROM refusals")} == {"hold"}
    assert "`eightbells split BTCUSDT RATIO --reason ...`" in _status(holding)

    told = _told(holding, "split", "btcusdt", ratio, "--reason", "the coin was exchanged")
    assert told.startswith(f"BTCUSDT: {ratio} for 1 booked; always held {owned.normalize():f}, now ")
    assert _holds(holding) == []
    ((now,),) = holding.rows("SELECT quantity FROM positions WHERE quantity > 0")
    assert 0 <= owned * Decimal(ratio) - now < Decimal("1E-8")
    ((by, why),) = holding.rows("SELECT DISTINCT released_by, why FROM holds")
    assert (bool(by), why) == (True, "the coin was exchanged")
    holding.change(strategies=_STOP)
    holding.run("reconcile")
    assert holding.rows("SELECT count(*) FROM open_drifts") == [(0,)]
    ((stop,),) = holding.rows("SELECT stop_price FROM live_orders")
    ((paid,),) = holding.rows("SELECT price FROM fills WHERE side = 'BUY'")
    assert abs(stop * Decimal(ratio) / paid - Decimal("0.9")) < Decimal("0.01")
    for _ in range(3):
        holding.leap()
        clean(holding.run())
        assert abs(_equity(holding) - before) < Decimal("0.5")
    assert {stage for (stage,) in holding.rows("SELECT stage FROM refusals")} == {"hold", "quality"}
    assert _holds(holding) == []


def test_the_guardian_takes_a_jump_across_a_pause_for_no_fall(holding: Trial) -> None:
    _pause(holding, 8, "100")
    _exchange_coins(holding, "100")
    low = f"{Decimal(holding.close()) / 100:.2f}"
    holding.leap(8, price=low)  # trading goes on, and no candle of it has closed
    clean(holding.run("reconcile"))
    assert _orders(holding) == [("BUY", "LIMIT", "FILLED"), ("SELL", "STOP_LOSS", "EXPIRED")]
    assert _holds(holding) == [("jump", "all"), ("balance", "all")]
    _told(holding, "split", SYMBOL, "100", "--reason", "exchanged")
    clean(holding.run("reconcile"))
    assert _orders(holding)[2:] == [("SELL", "STOP_LOSS", "NEW")]
    for _ in range(2):
        holding.leap(price=low)
        clean(holding.run())
    assert _holds(holding) == []
    assert {kind for _, kind, _ in _orders(holding)[1:]} == {"STOP_LOSS"}
    assert _orders(holding)[-1][2] == "NEW"


def test_a_crash_that_only_the_books_have_missed_is_sold(holding: Trial) -> None:
    low = f"{Decimal(holding.close()) * Decimal('0.4'):.2f}"
    holding.simulator.control("expire", symbol=SYMBOL)
    holding.leap(5, price=low)
    clean(holding.run("reconcile"))
    assert _holds(holding) == []
    assert _orders(holding)[2:] == [("SELL", "MARKET", "FILLED")]


def test_a_jump_while_trading_goes_on_is_not_bought_and_can_be_sold(world: World) -> None:
    settings = {"trading__limit_offset": CROSSING}
    with world.trial(strategies=_looking_back(40), **settings) as trial:
        clean(trial.run())
        _pause(trial, 0, "2")
        trial.change(strategies=[*_looking_back(40), strategy(name="other")])
        trial.leap()
        clean(trial.run())
        assert _holds(trial) == [("jump", "entries")]
        assert ("other", "hold") in trial.rows("SELECT strategy, stage FROM refusals")
        trial.change(strategies=_looking_back(40, "flat"))
        trial.leap()
        clean(trial.run())
        assert [side for side, _, _ in _orders(trial)] == ["BUY", "SELL"]
        assert _told(trial, "confirm", SYMBOL, "--reason", "it was the news").startswith(
            "BTCUSDT is traded again"
        )
        trial.change(strategies=_looking_back(40))
        trial.leap()
        clean(trial.run())
        assert [side for side, _, _ in _orders(trial)] == ["BUY", "SELL", "BUY"]
        assert _holds(trial) == []
        assert trial.wrongs() == []


def test_after_a_long_pause_a_strategy_is_asked_once_its_window_lies_behind_it(world: World) -> None:
    with world.trial(
        strategies=_looking_back(4, "flat"), candles__max_pause="2", trading__limit_offset=CROSSING
    ) as trial:
        clean(trial.run())
        trial.change(strategies=_looking_back(4))
        _pause(trial, 3)
        trial.leap(4)
        for candles in range(1, 5):
            trial.run()
            assert len(_orders(trial)) == (1 if candles == 4 else 0)
            trial.leap()
        assert {stage for (stage,) in trial.rows("SELECT stage FROM refusals")} == {"quality"}
        ((reason,),) = trial.rows("SELECT reason FROM refusals ORDER BY id DESC LIMIT 1")
        assert "the window spans a pause of 3 candles" in reason
        assert _holds(trial) == []


def test_a_balance_that_multiplies_holds_its_symbol_until_it_is_confirmed(holding: Trial) -> None:
    ((owned,),) = holding.rows("SELECT quantity FROM positions")

    def deposit(share: str) -> None:
        added = f"{owned * Decimal(share):.8f}"
        holding.simulator.control("settings", accounts={"paper": {"deposit": {_COIN: added}}})
        clean(holding.run("reconcile"))

    deposit("0.3")  # the owner's own coins
    assert _holds(holding) == []
    deposit("1")
    assert _holds(holding) == [("balance", "all")]
    holding.change(strategies=[strategy("flat", "0.1")])
    holding.leap()
    clean(holding.run())
    assert _orders(holding) == [("BUY", "LIMIT", "FILLED"), ("SELL", "STOP_LOSS", "NEW")]
    assert "BTC without a trade of ours" in _told(holding, "confirm", SYMBOL, "--reason", "a deposit of mine")
    holding.leap()
    clean(holding.run())
    assert _orders(holding)[-1] == ("SELL", "LIMIT", "FILLED")
    clean(holding.run("reconcile"))
    assert _holds(holding) == []


def test_our_own_trades_multiply_nothing(world: World) -> None:
    with world.trial(strategies=_STOP, trading__limit_offset=CROSSING) as trial:
        for target in ("long", "flat", "long", "flat"):
            trial.change(strategies=[strategy(target, "0.1")])
            clean(trial.run("reconcile"))
            clean(trial.run())
            clean(trial.run("reconcile"))
            trial.leap()
        assert [side for side, _, status in _orders(trial) if status == "FILLED"] == ["BUY", "SELL"] * 2
        assert trial.rows("SELECT count(*) FROM holds") == [(0,)]


def test_a_split_that_cannot_be_right_is_refused_and_changes_nothing(holding: Trial) -> None:
    before = holding.rows("SELECT * FROM positions")
    why = ("--reason", "exchanged")
    assert "cancel it at the exchange" in _refused(holding, "split", SYMBOL, "100", *why)
    holding.simulator.control("expire", symbol=SYMBOL)
    assert "BTC would be in the books" in _refused(holding, "split", SYMBOL, "100", *why)
    for ratio, words in {
        "0": "a ratio of 0",
        "1": "a ratio of 1",
        "1:100": "no ratio",
        "NaN": "a ratio of NaN",
    }.items():
        assert words in _refused(holding, "split", SYMBOL, ratio, *why)
    assert "a reason is needed" in _refused(holding, "split", SYMBOL, "0.1", "--reason", " ")
    assert "no strategy holds ETHUSDT" in _refused(holding, "split", "ETHUSDT", "10", *why)
    assert "BTCUSDT is not held" in _refused(holding, "confirm", SYMBOL, *why)
    assert holding.rows("SELECT * FROM positions") == before
    assert holding.rows("SELECT count(*) FROM splits") == [(0,)]


def test_what_has_left_the_settings_is_valued_protected_and_told(holding: Trial) -> None:
    other = "ETHUSDT"
    holding.change(symbols=[other], strategies=[strategy("flat", name="another")])
    for _ in range(2):
        holding.leap(price=None)
        clean(holding.run())
    ((stored,),) = holding.rows(f"SELECT max(open_time) FROM candles WHERE symbol = '{SYMBOL}'")
    assert int(stored.timestamp() * 1000) == holding.opened
    assert holding.rows("SELECT DISTINCT symbol FROM evaluations WHERE strategy = 'another'") == [(other,)]
    ((value,),) = holding.rows(
        "SELECT (p ->> 'cost')::numeric + (p ->> 'unrealised')::numeric "
        "FROM cycles, jsonb_array_elements(positions) AS p ORDER BY open_time DESC LIMIT 1"
    )
    ((owned,),) = holding.rows("SELECT quantity FROM positions")
    assert abs(value - owned * Decimal(holding.close())) < Decimal("0.0001")
    assert _orders(holding)[-1] == ("SELL", "STOP_LOSS", "NEW")
    assert "its strategy is not in the settings: `eightbells sell BTCUSDT --strategy always`" in _status(
        holding
    )
