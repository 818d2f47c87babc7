"""Past candles of a backtest: as they are stored and proven, or from a folder of kline files."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Connection, text

from eightbells.candles import gaps, grid, store
from eightbells.candles.timeframe import Slots
from eightbells.errors import EightbellsError
from eightbells.exchange import rules
from eightbells.exchange.fields import RulesUnreadable
from eightbells.exchange.rules import Step, SymbolRules
from eightbells.quality.verdicts import Verdict
from eightbells.quality.windows import objection

_AT = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 7, "trades": 8}
_LATEST_MS = 4_102_444_800_000  # 2100: what is later is in microseconds
_ALL = 10**6  # more candles than there are since 1970
_NO_SLOTS: Slots = np.array([], dtype=np.int64)
_UNIT = Decimal("0.00000001")


@dataclass(frozen=True)
class History:
    """The candles of one symbol, oldest first, with all that trading on them depends on.

    Args:
        frame: the candles, as `Window.exact` gives them.
        absent: slots (open times in ms) that the exchange never had a candle for.
        split_ms: the first candle in new coins, where the symbol was split.
        assumed: whether the rules are no exchange's, since none are known.
        arrivals: prices at which orders arrive in candles, by open time (ms); where there is none it is the open.
    """

    symbol: str
    frame: pd.DataFrame
    rules: SymbolRules
    absent: Slots = field(default_factory=lambda: _NO_SLOTS)
    split_ms: int | None = None
    assumed: bool = False
    arrivals: Mapping[int, Decimal] = field(default_factory=dict)

    @functools.cached_property
    def opens(self) -> Slots:
        """Open times (ms)."""
        found: Slots = pd.DatetimeIndex(self.frame.index).as_unit("ms").asi8
        return found

    @functools.cached_property
    def shown(self) -> pd.DataFrame:
        """The candles as strategies get them."""
        return self.frame.astype(float)

    def arrival(self, index: int) -> Decimal:
        """The price at which an order arrives in a candle."""
        return self.arrivals.get(int(self.opens[index])) or self.column("open")[index]

    def column(self, name: str) -> list[Decimal]:
        """One column, exactly."""
        if name not in self._columns:
            self._columns[name] = self.frame[name].tolist()
        return self._columns[name]

    @functools.cached_property
    def _columns(self) -> dict[str, list[Decimal]]:
        return {}

    def unsound(self, window: int, max_pause: int) -> npt.NDArray[np.bool_]:
        """Of each candle whether nothing may be decided on the `window` candles that end with it.

        It says the same as `objection`, of all windows at once.
        """
        count = len(self.opens)
        found = np.ones(count, dtype=bool)
        if count < window:
            return found
        slots = np.diff(self.opens) // grid.STEP_MS - 1
        known = np.searchsorted(self.absent, self.opens)
        bad = (slots > max_pause) | (slots > np.diff(known))
        before = np.concatenate([[0, 0], np.cumsum(bad)])  # bad steps up to and with the one into a candle
        ends = np.arange(window - 1, count)
        found[ends] = before[ends + 1] > before[ends - window + 2]
        if self.split_ms is not None:
            found[ends] |= (self.opens[ends - window + 1] < self.split_ms) & (
                self.opens[ends] >= self.split_ms
            )
        return found

    def objection(self, index: int, window: int, max_pause: int) -> str | None:
        """Why nothing may be decided on the window that ends with a candle, in the cycle's words."""
        if index + 1 < window:
            return f"{window} candles are needed, and there are not so many yet"
        open_ms = int(self.opens[index])
        proven = Verdict(self.symbol, open_ms, 1, 0, {}, 0)
        split = self.split_ms if self.split_ms is not None and self.split_ms <= open_ms else None
        opens = self.opens[index + 1 - window : index + 1]
        return objection(proven, open_ms, opens, self.absent, max_pause, split)


def read_stored(connection: Connection, account: str, symbols: Sequence[str], last_ms: int) -> list[History]:
    """The stored candles of the symbols up to the one that opened at `last_ms`.

    Raises:
        EightbellsError: nothing is stored of a symbol.
    """
    windows = store.read_windows(connection, symbols, last_ms, _ALL)
    if missing := [symbol for symbol in symbols if not len(windows[symbol])]:
        raise EightbellsError(
            f"no candles of {', '.join(missing)} are stored: load them with "
            f"`eightbells backfill --symbols {','.join(missing)}`, or name a folder with --data"
        )
    absent, known = gaps.absent(connection, symbols, last_ms), rules.load_all(connection, symbols)
    splits = dict(
        connection.execute(
            text("SELECT symbol, max(candle) FROM splits WHERE account = :account GROUP BY symbol"),
            {"account": account},
        )
        .tuples()
        .all()
    )
    return [
        History(
            symbol,
            windows[symbol].exact,
            known.get(symbol) or assumed_rules(symbol),
            absent[symbol],
            grid.to_ms(splits[symbol]) if symbol in splits else None,
            symbol not in known,
        )
        for symbol in symbols
    ]


def read_folder(folder: Path, symbols: Sequence[str], quote: str = "USDT") -> list[History]:
    """The candles of a folder with SYMBOL-4h.csv or .csv.gz, or with the folders klines-4h and exchange-info.

    A slot without a line counts as one that the exchange never had.

    Raises:
        EightbellsError: a file is missing or cannot be used.
    """
    klines = folder / "klines-4h" if (folder / "klines-4h").is_dir() else folder
    if not klines.is_dir():
        raise EightbellsError(f"{folder} is no folder")
    known = _rules_of(folder / "exchange-info", symbols)
    found = []
    for symbol in symbols:
        files = [
            klines / f"{symbol}-4h.csv{end}"
            for end in (".gz", "")
            if (klines / f"{symbol}-4h.csv{end}").is_file()
        ]
        if not files:
            raise EightbellsError(f"there is no {symbol}-4h.csv.gz in {klines}; --symbols chooses others")
        frame = _read_klines(files[0])
        opens = pd.DatetimeIndex(frame.index).as_unit("ms").asi8
        absent = np.setdiff1d(np.arange(opens[0], opens[-1] + 1, grid.STEP_MS, dtype=np.int64), opens)
        found.append(
            History(
                symbol,
                frame,
                known.get(symbol) or assumed_rules(symbol, quote),
                absent,
                assumed=symbol not in known,
            )
        )
    return found


def symbols_in(folder: Path) -> list[str]:
    """The symbols of which a folder has a file."""
    klines = folder / "klines-4h" if (folder / "klines-4h").is_dir() else folder
    return sorted({path.name.partition("-4h.csv")[0] for path in klines.glob("*-4h.csv*")})


def assumed_rules(symbol: str, quote: str = "USDT") -> SymbolRules:
    """Rules where none are known: eight decimal places, and at least five of the quote asset an order."""
    none = Decimal(0)
    step = Step(_UNIT, none, _UNIT)
    return SymbolRules(
        symbol,
        "TRADING",
        symbol.removesuffix(quote),
        quote,
        frozenset({"LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"}),
        _UNIT,
        _UNIT,
        none,
        none,
        _UNIT,
        step,
        Step(none, none, none),
        Decimal(5),
        none,
        True,
        False,
        (none, none),
        (none, none),
        none,
        0,
    )


def _rules_of(folder: Path, symbols: Collection[str]) -> dict[str, SymbolRules]:
    """Rules from the files of exchangeInfo in a folder; of two, the one whose name sorts last."""
    found: dict[str, SymbolRules] = {}
    for path in sorted(folder.glob("*.json*")) if folder.is_dir() else []:
        try:
            entries = json.loads(_content(path))["symbols"]
            found |= {
                entry["symbol"]: SymbolRules.from_exchange_info(entry)
                for entry in entries
                if entry["symbol"] in symbols
            }
        except (ValueError, KeyError, TypeError, RulesUnreadable) as error:
            raise EightbellsError(f"{path} is no exchangeInfo: {error}") from None
    return found


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EightbellsError(f"{path} cannot be read: {error}") from None


def _read_klines(path: Path) -> pd.DataFrame:
    numbered = [(number, line) for number, line in enumerate(_content(path).splitlines(), 1) if line.strip()]
    if numbered and not numbered[0][1].partition(",")[0].strip().isdigit():
        numbered = numbered[1:]  # it names the columns
    if not numbered:
        raise EightbellsError(f"{path} holds no candles")
    rows = [line.split(",") for _, line in numbered]
    try:
        opens = np.array([int(row[0]) for row in rows], dtype=np.int64)
        columns = {name: [Decimal(row[at]) for row in rows] for name, at in _AT.items()}
    except (ValueError, InvalidOperation, IndexError, OverflowError):
        number, line = next(it for it in numbered if not _is_readable(it[1]))
        raise EightbellsError(f"{path}:{number}: no kline: {line[:60]!r}") from None
    opens = np.where(opens > _LATEST_MS, opens // 1000, opens)
    frame = pd.DataFrame(columns)
    if (found := _mistake(opens, frame.astype(float))) is not None:
        at, what = found
        raise EightbellsError(f"{path}:{numbered[at][0]}: {what}")
    return frame.set_index(pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True), name="open_time"))


def _is_readable(line: str) -> bool:
    fields = line.split(",")
    try:
        np.int64(int(fields[0]))
        [Decimal(fields[at]) for at in _AT.values()]
    except (ValueError, InvalidOperation, IndexError, OverflowError):
        return False
    return True


def _mistake(opens: Slots, values: pd.DataFrame) -> tuple[int, str] | None:
    """The first row that is no candle, and what is wrong with it."""
    opened, high, low, close = (values[name].to_numpy() for name in ("open", "high", "low", "close"))
    ordered = (low > 0) & (low <= np.minimum(opened, close)) & (np.maximum(opened, close) <= high)
    sane = (np.isfinite(values.to_numpy()) & (values.to_numpy() >= 0)).all(axis=1)
    checks = (
        (opens % grid.STEP_MS == 0, "it does not open on the four-hour grid"),
        (np.diff(opens, prepend=opens[0] - 1) > 0, "it does not come after the candle above it"),
        (sane, "a value is no number of 0 or more"),
        (ordered, "its prices do not lie between its low and its high"),
    )
    wrong = [(int(np.argmin(good)), what) for good, what in checks if not good.all()]
    return min(wrong) if wrong else None
