"""Strategies asked on proven candles, each answer kept with all that it came from; the first answer stands."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.metadata import version

from sqlalchemy import Connection, Engine, text

from eightbells import metrics
from eightbells.candles import gaps, grid, store
from eightbells.candles.window import Window
from eightbells.quality.verdicts import Verdict
from eightbells.settings import PROJECT, StrategySettings
from eightbells.strategies.contract import Opinion, checked
from eightbells.strategies.decision import Decision, EvaluationContext, Failed, Refused
from eightbells.strategies.panel import Member, Panel
from eightbells.strategies.process import NoAnswer
from eightbells.strategies.universe import frame_of
from eightbells.strategies.view import View, content_hash, universe_hash


def evaluate(
    engine: Engine,
    panel: Panel,
    verdicts: dict[str, Verdict],
    symbols: tuple[str, ...],
    context: EvaluationContext,
    max_pause: int,
) -> list[Decision | Refused]:
    """Ask every strategy about each of its symbols, on one snapshot of the candles as stored.

    A symbol without proof is refused with its reason, and so is one on which a strategy fails; one that was decided
    before keeps that decision. A strategy that decides for all at once is shown the symbols that are not refused.
    Either all answers are in the books afterwards, or none of the new ones.

    Args:
        max_pause: how many slots without a candle a window may have in a row.

    Raises:
        IntegrityError, OperationalError: another worker has decided at the same moment; ask again.
    """
    asked = [
        symbol
        for symbol in symbols
        if any(symbol in member.needs or member.entry.trades(symbol) for member in panel.members)
    ]
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with snapshot.begin() as connection:
        answers, new = _evaluate(connection, panel, asked, verdicts, context, max_pause)
    for opined in new:  # only now are they in the books
        metrics.SIGNALS.labels(opined.opinion.target).inc()
    unready = [
        Failed(symbol, entry.name, "evaluation", reason)
        for entry, reason in panel.failed
        for symbol in symbols
        if entry.trades(symbol)
    ]
    return [*answers, *unready]


def _evaluate(
    connection: Connection,
    panel: Panel,
    asked: list[str],
    verdicts: dict[str, Verdict],
    context: EvaluationContext,
    max_pause: int,
) -> tuple[list[Decision | Refused], list[Opined]]:
    """All answers, and those among them that are new."""
    windows = store.read_windows(connection, asked, context.open_ms, panel.window(0))
    absent = gaps.absent(connection, asked, context.open_ms)
    batch, known = store.newest_batch(connection), _known(connection, asked, context)
    splits = _splits(connection, asked, context)
    views = {
        symbol: View(windows[symbol], absent[symbol], verdicts.get(symbol), max_pause, splits.get(symbol))
        for symbol in asked
    }
    found: dict[tuple[str, str], Decision | Refused | Opined] = {}
    for member in panel.members:  # one after the other: one that hangs loses the process, and would for all
        mine = {symbol: view for symbol, view in views.items() if member.entry.trades(symbol)}
        places = {symbol: (member.name, member.version, symbol) for symbol in mine}
        kept = {symbol: known[place] for symbol, place in places.items() if place in known}
        said = (
            _ask_all(mine, kept, panel, member, context, views)
            if member.sees_all
            else _ask_each(mine, kept, panel, member, context)
        )
        for symbol, answer in {**said, **kept}.items():
            found[symbol, member.name] = answer
    order = [(symbol, member.name) for symbol in asked for member in panel.members]
    answers = [found[place] for place in order if place in found]
    new = [answer for answer in answers if isinstance(answer, Opined)]
    signals = _keep(connection, new, batch, context)
    return [
        answer.decision(signals[answer.place], context) if isinstance(answer, Opined) else answer
        for answer in answers
    ], new


@dataclass(frozen=True)
class Opined:
    """A strategy's answer that is not in the books yet, with all that it came from.

    Args:
        inputs: hash of all that the strategy was shown.
        universe: the symbols that it was shown; None for a strategy that sees one.
    """

    entry: StrategySettings
    version: str
    symbol: str
    window: Window
    inputs: str
    validation: int
    opinion: Opinion
    universe: list[str] | None = None

    @property
    def place(self) -> tuple[str, str]:
        return self.entry.name, self.symbol

    @property
    def price(self) -> Decimal:
        return self.window.close

    @property
    def _levels(self) -> tuple[Decimal | None, ...]:
        given = (self.opinion.stop, self.opinion.take_profit, self.opinion.weight)
        return tuple(None if it is None else Decimal(it) for it in given)

    def decision(self, signal: int, context: EvaluationContext) -> Decision:
        return Decision(
            signal,
            self.entry.name,
            self.version,
            self.symbol,
            context.open_ms,
            self.opinion.target,
            self.price,
            self.opinion.reason,
            *self._levels,
        )

    def row(self) -> dict[str, object]:
        """What the books keep of it, as JSON takes it."""
        parameters = json.dumps(self.entry.parameters, sort_keys=True, default=str)
        stop, take_profit, weight = (None if it is None else str(it) for it in self._levels)
        return {
            "strategy": self.entry.name,
            "version": self.version,
            "parameters": json.loads(parameters),
            "parameters_hash": content_hash(parameters),
            "symbol": self.symbol,
            "start": grid.to_time(int(self.window.opens[0])).isoformat(),
            "candles": len(self.window),
            "inputs": self.inputs,
            "universe": self.universe,
            "validation": self.validation,
            "target": self.opinion.target,
            "price": str(self.price),
            "reason": self.opinion.reason,
            "stop": stop,
            "take_profit": take_profit,
            "weight": weight,
        }


_Answers = dict[str, Refused | Opined]


def _ask_each(
    views: Mapping[str, View],
    kept: Collection[str],
    panel: Panel,
    member: Member,
    context: EvaluationContext,
) -> _Answers:
    """The answers of a strategy that is asked about each symbol by itself; those of `kept` are there already."""
    found: _Answers = {}
    for symbol, view in views.items():
        if symbol in kept:
            continue
        if refused := _refused(view, symbol, member, context):
            found[symbol] = refused
            continue
        window = view.candles.newest(member.window)
        try:
            opinion = panel.ask(member, window.shown)
        except NoAnswer as error:  # one strategy keeps no other from trading
            found[symbol] = Failed(symbol, member.name, "evaluation", str(error))
            continue
        found[symbol] = _opined(view, symbol, member, opinion, view.hash(window))
    return found


def _ask_all(
    views: Mapping[str, View],
    kept: Collection[str],
    panel: Panel,
    member: Member,
    context: EvaluationContext,
    all_views: Mapping[str, View],
) -> _Answers:
    """The answers of a strategy that decides for all symbols at once, as far as they are not in `kept`.

    It is shown all symbols that may be decided on, and those of `all_views` that it needs. The others are left out of
    what it sees, each with its reason.
    """
    if views.keys() <= set(kept):
        return {}
    looked = {symbol: _refused(view, symbol, member, context) for symbol, view in views.items()}
    found: _Answers = {symbol: refused for symbol, refused in looked.items() if refused}
    for need in member.needs:
        if why := _not_shown(need, all_views, member, context):
            reason = f"{need}, which the strategy needs, may not be looked at: {why}"
            lacking = Refused("", member.name, "evaluation", reason)
            return {it: found.get(it, replace(lacking, symbol=it)) for it in views}
    needed = {symbol: all_views[symbol] for symbol in member.needs}
    shown = {**needed, **{symbol: view for symbol, view in views.items() if symbol not in found}}
    traded = {symbol: view for symbol, view in shown.items() if symbol in views}
    if not traded:
        return found
    windows = {symbol: view.candles.newest(member.window) for symbol, view in shown.items()}
    hashes = {symbol: view.hash(windows[symbol]) for symbol, view in shown.items()}
    inputs, universe = universe_hash(hashes), sorted(shown)
    opinions: Mapping[str, Opinion | str]
    try:
        frames = {symbol: window.shown for symbol, window in windows.items()}
        opinions = panel.ask_all(member, frame_of(frames, context.open_ms, member.window))
    except NoAnswer as error:
        opinions = dict.fromkeys(shown, str(error))
    for symbol, view in traded.items():
        opinion = opinions[symbol]
        if isinstance(opinion, str):
            found[symbol] = Failed(symbol, member.name, "evaluation", opinion)
        else:
            found[symbol] = _opined(view, symbol, member, opinion, inputs, universe)
    return found


def _not_shown(
    need: str, views: Mapping[str, View], member: Member, context: EvaluationContext
) -> str | None:
    """Why a symbol that a strategy needs is not there."""
    if need not in views:
        return "it is on hold, or not among the symbols of this candle"
    refused = _refused(views[need], need, member, context)
    return refused.reason if refused else None


def _refused(view: View, symbol: str, member: Member, context: EvaluationContext) -> Refused | None:
    """Why a strategy may not decide on a symbol."""
    window = view.candles.newest(member.window)
    if reason := view.objection(context.open_ms, window):
        return Refused(symbol, member.name, "quality", reason)
    if len(window) < member.window:
        short = f"{member.window} candles are needed, {len(window)} are there"
        return Refused(symbol, member.name, "evaluation", short)
    return None


def _opined(
    view: View, symbol: str, member: Member, opinion: Opinion, inputs: str, universe: list[str] | None = None
) -> Failed | Opined:
    window = view.candles.newest(member.window)
    assert view.verdict is not None
    try:
        # once more by the exact close: what the strategy was shown is a float
        sound = checked(opinion, window.close)
    except ValueError as error:
        return Failed(symbol, member.name, "evaluation", f"the strategy failed: {error}")
    validation = view.verdict.validation
    return Opined(member.entry, member.version, symbol, window, inputs, validation, sound, universe)


_KEEP = """
WITH asked AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS w (
        strategy text, version text, parameters jsonb, parameters_hash text, symbol text, start timestamptz,
        candles integer, inputs text, universe text [], validation bigint, target text, price numeric, reason text,
        stop numeric, take_profit numeric, weight numeric
    )
), evaluated AS (
    INSERT INTO evaluations (
        account, strategy, strategy_version, parameters, parameters_hash, code_version, symbol, "interval",
        open_time, window_start, window_candles, as_of_batch, inputs_hash, universe, validation_id, evaluated_at,
        flow_run
    )
    SELECT
        :account, strategy, version, parameters, parameters_hash, :code, symbol, :interval, :opened, start, candles,
        :batch, inputs, universe, validation, :now, :run
    FROM asked
    RETURNING id, strategy, symbol
), signalled AS (
    INSERT INTO signals (evaluation_id, target, price, reason, stop, take_profit, weight)
    SELECT e.id, a.target, a.price, a.reason, a.stop, a.take_profit, a.weight
    FROM evaluated AS e INNER JOIN asked AS a ON e.strategy = a.strategy AND e.symbol = a.symbol
    RETURNING id, evaluation_id
)
SELECT e.strategy, e.symbol, s.id FROM signalled AS s INNER JOIN evaluated AS e ON s.evaluation_id = e.id
"""


def _keep(
    connection: Connection, answers: list[Opined], batch: int, context: EvaluationContext
) -> dict[tuple[str, str], int]:
    """Keep evaluations and their signals; returns the signals' ids by strategy and symbol."""
    if not answers:
        return {}
    rows = connection.execute(
        text(_KEEP),
        {
            "rows": json.dumps([answer.row() for answer in answers]),
            "account": context.account,
            "code": code_version(),
            "interval": grid.INTERVAL,
            "opened": grid.to_time(context.open_ms),
            "batch": batch,
            "now": grid.to_time(context.now_ms),
            "run": context.flow_run,
        },
    )
    return {(strategy, symbol): signal for strategy, symbol, signal in rows}


def _known(
    connection: Connection, symbols: Collection[str], context: EvaluationContext
) -> dict[tuple[str, str, str], Decision]:
    """What was decided on the candle before, by strategy, its version, and symbol."""
    rows = connection.execute(
        text(
            "SELECT s.id, e.strategy, e.strategy_version, e.symbol, s.target, s.price, s.reason, "
            "s.stop, s.take_profit, s.weight FROM signals AS s "
            "INNER JOIN evaluations AS e ON s.evaluation_id = e.id WHERE e.account = :account "
            'AND e.symbol = ANY(:symbols) AND e."interval" = :interval AND e.open_time = :opened'
        ),
        {
            "account": context.account,
            "symbols": list(symbols),
            "interval": grid.INTERVAL,
            "opened": grid.to_time(context.open_ms),
        },
    )
    return {
        (row.strategy, row.strategy_version, row.symbol): Decision(
            row.id,
            row.strategy,
            row.strategy_version,
            row.symbol,
            context.open_ms,
            row.target,
            row.price,
            row.reason,
            row.stop,
            row.take_profit,
            row.weight,
        )
        for row in rows
    }


def _splits(connection: Connection, symbols: Collection[str], context: EvaluationContext) -> dict[str, int]:
    """The first candle in new coins (ms) of the symbols that were split."""
    rows = connection.execute(
        text(
            "SELECT symbol, max(candle) FROM splits WHERE account = :account AND symbol = ANY(:symbols) "
            "AND candle <= :opened GROUP BY symbol"
        ),
        {"account": context.account, "symbols": list(symbols), "opened": grid.to_time(context.open_ms)},
    )
    return {symbol: grid.to_ms(candle) for symbol, candle in rows}


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
