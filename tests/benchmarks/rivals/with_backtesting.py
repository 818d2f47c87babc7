"""The moving-average cross in backtesting.py: `python with_backtesting.py DATA.npz FAST SLOW FEE`, answers in JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from backtesting import Strategy
from backtesting.lib import FractionalBacktest

warnings.filterwarnings("ignore")
UNIT = 1e-8  # of a coin, in which FractionalBacktest counts
FAST, SLOW, FEE = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


def mean(values, length):
    """Summed in TA-Lib's order, of the prices as they were before they were scaled: equal ones are rounded alike."""
    values = np.round(np.asarray(values) / UNIT, 8)
    sums = np.zeros(len(values) - length + 1)
    for at in range(length):
        sums += values[at : at + len(sums)]
    return np.concatenate([np.full(length - 1, np.nan), sums / length])


class Cross(Strategy):
    def init(self):
        self.fast = self.I(mean, self.data.Close, FAST)
        self.slow = self.I(mean, self.data.Close, SLOW)

    def next(self):
        if self.fast[-1] > self.slow[-1]:
            if not self.position:
                self.buy()
        elif self.position:
            self.position.close()


def main() -> None:
    data = np.load(sys.argv[1])
    answers, seconds = {}, []
    for _ in range(3):
        began = time.perf_counter()
        for symbol in data["symbols"]:
            columns = {
                name.title(): data[f"{symbol}_{name}"] for name in ("open", "high", "low", "close", "volume")
            }
            index = pd.to_datetime(data[f"{symbol}_times"], unit="ms")
            frame = pd.DataFrame(columns, index=index)
            trial = FractionalBacktest(frame, Cross, cash=1_000_000, commission=FEE, finalize_trades=True)
            found = trial.run()
            answers[str(symbol)] = {
                "total_return": found["Return [%]"] / 100,
                "trades": int(found["# Trades"]),
                "fees": found["Commissions [$]"] / 1_000_000,
                "figures": {
                    name: found[key] / scale
                    for name, key, scale in (
                        ("annual_return", "Return (Ann.) [%]", 100),
                        ("volatility", "Volatility (Ann.) [%]", 100),
                        ("sharpe", "Sharpe Ratio", 1),
                        ("sortino", "Sortino Ratio", 1),
                        ("calmar", "Calmar Ratio", 1),
                        ("max_drawdown", "Max. Drawdown [%]", -100),
                    )
                },
                "equity": found["_equity_curve"]["Equity"].tolist(),
            }
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "answers": answers}))


main()
