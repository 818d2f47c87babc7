"""What keeps a strategy from buying: a pause, a cooldown after a stop or a target, too many stops, the drawdown."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.settings import Settings, StrategySettings
from eightbells.strategies.evaluation import Decision
from eightbells.trading import delistings
from eightbells.trading.pauses import pause_of

_LAST_STOP = """
SELECT o.changed_at, o.leg FROM orders AS o
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.leg IN ('stop', 'target')
AND o.executed_quantity > 0 ORDER BY o.changed_at DESC LIMIT 1
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
    if reason := delistings.refusal(connection, decision.symbol):
        return reason
    if pause := pause_of(connection, **values):
        return pause.refusal
    if limits.max_drawdown:
        peak: Decimal | None = connection.execute(text(_PEAK), values).scalar_one()
        if peak and peak > 0 and equity <= peak * (1 - limits.max_drawdown):
            return (
                f"equity is {1 - equity / peak:.2%} below its peak; "
                f"nothing is bought after {limits.max_drawdown:.2%} (risk.max_drawdown)"
            )
    if limits.max_stops:
        since = grid.to_time(now_ms - int(limits.stops_hours * 3_600_000))
        stops: int = connection.execute(text(_STOPS), {**values, "since": since}).scalar_one()
        if stops >= limits.max_stops:
            return (
                f"{stops} stops of {strategy.name} or {decision.symbol} in {limits.stops_hours:g} hours; "
                f"nothing is bought after {limits.max_stops} (risk.max_stops)"
            )
    return _cooldown(connection, strategy, decision, values)


def _cooldown(
    connection: Connection, strategy: StrategySettings, decision: Decision, values: dict[str, str]
) -> str | None:
    if strategy.cooldown == 0:
        return None
    sold = connection.execute(text(_LAST_STOP), values).one_or_none()
    if sold is None:
        return None
    stopped, leg = sold
    if strategy.cooldown == "flat":
        flat = connection.execute(
            text(_FLAT_SINCE), {**values, "stopped": stopped, "step": grid.STEP}
        ).scalar_one()
        if flat:
            return None
        return f"its {leg} sold at {stopped:%Y-%m-%d %H:%M} UTC, and the strategy has not been flat since (cooldown)"
    passed = (decision.open_ms - grid.floor(grid.to_ms(stopped))) // grid.STEP_MS
    if passed >= strategy.cooldown:
        return None
    return f"its {leg} sold at {stopped:%Y-%m-%d %H:%M} UTC, {passed} of {strategy.cooldown} candles ago (cooldown)"
