"""The cells of the crash matrix: what was traded, what the exchange did with it, and where the process died."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.crash.jobs import Ended
from tests.crash.world import SYMBOL, Trial, World, strategy

STOP = "0.2"  # so far below that no candle reaches it
CROSSING, RESTING = "0.002", "-0.03"  # limit_offset: filled at once, or not at all
ORDER, CANCEL = "POST /api/v3/order*", "DELETE /api/v3/order"  # the first is any that places one
Act = Callable[[Trial], None]


@dataclass(frozen=True, eq=False)
class Deed:
    """What the exchange does with what is sent to it.

    Args:
        orders: how many orders of the decision there may be in the end.
        moves: what rests is filled in the midst of things: the books are complete a candle later.
        complaint: words of the problem with which a run ends that nothing else disturbs.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=lambda: {"trading__limit_offset": CROSSING})
    acts: tuple[Act, ...] = ()
    orders: frozenset[int] = frozenset({1})
    moves: bool = False
    complaint: str = ""


@dataclass(frozen=True, eq=False)
class Scenario:
    """What a cycle has to do. `before` brings the account there, undisturbed."""

    name: str
    before: Act
    deeds: tuple[Deed, ...]
    decision: str = "entry"
    levels: tuple[float, float] | None = None  # the strategy's own stop and target, as shares of the close


@dataclass(frozen=True)
class Cell:
    scenario: Scenario
    deed: Deed
    point: str

    def __str__(self) -> str:
        return f"{self.scenario.name} / {self.deed.name} / {self.point}"


def fault(path: str, action: dict[str, Any], **script: Any) -> Act:
    return lambda trial: void(trial.simulator.fault(path, action, **script))


def exchange(**settings: Any) -> Act:
    return lambda trial: void(trial.simulator.control("settings", **settings))


def void(_: object) -> None:
    return None


LOST = {"status": 504, "html": True}
CUT = {"reset": True}
_CROSSING = {"trading__limit_offset": CROSSING}
_RESTING = {"trading__limit_offset": RESTING}
_TRIES = 3
_NEVER = 10**10  # ms until the rest of an order that is partly filled is filled too

_partly = exchange(taker_fraction="0.4", fill_gap_ms=_NEVER)
_soon = exchange(taker_fraction="0.4", fill_gap_ms=6000, fill_parts=3)
_late = exchange(visibility_ms=4000)

ANSWERED = (
    Deed("filled"),
    Deed("rests", _RESTING),
    Deed("part", _CROSSING, (_partly,)),
)
# Whatever became of the order, its answer does not arrive.
UNANSWERED = (
    Deed("504", _CROSSING, (fault(ORDER, LOST, when="after"),)),
    Deed("cut", _CROSSING, (fault(ORDER, CUT, when="after"),)),
    Deed("late", _CROSSING, (_late, fault(ORDER, CUT, when="after"))),
    Deed("part, cut", _CROSSING, (_partly, fault(ORDER, CUT, when="after"))),
    Deed("rests, 504", _RESTING, (fault(ORDER, LOST, when="after"),)),
    Deed("garbled", _CROSSING, (fault(ORDER, {"truncate": True}, when="after"),)),
    Deed("never, 504", _CROSSING, (fault(ORDER, LOST),)),
    Deed("never, cut", _CROSSING, (fault(ORDER, CUT),)),
)
REFUSED = (
    Deed("-1013", _CROSSING, (fault(ORDER, {"code": -1013, "msg": "Filter failure: LOT_SIZE"}),)),
    Deed("-1021", _CROSSING, (fault(ORDER, {"code": -1021, "msg": "Timestamp outside recvWindow."}),)),
    Deed(
        "-2010",
        _CROSSING,
        (lambda trial: trial.deposit("-99500"),),
        frozenset({0}),
        complaint="Binance -2010 on order.place",
    ),
)
LATER = (
    Deed("late rest", _RESTING, (_late,)),
    Deed("part, rest", _CROSSING, (_soon,), moves=True),
)
LEVELS = (0.2, 0.5)
LIST = "POST /api/v3/orderList/oco"
LISTS = (
    Deed("list -1013", _CROSSING, (fault(LIST, {"code": -1013, "msg": "Filter failure: LOT_SIZE"}),)),
    Deed("list 504", _CROSSING, (fault(LIST, LOST, when="after"),)),
    Deed("no list", _CROSSING, (fault(LIST, CUT),)),
)
WAITS = (
    Deed("list 504", _RESTING, (fault(LIST, LOST, when="after"),)),
    Deed("list cut", _RESTING, (fault(LIST, CUT, when="after"),)),
)
CANCELS = (
    Deed("cancel 504", _CROSSING, (fault(CANCEL, LOST, when="after"),)),
    Deed("cancel cut", _CROSSING, (fault(CANCEL, CUT, when="after"),)),
    Deed("no cancel", _CROSSING, (fault(CANCEL, CUT),)),
)


def _nothing(trial: Trial) -> None:
    pass


def _hold(trial: Trial) -> None:
    """A position with its stop, and a candle on which it is to be sold, at its close and by no further step."""
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    trial.leap()
    trial.change(strategies=[strategy("flat", STOP)], trading__exit_steps=["close"])


def _listed(trial: Trial) -> None:
    """A position with its stop and its target in one list, and a candle on which it is to be sold."""
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    trial.leap()
    trial.change(strategies=[strategy("flat")], trading__exit_steps=["cross", "market"])


def _exit_is_to_wait(trial: Trial) -> None:
    """A position with its stop, and a candle on which it is to be sold above the market."""
    _hold(trial)
    trial.change(trading__unfilled="keep")


def _list_is_lost(trial: Trial) -> None:
    """A position whose stop and target the exchange has ended."""
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    trial.simulator.control("expire", symbol=SYMBOL)


def _exit_waits(trial: Trial) -> None:
    """An exit that was not filled in the time of its first step; the next one is due."""
    _hold(trial)
    trial.change(
        trading__exit_steps=["close", "market"],
        trading__exit_step_seconds="60",
        trading__limit_offset=RESTING,
    )
    clean(trial.run())
    trial.simulator.advance(60_000)


def _stop_is_lost(trial: Trial) -> None:
    """A position whose stop the exchange has ended."""
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    trial.simulator.control("expire", symbol=SYMBOL)


def _stop_is_passed(trial: Trial) -> None:
    """A position whose stop the exchange has ended, and whose price has fallen below it."""
    _stop_is_lost(trial)
    trial.hold(f"{Decimal(trial.close()) * Decimal('0.7'):.2f}")


def _wait(trial: Trial) -> None:
    """An order that was not filled in its candle, and the next candle, on which the same is wanted."""
    trial.change(trading__limit_offset=RESTING)
    clean(trial.run())
    trial.leap()


def _part(trial: Trial) -> None:
    """As `_wait`, but a part was filled."""
    _partly(trial)
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    trial.leap()


SCENARIOS = (
    Scenario("entry", _nothing, (*ANSWERED, *UNANSWERED, *REFUSED, *LATER)),
    Scenario("exit", _hold, (*ANSWERED, *UNANSWERED, *LATER), "exit"),
    Scenario("next step of an exit", _exit_waits, (Deed("filled"), *UNANSWERED[:4]), "none"),
    Scenario("lost stop", _stop_is_lost, (Deed("placed"), *UNANSWERED[:4]), "none"),
    Scenario("passed stop", _stop_is_passed, (Deed("filled"), *UNANSWERED[:4]), "none"),
    Scenario("stop and target", _nothing, (Deed("filled"), *UNANSWERED[:4], *LISTS), "entry", LEVELS),
    Scenario("lost list", _list_is_lost, (Deed("placed"), *UNANSWERED[:4]), "none", LEVELS),
    Scenario("exit of a list", _listed, (Deed("filled"), *UNANSWERED[:4]), "exit", LEVELS),
    Scenario("waiting exit", _exit_is_to_wait, (Deed("rests", _RESTING), *WAITS), "exit"),
    Scenario("renewal", _wait, (*ANSWERED, *UNANSWERED[:3], *CANCELS)),
    Scenario("rest of a part", _part, (Deed("filled"), *CANCELS), "none"),
)


def clean(ended: Ended) -> None:
    """A run that did not go well is a failure."""
    assert not (complaints := _complaints(ended)), complaints


def points(world: World, scenario: Scenario, deed: Deed) -> list[str]:
    """Every point that the run passes, found by one that is not killed. It must end as soundly as the others."""
    with _begun(world, scenario, deed) as trial:
        ended = trial.run()
        assert ended.told is not None, f"died of {ended.exitcode}"
        assert deed.complaint in "".join(ended.told.problems)
        assert not (wrongs := [*_complaints(ended, deed), *_finish(trial, scenario, deed)]), wrongs
        return ended.told.passed


def run(world: World, cell: Cell) -> list[str]:
    """Kill a run at the cell's point, run it again, and then the next candle; everything wrong after either.

    How often an order is asked for depends on the time, so a run may not come to the last question: it is tried again.
    """
    for _ in range(_TRIES):
        with _begun(world, cell.scenario, cell.deed) as trial:
            ended = trial.run(target=cell.point)
            if ended.killed:
                return _finish(trial, cell.scenario, cell.deed)
        if wrongs := _complaints(ended, cell.deed):
            return wrongs
    return [f"{cell.point} was not passed"]


@contextmanager
def _begun(world: World, scenario: Scenario, deed: Deed) -> Iterator[Trial]:
    wanting = strategy(stop_loss=STOP)
    if scenario.levels is not None:
        stop, target = scenario.levels
        wanting["parameters"] |= {"stop": stop, "take_profit": target}
    with world.trial(strategies=[wanting]) as trial:
        scenario.before(trial)
        trial.change(**deed.settings)
        for act in deed.acts:
            act(trial)
        yield trial


def _finish(trial: Trial, scenario: Scenario, deed: Deed) -> list[str]:
    candle = trial.opened
    wrongs = _complaints(trial.run(), deed)
    if not deed.moves:
        wrongs += trial.wrongs()
    ((orders,),) = trial.rows(
        f"SELECT count(*) FROM orders WHERE leg = '{scenario.decision}' "
        "AND state NOT IN ('ABSENT', 'DENIED', 'REJECTED') "
        f"AND open_time = to_timestamp({candle / 1000})"
    )
    if orders not in (deed.orders if scenario.decision in ("entry", "exit") else {0}):
        wrongs.append(f"{orders} orders for the decision")
    trial.leap()
    return wrongs + _complaints(trial.run(), deed) + trial.wrongs()


def _complaints(ended: Ended, deed: Deed | None = None) -> list[str]:
    """What a run complained of, apart from what a deed leads to."""
    if ended.told is None:
        return [f"a run died of {ended.exitcode}"]
    expected = deed.complaint if deed else ""
    problems = [problem for problem in ended.told.problems if not expected or expected not in problem]
    return [*problems, *filter(None, [ended.told.error])]
