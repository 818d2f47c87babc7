"""Symbols on the exchange's delisting schedule: not bought any more, and sold beforehand where a setting says so."""

from __future__ import annotations

from typing import Any

import pytest

from eightbells.settings import load_settings
from eightbells.trading import delistings
from tests.crash.cells import CROSSING, clean
from tests.crash.test_guardian import _sales
from tests.crash.world import SYMBOL, Trial, World, strategy

HOUR = 3_600_000


def _schedule(trial: Trial, hours: float, *symbols: str, **more: Any) -> None:
    at = trial.simulator.now + int(hours * HOUR)
    trial.simulator.control("settings", delist_schedule=[{"delistTime": at, "symbols": [*symbols]}])
    trial.execute("DELETE FROM delisting_looks")  # an hour later


def test_a_symbol_on_the_schedule_is_not_bought(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        trial.execute(
            f"INSERT INTO symbols (symbol, status, base_asset, quote_asset, rules, seen_at) "
            f"VALUES ('{SYMBOL}', 'TRADING', 'BTC', 'USDT', '{{}}', now())"
        )
        _schedule(trial, 500, SYMBOL, "GONEUSDT")
        clean(trial.run())
        assert trial.simulator.orders() == []
        ((stage, reason),) = trial.rows("SELECT stage, reason FROM refusals")
        assert stage == "protection"
        assert f"the exchange stops trading {SYMBOL} at" in reason


@pytest.mark.parametrize("stop", ["0", "0.2"])
def test_what_is_held_is_sold_so_many_hours_before(world: World, stop: str) -> None:
    settings = {"trading__limit_offset": CROSSING, "risk__delist_exit_hours": "24"}
    with world.trial(strategies=[strategy(stop_loss=stop)], **settings) as trial:
        clean(trial.run())
        _schedule(trial, 30, SYMBOL)
        clean(trial.run("reconcile"))
        assert ("MARKET", "FILLED") not in _sales(trial)
        trial.simulator.advance(7 * HOUR)
        clean(trial.run("reconcile"))
        assert _sales(trial)[-1] == ("MARKET", "FILLED")
        assert trial.wrongs() == []


def test_without_the_setting_it_is_kept_and_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.trial(strategies=[strategy(stop_loss="0.2")], trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        _schedule(trial, 1, SYMBOL)
        clean(trial.run("reconcile"))
        assert _sales(trial) == [("STOP_LOSS", "NEW")]
        for name, value in trial.environment().items():
            monkeypatch.setenv(name, value)
        with trial.engine.connect() as connection:
            (line,) = delistings.advice(connection, load_settings())
        assert line.startswith(f"{SYMBOL} of always: the exchange stops trading it at")
        assert "`eightbells sell`" in line


@pytest.mark.parametrize(
    "schedule", [[None], [{"delistTime": "soon", "symbols": [SYMBOL]}], [{"symbols": 7}]]
)
def test_a_schedule_that_cannot_be_read_changes_nothing(world: World, schedule: list[Any]) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        trial.simulator.control("settings", delist_schedule=schedule)
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY"]


def test_a_schedule_that_cannot_be_asked_for_keeps_nothing_from_trading(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        trial.simulator.fault("GET /sapi/v1/spot/delist-schedule", {"status": 503}, times=1000)
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY"]


def test_every_entry_of_the_schedule_is_kept_with_its_time(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        _schedule(trial, 500, SYMBOL)
        clean(trial.run("reconcile"))
        _schedule(trial, 600, SYMBOL)
        clean(trial.run("reconcile"))
        trial.simulator.control("settings", delist_schedule=[])
        trial.execute("DELETE FROM delisting_looks")
        clean(trial.run("reconcile"))
        notices = trial.rows("SELECT delist_at > seen_at, withdrawn_at > seen_at FROM delisting_notices")
        assert [tuple(row) for row in notices] == [(True, True), (True, True)]
        assert trial.rows("SELECT * FROM delistings") == []
