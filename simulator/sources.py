"""Where market data comes from: a folder of CSV files, or the generator."""

from __future__ import annotations

from pathlib import Path

from simulator.generator import GeneratedSeries, profiles
from simulator.info_files import newest_info
from simulator.kline_files import BadFile, find_files
from simulator.market import Market
from simulator.options import Options
from simulator.series import Series, StoredSeries
from simulator.symbols import RATE_LIMITS, SymbolTable, made_up
from simulator.upstream import Upstream

SETTLE = 2000  # without --clock, the exchange stands this long after the last candle's close
MOST_LINES = 20


class BadData(ValueError):
    """Files that cannot be used, a line for each; with --symbols, files of other symbols do not matter."""

    def __init__(self, bad: list[BadFile]):
        more = len(bad) - MOST_LINES
        lines = [*map(str, bad[:MOST_LINES]), *([f"{more} more files cannot be used"] if more > 0 else [])]
        super().__init__("\n".join(lines))


def open_market(options: Options) -> tuple[Market, int | None, str]:
    """The market, the exchange's time that goes with it, and a sentence that says where it comes from.

    Made-up candles have no end: their time is None, and the machine's clock serves.

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
    return Market(series, table), None, told


def _from_folder(folder: Path, only: tuple[str, ...] | None) -> tuple[Market, int, str]:
    """The candles of a folder, all of them or none; BadData with a line for each file that cannot be used."""
    klines, info = folder / "klines-4h", newest_info(folder / "exchange-info")
    table = SymbolTable.load(info)
    files, bad = find_files(klines, only)
    if missing := [symbol for symbol in only or () if symbol not in files]:
        raise ValueError(f"{klines} has no candles of {', '.join(missing)}; name the files SYMBOL-4h.csv.gz")
    if not files and not bad:
        raise ValueError(f"{klines} holds no SYMBOL-4h.csv.gz; put Binance's klines of interval 4h there")
    series: dict[str, Series] = {}
    for symbol in only or files:
        try:
            if symbol not in table.rules:
                raise BadFile(files[symbol], f"{symbol} is not listed in {info}", "take a newer exchangeInfo")
            series[symbol] = StoredSeries.load(files[symbol], symbol)
        except BadFile as problem:
            bad.append(problem)
    if bad:
        raise BadData(bad)
    end = max((s.end() or 0) for s in series.values())
    count = sum(s.count_until(end) for s in series.values())
    return Market(series, table), end + 1 + SETTLE, f"{count} candles of {', '.join(series)} from {folder}"
