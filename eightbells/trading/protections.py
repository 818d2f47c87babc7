"""What keeps a strategy from buying: a pause, a cooldown after a stop or a target, too many stops, the drawdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.settings import RiskSettings, Settings, StrategySettings
from eightbells.strategies.decision import Decision
from eightbells.trading import delistings
from eightbells.trading.pauses import Pause, open_pauses, pause_of

Place = tuple[str, str]  # strategy and symbol

# The last stop or target of each place that has sold something, and whether its strategy has wanted to be flat since.
_LAST_STOPS = """
SELECT w.strategy, w.symbol, stop.at, stop.leg, EXISTS (
    SELECT FROM evaluations AS e INNER JOIN signals AS s ON s.evaluation_id = e.id
    WHERE e.account = :account AND e.strategy = w.strategy AND e.symbol = w.symbol AND s.target = 'flat'
    AND e.open_time > stop.at - CAST(:step AS interval)
) AS flat_since
FROM unnest(CAST(:strategies AS text[]), CAST(:symbols AS text[])) AS w (strategy, symbol)
CROSS JOIN LATERAL (
    SELECT o.changed_at AS at, o.leg FROM orders AS o
    WHERE o.account = :account AND o.strategy = w.strategy AND o.symbol = w.symbol AND o.leg IN ('stop', 'target')
    AND o.executed_quantity > 0 ORDER BY o.changed_at DESC LIMIT 1
) AS stop
"""
_STOPS = """
SELECT strategy, symbol, count(*) FROM orders
WHERE account = :account AND leg = 'stop' AND executed_quantity > 0 AND changed_at > :since
GROUP BY strategy, symbol
"""
# What was put in or taken out since does not move the peak.
_PEAK = """
SELECT max(equity - capital) + (
    SELECT coalesce(sum(amount), 0) FROM capital_changes WHERE account = :account
) FROM cycles WHERE account = :account
"""


@dataclass(frozen=True)
class LastStop:
    """When a stop or target has last sold a place, and whether its strategy has wanted to be flat since."""

    at: datetime
    flat_since: bool
    leg: str = "stop"


@dataclass(frozen=True)
class Protections:
    """What the books say of each place (strategy, symbol) that something is to be bought for, read at once.

    Args:
        peak: the highest equity of all cycles, in the quote asset; None before the first.
        stops: how many stops have sold in the last `risk.stops_hours`.
        delistings: of each symbol that will be traded no more, why it is not bought.
    """

    pauses: list[Pause]
    peak: Decimal | None
    last_stops: Mapping[Place, LastStop]
    stops: Mapping[Place, int]
    delistings: Mapping[str, str]

    @classmethod
    def read(
        cls, connection: Connection, settings: Settings, places: Collection[Place], now_ms: int
    ) -> Protections:
        """Args:
        now_ms: the exchange's clock.
        """
        account, limits = settings.account, settings.risk
        peak, stops = None, {}
        if limits.max_drawdown:
            peak = connection.execute(text(_PEAK), {"account": account}).scalar_one()
        if limits.max_stops:
            since = grid.to_time(now_ms - int(limits.stops_hours * 3_600_000))
            rows = connection.execute(text(_STOPS), {"account": account, "since": since})
            stops = {(strategy, symbol): count for strategy, symbol, count in rows}
        named = {"strategies": [it for it, _ in places], "symbols": [it for _, it in places]}
        rows = connection.execute(text(_LAST_STOPS), {"account": account, "step": grid.STEP, **named})
        last = {(strategy, symbol): LastStop(at, flat, leg) for strategy, symbol, at, leg, flat in rows}
        return cls(open_pauses(connection, account), peak, last, stops, delistings.refusals(connection))

    def objection(
        self, settings: Settings, strategy: StrategySettings, decision: Decision, equity: Decimal
    ) -> str | None:
        """Why the strategy may not buy the symbol now, or None. Sales are never asked about.

        Args:
            equity: at the close of the candle that the decision was made on, in the quote asset.
        """
        name, symbol = strategy.name, decision.symbol
        if reason := self.delistings.get(symbol):
            return reason
        if pause := pause_of(self.pauses, name, symbol):
            return pause.refusal
        if reason := of_drawdown(equity, self.peak, settings.risk):
            return reason
        stops = sum(count for place, count in self.stops.items() if name == place[0] or symbol == place[1])
        if reason := of_stops(stops, name, symbol, settings.risk):
            return reason
        stop = self.last_stops.get((name, symbol))
        return of_cooldown(strategy, decision.open_ms, stop) if stop is not None else None


def of_drawdown(equity: Decimal, peak: Decimal | None, limits: RiskSettings) -> str | None:
    """Why nothing is bought so far below the peak of the equity, or None. Pure."""
    if not limits.max_drawdown or not peak or peak <= 0 or equity > peak * (1 - limits.max_drawdown):
        return None
    return (
        f"equity is {1 - equity / peak:.2%} below its peak; "
        f"nothing is bought after {limits.max_drawdown:.2%} (risk.max_drawdown)"
    )


def of_stops(stops: int, strategy: str, symbol: str, limits: RiskSettings) -> str | None:
    """Why nothing is bought after so many stops of the strategy or the symbol, or None. Pure."""
    if not limits.max_stops or stops < limits.max_stops:
        return None
    return (
        f"{stops} stops of {strategy} or {symbol} in {limits.stops_hours:g} hours; "
        f"nothing is bought after {limits.max_stops} (risk.max_stops)"
    )


def of_cooldown(strategy: StrategySettings, open_ms: int, stop: LastStop) -> str | None:
    """Why a strategy may not buy again what its stop has sold, or None. Pure.

    Args:
        open_ms: of the candle that is decided on.
    """
    if strategy.cooldown == 0:
        return None
    said = f"its {stop.leg} sold at {stop.at:%Y-%m-%d %H:%M} UTC"
    if strategy.cooldown == "flat":
        return None if stop.flat_since else f"{said}, and the strategy has not been flat since (cooldown)"
    passed = (open_ms - grid.floor(grid.to_ms(stop.at))) // grid.STEP_MS
    if passed >= strategy.cooldown:
        return None
    return f"{said}, {passed} of {strategy.cooldown} candles ago (cooldown)"
