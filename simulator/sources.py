"""Where market data comes from: a folder of CSV files, or the generator."""

from __future__ import annotations

from pathlib import Path

from simulator.clock import parse_time
from simulator.generator import GeneratedSeries, profiles
from simulator.market import Market
from simulator.options import Options
from simulator.series import Series, StoredSeries
from simulator.symbols import RATE_LIMITS, SymbolTable, made_up
from simulator.upstream import Upstream

SETTLE = 2000  # without --clock, the exchange stands this long after the last candle's close
GENERATED_NOW = "2026-01-01T00:00:02Z"


def open_market(options: Options) -> tuple[Market, int, str]:
    """The market, the time at which its data ends, and a sentence that says where it comes from.

    Raises ValueError with a sentence when the data cannot be used.
    """
    if options.upstream is not None:
        market, now = Upstream.open_market(options.upstream)
        return market, now, f"market data of {options.upstream}"
    if options.data is not None:
        return _from_folder(options.data, options.symbols)
    made = profiles(options.generate, options.seed)
    chosen = [p for p in made if options.symbols is None or p.symbol in options.symbols]
    table = SymbolTable([made_up(profile) for profile in made], RATE_LIMITS)
    series: dict[str, Series] = {
        p.symbol: GeneratedSeries(p, options.seed, options.history_start) for p in chosen
    }
    told = f"made-up candles of {len(series)} symbols, seed {options.seed}"
    return Market(series, table), parse_time(GENERATED_NOW), told


def _from_folder(folder: Path, only: tuple[str, ...] | None) -> tuple[Market, int, str]:
    table = SymbolTable.load(folder / "exchange-info")
    files = {path.name.split("-")[0]: path for path in sorted((folder / "klines-4h").glob("*-4h.csv*"))}
    if not files:
        raise ValueError(f"{folder / 'klines-4h'} holds no SYMBOL-4h.csv.gz")
    missing = [symbol for symbol in only or () if symbol not in files]
    if missing:
        raise ValueError(f"{folder / 'klines-4h'} has no candles of {', '.join(missing)}")
    series: dict[str, Series] = {}
    for symbol in only or files:
        table.get(symbol)
        series[symbol] = StoredSeries.load(files[symbol], symbol)
    end = max((s.end() or 0) for s in series.values())
    count = sum(s.count_until(end) for s in series.values())
    return Market(series, table), end + 1 + SETTLE, f"{count} candles of {', '.join(series)} from {folder}"
