"""Strategies asked on proven candles, each answer kept with all that it came from; the first answer stands."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version

import pandas as pd
from sqlalchemy import Connection, Engine, text

from eightbells.candles import grid, store
from eightbells.quality.gate import Verdict, objection
from eightbells.settings import PROJECT, Settings, StrategySettings
from eightbells.strategies.contract import Strategy, Target, build


@dataclass(frozen=True)
class Decision:
    """What a strategy decided on one symbol's candle. `price` is that candle's close, exactly."""

    signal: int
    strategy: str
    version: str
    symbol: str
    open_ms: int
    target: Target
    price: Decimal
    reason: str


@dataclass(frozen=True)
class Refused:
    """Why there is no decision; `strategy` is empty where the symbol is refused to all."""

    symbol: str
    strategy: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Moment:
    """What an evaluation is made for: the candle, and when and by which run it is asked."""

    account: str
    open_ms: int
    now_ms: int
    flow_run: str | None


def evaluate(
    engine: Engine, settings: Settings, verdicts: dict[str, Verdict], symbols: tuple[str, ...], moment: Moment
) -> Iterator[Decision | Refused]:
    """Ask every strategy about each of its symbols, on the candles as stored.

    A symbol without proof is refused with its reason; one that was decided before keeps that decision.
    """
    strategies = [(entry, build(entry)) for entry in settings.strategies]
    for symbol in symbols:
        asked = [(entry, strategy) for entry, strategy in strategies if symbol in (entry.symbols or symbols)]
        if asked:
            snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
            with snapshot.begin() as connection:
                yield from _evaluate_symbol(connection, symbol, asked, verdicts.get(symbol), moment)


def _evaluate_symbol(
    connection: Connection, symbol: str, asked: list[tuple[StrategySettings, Strategy]],
    verdict: Verdict | None, moment: Moment,
) -> Iterator[Decision | Refused]:  # fmt: skip
    longest = max(strategy.window for _, strategy in asked)
    candles = store.read_window(connection, symbol, moment.open_ms, longest)
    batch = store.newest_batch(connection)
    for entry, strategy in asked:
        if known := _known(connection, entry.name, strategy.version, symbol, moment):
            yield known
            continue
        window = candles.iloc[-strategy.window :]
        if reason := objection(connection, verdict, symbol, moment.open_ms, window):
            yield Refused(symbol, entry.name, "quality", reason)
        elif len(window) < strategy.window:
            short = f"{strategy.window} candles are needed, {len(window)} are there"
            yield Refused(symbol, entry.name, "evaluation", short)
        else:
            assert verdict is not None
            yield _decide(connection, entry, strategy, symbol, window, batch, verdict, moment)


def _decide(
    connection: Connection, entry: StrategySettings, strategy: Strategy, symbol: str, window: pd.DataFrame,
    batch: int, verdict: Verdict, moment: Moment,
) -> Decision:  # fmt: skip
    opinion = strategy.decide(window.astype(float))
    price: Decimal = window["close"].iloc[-1]
    parameters = json.dumps(entry.parameters, sort_keys=True, default=str)
    evaluation = connection.execute(
        text("""
        INSERT INTO evaluations (
            account, strategy, strategy_version, parameters, parameters_hash, code_version, symbol, "interval",
            open_time, window_start, window_candles, as_of_batch, inputs_hash, validation_id, evaluated_at, flow_run
        ) VALUES (
            :account, :strategy, :version, CAST(:parameters AS jsonb), :parameters_hash, :code, :symbol, :interval,
            :opened, :start, :count, :batch, :inputs, :validation, :now, :run
        ) RETURNING id
        """),
        {
            "account": moment.account, "strategy": entry.name, "version": strategy.version,
            "parameters": parameters, "parameters_hash": _hash(parameters), "code": code_version(),
            "symbol": symbol, "interval": grid.INTERVAL, "opened": grid.to_time(moment.open_ms),
            "start": window.index[0].to_pydatetime(), "count": len(window), "batch": batch,
            "inputs": inputs_hash(window), "validation": verdict.validation,
            "now": grid.to_time(moment.now_ms), "run": moment.flow_run,
        },
    ).scalar_one()  # fmt: skip
    signal: int = connection.execute(
        text(
            "INSERT INTO signals (evaluation_id, target, price, reason) "
            "VALUES (:evaluation, :target, :price, :reason) RETURNING id"
        ),
        {"evaluation": evaluation, "target": opinion.target, "price": price, "reason": opinion.reason},
    ).scalar_one()
    return Decision(
        signal, entry.name, strategy.version, symbol, moment.open_ms, opinion.target, price, opinion.reason
    )


def _known(
    connection: Connection, strategy: str, version_: str, symbol: str, moment: Moment
) -> Decision | None:
    row = connection.execute(
        text(
            "SELECT s.id, s.target, s.price, s.reason FROM signals AS s "
            "INNER JOIN evaluations AS e ON s.evaluation_id = e.id "
            "WHERE e.account = :account AND e.strategy = :strategy AND e.strategy_version = :version "
            'AND e.symbol = :symbol AND e."interval" = :interval AND e.open_time = :opened'
        ),
        {
            "account": moment.account, "strategy": strategy, "version": version_, "symbol": symbol,
            "interval": grid.INTERVAL, "opened": grid.to_time(moment.open_ms),
        },
    ).one_or_none()  # fmt: skip
    if row is None:
        return None
    return Decision(row.id, strategy, version_, symbol, moment.open_ms, row.target, row.price, row.reason)


def inputs_hash(window: pd.DataFrame) -> str:
    """The hash of exactly what a strategy was shown: every time and every digit."""
    times = pd.DatetimeIndex(window.index).as_unit("ms").asi8
    rows = zip(times, *(window[name].tolist() for name in window.columns), strict=True)
    return _hash("\n".join(" ".join(map(str, row)) for row in rows))


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@functools.cache
def code_version() -> str:
    """The package's version, with the commit it was checked out at where there is one."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:  # no git here
        commit = ""
    return version("eightbells") + (f"+{commit}" if commit else "")
