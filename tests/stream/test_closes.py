"""When the stream calls for trading: shortly before a close, and again where its candles came too late."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import Engine

from eightbells.quality.verdicts import Verdict
from eightbells.stream.closes import Proven
from tests.exchange import Simulator
from tests.stream.watched import CLOSE, OPENED, watched


@dataclass
class Trader:
    """Waits for the verdicts, as the run of a close does, and keeps what it was called with."""

    called: list[tuple[int, float]] = field(default_factory=list)
    answers: list[dict[str, Verdict]] = field(default_factory=list)

    async def trade(self, opened: int, proven: Proven) -> None:
        self.called.append((opened, time.monotonic()))
        self.answers.append(await proven())


async def test_a_close_is_called_once_and_before_it_is_over(
    market: Simulator, engine: Engine, symbols: tuple[str, ...]
) -> None:
    trader = Trader()
    async with watched(market, engine, symbols, on_close=trader.trade) as watch:
        await watch.set_clock(before_close=4)
        ends = time.monotonic() + watch.session.gateway.clock.seconds_until(CLOSE)
        await watch.until(lambda: trader.answers, 30)
        ((opened, at),) = trader.called
        assert (opened, set(trader.answers[0])) == (OPENED, set(symbols))
        assert 0 < ends - at < 3


async def test_candles_that_come_after_a_run_has_waited_in_vain_are_traded_by_another(
    market: Simulator, engine: Engine, symbols: tuple[str, ...]
) -> None:
    trader = Trader()
    async with watched(market, engine, symbols, on_close=trader.trade) as watch:
        await watch.set_clock(before_close=3)
        away = [await watch.rest_fault(), await watch.fault("refuse", status=503)]
        await watch.fault("reset")
        await watch.until(lambda: trader.answers, 30)
        assert trader.answers == [{}]
        for fault in away:
            await watch.mend(fault)
        await watch.until(lambda: len(trader.answers) == 2, 30)
        assert [opened for opened, _ in trader.called] == [OPENED, OPENED]
        assert set(trader.answers[1]) <= set(symbols)
        assert trader.answers[1]
