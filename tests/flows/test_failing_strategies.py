"""A strategy that fails: it decides nothing, says where, and keeps no other from trading."""

from __future__ import annotations

import pytest

from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch, strategy


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Mistaken", "the strategy failed: ZeroDivisionError: no volume (always.py, line "),
        ("Vague", "the strategy failed: TypeError: 'buy' is no Opinion of long or flat"),
    ],
)
async def test_a_strategy_that_fails_keeps_no_other_from_trading(
    watch: Watch, kind: str, reason: str
) -> None:
    watch.use(strategies=[strategy("mine", kind=f"tests.always:{kind}"), strategy()])
    report = await watch.cycle()
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
    refusals = watch.rows("SELECT symbol, strategy, stage, reason FROM refusals ORDER BY symbol")
    assert [row[:3] for row in refusals] == [(symbol, "mine", "evaluation") for symbol in sorted(SYMBOLS)]
    assert all(row[3].startswith(reason) for row in refusals)
    (problem,) = report.problems
    assert problem.startswith("mine on ")
    assert f"and {len(SYMBOLS) - 1} more: {reason}" in problem
    assert report.outcome == "problems"
    assert watch.differences() == []


async def test_a_strategy_that_does_not_return_keeps_no_other_from_trading(watch: Watch) -> None:
    hung = strategy("mine", kind="tests.misbehaving:Misbehaving", parameters={"how": "loop"})
    watch.use(strategies=[hung, strategy()], limits__decide_seconds="1", limits__strategy_seconds="1")
    report = await watch.cycle()
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
    (hang,), *others = watch.rows("SELECT reason FROM refusals WHERE strategy = 'mine' ORDER BY id")
    assert hang == "decide did not return within 1 s: its process was killed (limits.decide_seconds)"
    assert len(others) == len(SYMBOLS) - 1
    assert all(reason.startswith("the strategy was not asked: it took 1 s") for (reason,) in others)
    (problem,) = report.problems
    assert problem.startswith(f"mine on {SYMBOLS[0]} and {len(SYMBOLS) - 1} more: decide did not return")
    assert report.outcome == "problems"


async def test_a_strategy_that_cannot_be_built_keeps_no_other_from_trading(watch: Watch) -> None:
    watch.use(strategies=[strategy("mine", kind="no_such_module:Class"), strategy()])
    report = await watch.cycle()
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
    assert [problem.split(":")[0] for problem in report.problems] == [
        f"mine on {SYMBOLS[0]} and {len(SYMBOLS) - 1} more"
    ]
    assert "there is no kind 'no_such_module:Class'" in report.problems[0]


async def test_a_strategy_that_was_mended_decides_on_the_candle_it_failed_on(watch: Watch) -> None:
    watch.use(strategies=[strategy("mine", kind="tests.always:Mistaken")])
    await watch.cycle()
    assert watch.orders() == []
    watch.use(strategies=[strategy("mine")])
    assert (await watch.cycle()).problems == []
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
