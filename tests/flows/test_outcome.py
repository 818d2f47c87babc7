"""What a cycle says it came to: each order and refusal, and the reason when nothing was ordered."""

from __future__ import annotations

from typing import Any

import pytest

from cli.cycle_view import facts, show
from eightbells.strategies.decision import Failed, Refused
from eightbells.trading.outcome import Found, why_idle
from eightbells.trading.switch import set_switch
from tests.flows.conftest import Watch, strategy

REFUSED = Refused("BTCUSDT", "trend", "risk", "too much")
FAILED = Failed("BTCUSDT", "trend", "strategy", "ZeroDivisionError")


@pytest.mark.parametrize(
    ("met", "code", "words"),
    [
        ({"asked": False, "off": "by hand"}, "not-asked", "--no-trade"),
        ({"strategies": 0}, "no-strategies", "add [[strategies]] to eightbells.toml"),
        ({"off": "by hand", "served": True}, "halted", "trading is off: by hand; `eightbells resume`"),
        ({"served": True, "earlier": 1}, "done", "an earlier run has traded this candle and placed 1 order"),
        ({"served": True, "late": "too late"}, "done", "and placed no order"),
        ({"served": True, "refused": [REFUSED]}, "refused", "is refused"),
        ({"late": "the candle closed 90 minutes ago"}, "too-old", "the candle closed 90 minutes ago"),
        ({"decisions": 0, "refused": [FAILED, REFUSED]}, "failed", "failed: trend"),
        ({"decisions": 0, "refused": [REFUSED]}, "unproven", "no symbol has a whole window"),
        ({}, "unchanged", "no signal calls for an order"),
    ],
)
def test_the_first_reason_that_holds_is_given(met: dict[str, Any], code: str, words: str) -> None:
    usual: dict[str, Any] = {"asked": True, "strategies": 1, "off": None, "late": None, "served": False}
    idle = why_idle(Found(**{**usual, "earlier": 0, "decisions": 2, "refused": [], **met}))
    assert idle.code == code
    assert words in idle.words


async def test_a_cycle_shows_its_orders_or_why_there_are_none(
    watch: Watch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    watch.use(
        symbols=["BTCUSDT", "ETHUSDT"],
        risk__max_order="6000",
        strategies=[
            strategy(symbols=["BTCUSDT"]),
            strategy("greedy", symbols=["ETHUSDT"]),
        ],
    )

    async def told(**parameters: Any) -> tuple[str, dict[str, Any]]:
        report = await watch.cycle(**parameters)
        capsys.readouterr()
        show(report)
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        return " ".join(shown.split()), facts(report)

    shown, found = await told(trade=False)
    assert "nothing ordered: this run does not trade" in shown
    assert (found["idle"], found["placed"]) == ("not-asked", [])

    watch.use(
        strategies=[strategy(symbols=["BTCUSDT"], capital="5000"), strategy("greedy", symbols=["ETHUSDT"])]
    )
    shown, found = await told()
    (order,) = watch.simulator.orders()
    quantity = f"{order['origQty'].rstrip('0').rstrip('.')}"
    assert f"BTCUSDT BUY {quantity} at market FILLED {order['clientOrderId']}" in shown
    assert "ETHUSDT not traded for greedy: the order would be" in shown
    assert "nothing ordered" not in shown
    assert (found["idle"], found["orders"], found["placed"][0]["by_this_run"]) == (None, 1, True)

    watch.use(risk__max_order="0", strategies=[strategy(symbols=["BTCUSDT"], capital="5000")])
    shown, found = await told()
    assert "nothing ordered: an earlier run has traded this candle and placed 1 order" in shown
    assert found["placed"][0]["id"] == order["clientOrderId"]

    set_switch(watch.engine, False, "looking into it")
    shown, found = await told()
    assert "nothing ordered: trading is off: looking into it" in shown
    assert found["idle"] == "halted"
