"""What keeps a strategy from buying: a pause, a cooldown after a stop, too many stops, the drawdown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.settings import RiskSettings, Settings, StrategySettings
from eightbells.strategies.evaluation import Decision
from eightbells.trading.pauses import pause_of

_LAST_STOP = """
SELECT max(o.changed_at) FROM orders AS o
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.leg = 'stop'
AND o.executed_quantity > 0
"""
_FLAT_SINCE = """
SELECT EXISTS (
    SELECT FROM evaluations AS e INNER JOIN signals AS s ON s.evaluation_id = e.id
    WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol AND s.target = 'flat'
    AND e.open_time + CAST(:step AS interval) > :stopped
)
"""
_STOPS = """
SELECT count(*) FROM orders AS o
WHERE o.account = :account AND o.leg = 'stop' AND o.executed_quantity > 0 AND o.changed_at > :since
AND (o.strategy = :strategy OR o.symbol = :symbol)
"""
# What was put in or taken out since does not move the peak.
_PEAK = """
SELECT max(equity - capital) + (
    SELECT coalesce(sum(amount), 0) FROM capital_changes WHERE account = :account
) FROM cycles WHERE account = :account
"""


def objection(
    connection: Connection, settings: Settings, strategy: StrategySettings, decision: Decision, equity: Decimal,
    now_ms: int,
) -> str | None:  # fmt: skip
    """Why the strategy may not buy the symbol now, or None. Sales are never asked about.

    Args:
        equity: at the close of the candle that the decision was made on, in the quote asset.
        now_ms: the exchange's clock.
    """
    values = {"account": settings.account, "strategy": strategy.name, "symbol": decision.symbol}
    limits = settings.risk
    if pause := pause_of(connection, **values):
        return pause.refusal
    if limits.max_drawdown:
        peak: Decimal | None = connection.execute(text(_PEAK), values).scalar_one()
        if reason := of_drawdown(equity, peak, limits):
            return reason
    if limits.max_stops:
        since = grid.to_time(now_ms - int(limits.stops_hours * 3_600_000))
        stops: int = connection.execute(text(_STOPS), {**values, "since": since}).scalar_one()
        if reason := of_stops(stops, strategy.name, decision.symbol, limits):
            return reason
    if strategy.cooldown == 0:
        return None
    stopped = connection.execute(text(_LAST_STOP), values).scalar_one()

    def has_been_flat() -> bool:
        found: bool = connection.execute(
            text(_FLAT_SINCE), {**values, "stopped": stopped, "step": grid.STEP}
        ).scalar_one()
        return found

    return of_cooldown(strategy, decision.open_ms, stopped, has_been_flat)


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


def of_cooldown(
    strategy: StrategySettings, open_ms: int, stopped: datetime | None, has_been_flat: Callable[[], bool]
) -> str | None:
    """Why a strategy may not buy again what its stop has sold, or None. Pure.

    Args:
        open_ms: of the candle that is decided on.
        stopped: when its stop has last sold the symbol.
        has_been_flat: whether it has wanted to be flat since.
    """
    if strategy.cooldown == 0 or stopped is None:
        return None
    if strategy.cooldown == "flat":
        if has_been_flat():
            return None
        return f"its stop sold at {stopped:%Y-%m-%d %H:%M} UTC, and the strategy has not been flat since (cooldown)"
    passed = (open_ms - grid.floor(grid.to_ms(stopped))) // grid.STEP_MS
    if passed >= strategy.cooldown:
        return None
    return f"its stop sold at {stopped:%Y-%m-%d %H:%M} UTC, {passed} of {strategy.cooldown} candles ago (cooldown)"
