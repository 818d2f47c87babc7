"""The moving-average cross in vectorbt: `python with_vectorbt.py DATA.npz FEE`, answers in JSON.

What is measured is from prices to total returns, number of trades and fees, with each of its engines.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
import vectorbt as vbt

warnings.filterwarnings("ignore")
FEE = float(sys.argv[2])


def shifted(signals):
    moved = np.zeros_like(signals)
    moved[1:] = signals[:-1]
    return moved


def portfolio(opened, close, fast, slow):
    known = ~np.isnan(slow)
    long = known & (fast > slow)
    entries, exits = shifted(long), shifted(known & ~long)
    entries[-1], exits[-1] = False, True  # sold at the end
    return vbt.Portfolio.from_signals(close, entries, exits, price=opened, fees=FEE, init_cash=1.0, freq="4h")


def answers_of(found):
    return [
        np.asarray(found.total_return()).tolist(),
        np.asarray(found.trades.count()).tolist(),
        np.asarray(found.orders.fees.sum()).tolist(),
    ]


def many_symbols(data):
    close, opened = pd.DataFrame(data["panel_close"]), pd.DataFrame(data["panel_open"])
    fast = vbt.MA.run(close, 20, short_name="fast").ma.to_numpy()
    slow = vbt.MA.run(close, 100, short_name="slow").ma.to_numpy()
    return answers_of(portfolio(opened, close, fast, slow))


def many_parameters(data):
    close = pd.Series(data["sweep_close"])
    fast = vbt.MA.run(close, data["sweep_fast"].tolist(), short_name="fast").ma.to_numpy()
    slow = vbt.MA.run(close, data["sweep_slow"].tolist(), short_name="slow").ma.to_numpy()
    wide = pd.DataFrame(np.broadcast_to(data["sweep_close"][:, None], fast.shape))
    return answers_of(portfolio(data["sweep_open"][:, None], wide, fast, slow))


def main() -> None:
    data = dict(np.load(sys.argv[1]))
    found: dict[str, object] = {}
    for engine in ("numba", "auto"):  # auto: Rust where it has the function
        try:
            vbt.settings["engine"] = engine
            for name, work in (("symbols", many_symbols), ("parameters", many_parameters)):
                seconds = []
                for _ in range(3):  # the first compiles
                    began = time.perf_counter()
                    answer = work(data)
                    seconds.append(time.perf_counter() - began)
                found[f"{name} {engine}"] = {"seconds": seconds, "answer": answer}
        except Exception as error:  # an engine that is not there is told
            found[f"{engine} failed"] = repr(error)
    print(json.dumps(found))


main()
