"""Command-line arguments of `python -m simulator`, read into one value."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from simulator.accounts import Account, parse_account
from simulator.clock import parse_time


@dataclass(frozen=True)
class Options:
    """How the simulator is to run; times in milliseconds."""

    host: str
    port: int
    data: Path | None
    clock: int | Literal["now"] | None
    speed: float
    accounts: tuple[Account, ...]
    symbols: tuple[str, ...] | None
    generate: int
    seed: int
    history_start: int
    state: Path | None
    upstream: str | None
    limits: bool
    stream_interval: float
    parent_pid: int | None


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage, and leaves with code 2."""

    def error(self, message: str):  # type: ignore[no-untyped-def]
        self.exit(2, f"simulator: {message}\n")


def _checked(read, name: str):  # type: ignore[no-untyped-def]
    """An argparse type whose error message is the reader's own sentence."""

    def parse(text: str):  # type: ignore[no-untyped-def]
        try:
            return read(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    parse.__name__ = name
    return parse


def _clock(text: str) -> int | Literal["now"]:
    return "now" if text == "now" else parse_time(text)


def _version() -> str:
    try:
        return version("eightbells")
    except PackageNotFoundError:
        return "from a folder that is not installed"


def _parser() -> Parser:
    parser = Parser(prog="simulator", description="A Binance Spot exchange to test against.")
    add = parser.add_argument
    moment, account = _checked(parse_time, "time"), _checked(parse_account, "account")
    add("--version", action="version", version=f"simulator of Eightbells {_version()}")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8765, help="port, 0 for a free one (default: %(default)s)")
    add("--data", type=Path, help="folder with klines-4h/ and exchange-info/")
    add(
        "--clock",
        type=_checked(_clock, "time"),
        help="exchange time at the start: ISO, ms, or now (default: the end of --data, else now)",
    )
    add("--speed", type=float, default=1.0, help="exchange seconds in a real one, 0 stands (default: 1)")
    add(
        "--account",
        type=account,
        action="append",
        metavar="KEY:SECRET:USDT=100000,BTC=1",
        help="an account, may be repeated; SECRET may be @FILE with a public key (also: SIMULATOR_ACCOUNT)",
    )
    add("--symbols", help="comma-separated: load only these symbols' candles")
    add("--generate", type=int, default=5, metavar="N", help="made-up symbols without --data (default: 5)")
    add("--seed", type=int, default=7, help="seed of the made-up candles (default: %(default)s)")
    start = parse_time("2019-01-01")
    add("--history-start", type=moment, default=start, help="where made-up history begins (2019-01-01)")
    add("--state", type=Path, metavar="FILE", help="keep accounts and orders here between runs")
    add("--upstream", metavar="URL", help="pass market data through from a real exchange")
    add("--no-limits", action="store_true", help="no rate limits and no bans")
    add(
        "--stream-interval",
        type=float,
        default=2.0,
        help="real seconds between a kline's updates; tickers: half, @100ms: a 20th",
    )
    add("--parent-pid", type=int, help="end when this process is gone")
    return parser


def read_options(arguments: list[str] | None = None) -> Options:
    """Parse the command line; leaves with code 2 and one line when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    accounts = list(given.account or [])
    try:
        accounts += [parse_account(text) for text in os.environ.get("SIMULATOR_ACCOUNT", "").split()]
    except ValueError as problem:
        parser.error(f"SIMULATOR_ACCOUNT: {problem}")
    if not 0 <= given.port <= 65535:
        parser.error(f"argument --port: {given.port} is not between 0 and 65535")
    if given.generate < 1 or not 0 <= given.speed <= 1e9 or not given.stream_interval > 0:
        parser.error("--generate must be at least 1, --speed at least 0, --stream-interval above 0")
    if given.data is not None and not given.data.is_dir():
        parser.error(f"argument --data: there is no folder {given.data}")
    return Options(
        host=given.host,
        port=given.port,
        data=given.data,
        clock=given.clock,
        speed=given.speed,
        accounts=tuple(accounts),
        symbols=tuple(given.symbols.upper().split(",")) if given.symbols else None,
        generate=given.generate,
        seed=given.seed,
        history_start=given.history_start,
        state=given.state,
        upstream=given.upstream,
        limits=not given.no_limits,
        stream_interval=given.stream_interval,
        parent_pid=given.parent_pid,
    )
