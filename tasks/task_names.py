"""The names of all tasks, as the Prefect UI shows them; what stands in braces is a parameter of the task."""

from typing import Literal

TaskName = Literal[
    "the exchange's time",
    "check the key's permissions",
    "wait for the close",
    "rules of the symbols",
    "rules of what is held",
    "candles to {label}",
    "prepare the strategies",
    "evaluate {label}",
    "reconcile the books",
    "plan orders for {label}",
    "guard the positions",
    "send {label}",
    "follow {label}",
    "close the books of {label}",
    "report of {label}",
    "report of the reconciliation",
    "find what is missing",
    "load {slots} candles",
    "ask again for what is missing",
    "report of the backfill",
    "turn the trading switch",
    "plan the sale of everything",
    "book the split of {symbol}",
    "confirm {symbol}",
    "forget runs that ended before {before:%Y-%m-%d %H:%M}",
]
