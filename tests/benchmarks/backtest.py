"""The moving-average cross in our kernel, in backtesting.py and in vectorbt: the same answers, and how long each takes.

The others are installed into a virtual environment of their own, from requirements/compare.txt with its hashes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eightbells.backtest import statistics, vector
from eightbells.backtest.history import read_folder
from eightbells.settings import PROJECT
from eightbells.strategies.ma_cross import MovingAverageCross
from tests.backtest.past import walk

FAST, SLOW, FEE = 20, 100, 0.001
SYMBOLS, CANDLES, SERIES = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"], 19_000, 400
SWEEP = [(fast, slow) for fast in range(2, 22) for slow in range(30, 280, 10)]
RIVALS = Path(__file__).parent / "rivals"
SAME = 1e-6  # of a figure: backtesting.py counts in units of 0.00000001


def main() -> None:
    python = _installed()
    with tempfile.TemporaryDirectory(prefix="eightbells-bench-") as folder:
        _full_history(python, Path(folder))
        _many(python, Path(folder))


def _installed() -> Path:
    """The Python of the environment with the others; made at its first use."""
    requirements = PROJECT / "requirements/compare.txt"
    place = PROJECT / "build" / f"compare-{sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python = place / "bin/python"
    if not (place / "complete").exists():
        print("installing what is compared with (once)", flush=True)
        venv.create(place, with_pip=True, clear=True)
        command = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(requirements),
        ]
        subprocess.run([python, *command], check=True)
        (place / "complete").touch()
    return python


def _full_history(python: Path, folder: Path) -> None:
    place = os.environ.get("EIGHTBELLS_MARKET_DATA")
    if place:
        histories = read_folder(Path(place), SYMBOLS)
        kind = "real klines"
    else:
        histories = [walk(seed, CANDLES, symbol) for seed, symbol in enumerate(SYMBOLS)]
        kind = "random walks; EIGHTBELLS_MARKET_DATA names a folder with real klines"
    frames = {}
    for it in (
        histories
    ):  # backtesting.py sells what is held at the end at the last open, the kernel at the last close
        frame = it.shown.copy()
        frame.iloc[-1, frame.columns.get_loc("close")] = frame["open"].iloc[-1]
        frames[it.symbol] = frame
    arrays: dict[str, Any] = {"symbols": np.array(SYMBOLS)}
    for it in histories:
        arrays[f"{it.symbol}_times"] = it.opens
        for name in ("open", "high", "low", "close", "volume"):
            arrays[f"{it.symbol}_{name}"] = frames[it.symbol][name].to_numpy()
    np.savez(folder / "full.npz", **arrays)
    theirs = _run(python, "with_backtesting.py", folder / "full.npz", FAST, SLOW, FEE)
    ours, seconds = _timed(lambda: {symbol: _crossed(frame) for symbol, frame in frames.items()})
    print(f"backtest: moving-average cross {FAST}/{SLOW}, {len(SYMBOLS)} symbols of full history, {kind}")
    _show("backtesting.py", theirs["seconds"])
    _show("kernel", seconds)
    for symbol, mine in ours.items():
        answer = theirs["answers"][symbol]
        same = _same(mine, answer["total_return"], answer["trades"], answer["fees"])
        other = ", ".join(str(answer[name]) for name in ("total_return", "trades", "fees"))
        print(
            f"  {symbol}: return {mine.total_return:.4%}, {mine.trades} trades, fees {mine.fees:.6f}: "
            f"{'equal' if same else f'NOT equal: {other}'}"
        )
        equity = np.array(answer["equity"])
        _, returns = statistics.daily_returns(arrays[f"{symbol}_times"].tolist(), equity)
        annual, volatility = statistics.annual_return(returns), statistics.annual_volatility(returns)
        down, drop = statistics.downside(returns), float(statistics.drawdowns(equity).max())
        assert annual is not None
        assert volatility
        assert down
        figures = {
            "annual_return": annual,
            "volatility": volatility,
            "sharpe": annual / volatility,
            "sortino": annual / down,
            "calmar": annual / drop,
            "max_drawdown": drop,
        }
        wrong = [
            name
            for name, value in figures.items()
            if not np.isclose(value, answer["figures"][name], rtol=SAME)
        ]
        print(f"    statistics of its equity curve: {'equal' if not wrong else f'NOT equal: {wrong}'}")


def _crossed(candles: pd.DataFrame) -> vector.Outcome:
    """The kernel on one symbol. backtesting.py asks for the first time one candle after the first whole window."""
    long = MovingAverageCross(MovingAverageCross.Parameters(fast=FAST, slow=SLOW)).signals(candles)
    long[SLOW - 1] = False
    opened, close = (candles[name].to_numpy() for name in ("open", "close"))
    return vector.outcome(vector.trades(opened, close, long), FEE)


def _many(python: Path, folder: Path) -> None:
    source = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(source.normal(0, 0.01, (CANDLES, SERIES)), axis=0))
    opened = np.vstack([np.full((1, SERIES), 100.0), close[:-1]])
    close[-1] = opened[-1]  # what is held at the end is sold there by both
    np.savez(
        folder / "many.npz",
        panel_open=opened,
        panel_close=close,
        sweep_open=opened[:, 0].copy(),
        sweep_close=close[:, 0].copy(),
        sweep_fast=np.array([fast for fast, _ in SWEEP]),
        sweep_slow=np.array([slow for _, slow in SWEEP]),
    )
    theirs = _run(python, "with_vectorbt.py", folder / "many.npz", FEE)
    frames = {
        str(at): pd.DataFrame({"open": opened[:, at].copy(), "close": close[:, at].copy()})
        for at in range(SERIES)
    }
    parameters = MovingAverageCross.Parameters(fast=FAST, slow=SLOW)
    variants = [MovingAverageCross.Parameters(fast=fast, slow=slow) for fast, slow in SWEEP]
    symbols, symbol_seconds = _timed(lambda: vector.of_symbols(MovingAverageCross, parameters, frames, FEE))
    points, point_seconds = _timed(
        lambda: vector.of_parameters(MovingAverageCross, variants, frames["0"], FEE)
    )
    for name, words, ours, seconds in (
        ("symbols", f"{SERIES} symbols x {CANDLES:,} candles", list(symbols.values()), symbol_seconds),
        ("parameters", f"{len(SWEEP)} pairs of parameters x {CANDLES:,} candles", points, point_seconds),
    ):
        print(f"backtest: {words}, random walks; seconds of each of three rounds, the first with all set-up")
        _show("kernel", seconds)
        for engine in ("numba", "auto"):
            if f"{name} {engine}" not in theirs:
                print(f"  vectorbt, {engine}: {theirs.get(f'{engine} failed')}")
                continue
            found = theirs[f"{name} {engine}"]
            _show(f"vectorbt, {engine}", found["seconds"])
            answers = list(zip(ours, *found["answer"], strict=True))
            same = sum(_same(mine, *other) for mine, *other in answers)
            print(f"    the same return, trades and fees: {same} of {len(answers)}")


def _same(mine: vector.Outcome, total_return: float, trades: int, fees: float) -> bool:
    return bool(
        mine.trades == trades
        and np.isclose(1 + mine.total_return, 1 + total_return, rtol=SAME, atol=1e-9)
        and np.isclose(mine.fees, fees, rtol=SAME, atol=1e-9)
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, list[float]]:
    seconds, answer = [], None
    for _ in range(3):
        began = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - began)
    return answer, seconds


def _show(name: str, seconds: list[float]) -> None:
    print(f"  {name:18} {'  '.join(f'{it:.3f}' for it in seconds)} s")


def _run(python: Path, script: str, *arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [python, RIVALS / script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        check=True,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
