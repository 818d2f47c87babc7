"""One writer at a time: who waited for another's lease finds and finishes what the other left."""

from __future__ import annotations

import signal

from tests.crash.cells import CROSSING, CUT, clean
from tests.crash.world import World


def test_who_waited_for_a_dead_workers_lease_sends_what_never_arrived(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        waiting = trial.start(target="commit evaluate_strategies, done", act=signal.SIGSTOP)
        trial.until_stopped(waiting)
        trial.simulator.fault("POST /api/v3/order", CUT)
        assert trial.run(target="order.place, failed").killed
        waiting.send(signal.SIGCONT)
        clean(waiting.wait())
        assert [order["status"] for order in trial.simulator.orders()] == ["FILLED"]
        assert [state for (state,) in trial.rows("SELECT state FROM orders ORDER BY id")] == [
            "ABSENT",
            "FILLED",
        ]
        assert trial.wrongs() == []


def test_two_workers_that_decide_at_once_find_the_same_decision(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        first = trial.start(target="commit evaluate, due", act=signal.SIGSTOP)
        trial.until_stopped(first)
        second = trial.start()
        trial.until(trial.is_waiting)
        first.send(signal.SIGCONT)
        clean(first.wait())
        clean(second.wait())
        assert trial.wrongs() == []
