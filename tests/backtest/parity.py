"""The cycle against the simulator over a span of the past, and the backtest of that span: the same orders and equity.

    python -m tests.backtest.parity [--days N] [--order-type market|limit] [--minutes N] [--record FILE | --from FILE]

Each order is compared by its id, with all its figures, and the equity that each cycle has noted, to the last digit.
"""

from __future__ import annotations

import argparse
import cProfile
import pickle
import pstats
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from eightbells.backtest.engine import run
from eightbells.backtest.history import History, read_folder
from eightbells.backtest.result import Result
from eightbells.candles import grid
from eightbells.database import embedded
from eightbells.database.engine import connect
from eightbells.trading.outbox import Order
from eightbells.universe.walk import Timeline
from tests import surroundings
from tests.backtest.recording import STEP, Recording, record
from tests.crash.world import administer, migrated
from tests.exchange import running

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
# One of each kind. With a fifth stop of a symbol the exchange has as many as it takes, and refuses to replace any.
STRATEGIES: tuple[dict[str, Any], ...] = (
    {
        "name": "trend",
        "kind": "ma_cross",
        "capital": "10000",
        "stop_loss": "0.02",
        "cooldown": 3,
        "sizing": "equity",
        "parameters": {"fast": 5, "slow": 20},
    },
    {
        "name": "breakout",
        "kind": "donchian",
        "capital": "10000",
        "stop_loss": "0.03",
        "target_volatility": "0.6",
        "parameters": {"entry": 20, "exit": 10, "memory": 60},
    },
    {
        "name": "reversion",
        "kind": "rsi_reversion",
        "capital": "10000",
        "stop_loss": "0.03",
        "parameters": {"trend": 100, "memory": 30},
    },
    {
        "name": "rotation",
        "kind": "momentum",
        "capital": "10000",
        "stop_loss": "0.05",
        "sizing": "equity",
        "rebalance_band": "0.1",
        "parameters": {"lookback": 60, "rebalance": 18},
    },
)
LIMITS = {
    "risk__max_exposure": "30000",
    "risk__max_stops": "4",
    "risk__daily_loss": "900",
}
FIELDS = ("strategy", "symbol", "leg", "side", "type", "quantity", "price", "stop_price", "executed_quantity")
FEES = {"taker_fee": "0.001", "maker_fee": "0.001", "fees_in": "received", "slippage": "0"}


@dataclass
class Comparison:
    """What both sides did, and where they differ, in words."""

    orders: int
    fills: int
    equity: Decimal
    differences: list[str]

    @property
    def kinds(self) -> Counter[str]:
        return Counter(it.partition(":")[0] for it in self.differences)

    def __str__(self) -> str:
        if not self.differences:
            return f"equal: {self.orders} orders, {self.fills} fills, equity {self.equity}"
        shown = [f"{times} x {kind}" for kind, times in self.kinds.most_common()]
        return "\n".join([*self.differences[:40], f"{len(self.differences)} differences", *shown])


def backtest(found: Recording, histories: Sequence[History], members: Timeline | None = None) -> Result:
    """The backtest of what was recorded, on the candles and by the exchange's rules that the cycle knew.

    Args:
        members: those that the cycle has chosen, where it has chosen any.
    """
    since = grid.to_time(found.known_from)
    known = [
        replace(
            it,
            frame=it.frame[it.frame.index >= since],
            absent=it.absent[it.absent >= found.known_from],
            rules=found.rules[it.symbol],
            assumed=False,
        )
        for it in histories
    ]
    settings = found.settings if members is None else found.settings.with_members(members)
    return run(settings, known, found.first - STEP, found.last, members=members)


def order_figures(order: Order) -> tuple[object, ...]:
    """What is compared of an order, beside whose it is."""
    return (
        order.leg,
        order.side,
        order.type,
        order.quantity,
        order.price,
        order.stop_price,
        order.executed_quantity,
    )


def compare(found: Recording, result: Result) -> Comparison:
    """Each order by its id with all its figures, and the equity of every cycle, to the last digit."""
    ours = {name: (it.strategy, it.symbol, *order_figures(it)) for name, it in result.orders.items()}
    differences = []
    for name, theirs in found.orders.items():
        if name not in ours:
            differences.append(f"only the cycle ordered: {name} {_shown(theirs)}")
        elif ours[name] != theirs:
            what = [
                f"{label} {mine} {other}"
                for label, mine, other in zip(FIELDS, ours[name], theirs, strict=True)
                if mine != other
            ]
            differences.append(f"other figures: {name} {_shown(theirs)}, backtest and cycle: {what}")
    for name, mine in ours.items():
        if name not in found.orders:
            differences.append(f"only the backtest ordered: {name} {_shown(mine)}")
    for at, equity in sorted(found.equity.items()):
        if result.booked[at] != equity:
            differences.append(f"other equity: {grid.label(at)} backtest {result.booked[at]}, cycle {equity}")
    if result.equity[-1] != found.worth:
        differences.append(f"other equity: at the end backtest {result.equity[-1]}, cycle {found.worth}")
    if len(result.fills) != found.fills:
        differences.append(f"other fills: backtest {len(result.fills)}, cycle {found.fills}")
    return Comparison(len(found.orders), found.fills, found.worth, differences)


def _shown(order: tuple[Any, ...]) -> str:
    return " ".join(str(it) for it in order if it is not None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.backtest.parity", description=__doc__)
    add = parser.add_argument
    add("--days", type=float, default=730, help="length of the span (default: %(default)s)")
    add("--symbols", default=",".join(SYMBOLS), help="comma-separated (default: %(default)s)")
    add("--order-type", choices=("market", "limit"), default="limit", help="default: %(default)s")
    add("--data", type=Path, default=surroundings.MARKET_DATA, help="folder of real market data")
    add("--until", help="end of the span, 2025-04-30; default: the newest candle")
    add("--minutes", type=float, default=float("inf"), help="end the span after so long")
    add("--record", type=Path, help="keep what the cycle did in this file")
    add("--from", type=Path, dest="recorded", help="compare with what was kept in this file")
    add("--profile", action="store_true", help="show where the cycle's time goes")
    chosen = parser.parse_args(arguments)
    if chosen.data is None:
        parser.error("--data or EIGHTBELLS_MARKET_DATA must name a folder of real market data")
    symbols = chosen.symbols.split(",")
    histories = read_folder(chosen.data, symbols)
    if chosen.recorded:
        found: Recording = pickle.loads(chosen.recorded.read_bytes())
    else:
        last = min(int(it.opens[-1]) for it in histories)
        if chosen.until:
            last = min(last, grid.to_ms(datetime.fromisoformat(f"{chosen.until}T00:00Z")) - STEP)
        first = last - int(chosen.days * 6 - 1) * STEP
        settings = {
            "symbols": symbols,
            "strategies": list(STRATEGIES),
            "backtest": FEES,
            **LIMITS,
            "trading__order_type": chosen.order_type,
            "trading__limit_offset": "-0.002",
        }
        found = _recorded(chosen, histories, (first, last), settings)
    began = time.monotonic()
    result = backtest(found, histories)
    compared = compare(found, result)
    print(
        f"{len(found.equity)} cycles in {found.seconds:.0f} s, backtest in {time.monotonic() - began:.1f} s;"
        f" {grid.label(found.first)} to {grid.label(found.last)}"
    )
    legs = Counter(f"{it.order.leg} {it.order.type}" for it in result.fills)
    print(", ".join(f"{times} {leg}" for leg, times in legs.most_common()))
    for problem, times in Counter(found.problems).most_common(10):
        print(f"{times} x problem of the cycle: {problem}")
    print(compared)
    return 1 if compared.differences else 0


def _recorded(
    chosen: argparse.Namespace,
    histories: Sequence[History],
    span: tuple[int, int],
    settings: dict[str, Any],
) -> Recording:
    surroundings.forget_the_developer()
    folder = surroundings.make_folder()
    names = ",".join(it.symbol for it in histories)
    with embedded.server(folder) as server:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            administer(server, f"ALTER SYSTEM SET {setting} = off")
        administer(server, "SELECT pg_reload_conf()")
        engine = connect(server.url(migrated(server)))
        given = ("--data", str(chosen.data), "--symbols", names, "--no-limits")
        with running(*given) as simulator:
            profile = cProfile.Profile() if chosen.profile else None
            if profile:
                profile.enable()
            seconds = chosen.minutes * 60
            found = record(
                simulator, engine, histories, *span, settings, seconds, lambda it: print(it, flush=True)
            )
            if profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("cumulative").print_stats("eightbells/|tasks/|flows/", 40)
        engine.dispose()
    if chosen.record:
        chosen.record.write_bytes(pickle.dumps(found))
    return found


if __name__ == "__main__":
    sys.exit(main())
