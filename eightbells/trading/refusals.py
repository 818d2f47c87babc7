"""Refusals: why an order that a decision calls for was not planned, one row per place, candle and stage."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.strategies.decision import EvaluationContext, Refused


def record_refusals(connection: Connection, refusals: Iterable[Refused], context: EvaluationContext) -> None:
    """Keep why something was not traded: of each place, candle and stage the newest reason."""
    for refusal in refusals:
        connection.execute(
            text("""
            INSERT INTO refusals (account, strategy, symbol, open_time, stage, reason, at, flow_run)
            VALUES (:account, :strategy, :symbol, :opened, :stage, :reason, :at, :run)
            ON CONFLICT ON CONSTRAINT refusals_place DO UPDATE
            SET reason = excluded.reason, at = excluded.at, flow_run = excluded.flow_run
            WHERE refusals.reason <> excluded.reason
            """),
            {
                **vars(refusal),
                "account": context.account,
                "opened": grid.to_time(context.open_ms),
                "at": grid.to_time(context.now_ms),
                "run": context.flow_run,
            },
        )
