"""Runs the benchmarks that are named, or all: `make bench ARGS="store reads"`."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("store", "reads", "books", "cycle", "stream", "close", "backfill", "backtest", "table")

for name in sys.argv[1:] or BENCHMARKS:
    if name not in BENCHMARKS:
        sys.exit(f"there is no benchmark {name}: {', '.join(BENCHMARKS)}")
    importlib.import_module(f"tests.benchmarks.{name}").main()
