"""Strategies whose authors did not think of everything: what each does is its parameter `how`."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pandas as pd

from eightbells.strategies import contract
from eightbells.strategies.contract import Opinion


class _Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


def _raise(error: BaseException) -> None:
    raise error


def _overwrite(candles: pd.DataFrame) -> Opinion:
    candles.loc[candles.index[-1], "close"] = 0.0
    return Opinion("long", "it changed what it saw")


def _shorten(candles: pd.DataFrame) -> Opinion:
    candles.drop(candles.index[0], inplace=True)
    return Opinion("long", "it changed what it saw")


def _add_column(candles: pd.DataFrame) -> Opinion:
    candles["mean"] = candles["close"].rolling(2).mean()
    return Opinion("long", "it added a column")


def _say(candles: pd.DataFrame) -> Opinion:
    print("on standard output")
    return Opinion("flat", "it printed")


def _recurse(candles: pd.DataFrame) -> Opinion:
    return _recurse(candles)


def _loop(candles: pd.DataFrame) -> None:
    while True:
        pass


def _hold_the_interpreter(candles: pd.DataFrame) -> None:
    re.match("(a+)+$", "a" * 60 + "b")


def _wait_for_a_socket(candles: pd.DataFrame) -> None:
    ours, _theirs = socket.socketpair()
    ours.recv(1)


HOW: dict[str, Callable[[pd.DataFrame], Any]] = {
    "none": lambda candles: None,
    "nan": lambda candles: float("nan"),
    "number": lambda candles: 1.0,
    "word": lambda candles: "long",
    "frame": lambda candles: candles["close"] > 0,
    "side": lambda candles: Opinion("short", "down"),  # type: ignore[arg-type]
    "frame as side": lambda candles: Opinion(candles["close"], "down"),  # type: ignore[arg-type]
    "no reason": lambda candles: Opinion("long", None),  # type: ignore[arg-type]
    "zero character": lambda candles: Opinion("long", "a\0b"),
    "half a character": lambda candles: Opinion("long", "\ud800"),
    "stop nan": lambda candles: Opinion("long", "up", stop=float("nan")),
    "stop above": lambda candles: Opinion("long", "up", stop=candles["close"].iloc[-1] * 1.1),
    "stop negative": lambda candles: Opinion("long", "up", stop=-1),
    "stop a word": lambda candles: Opinion("long", "up", stop="low"),  # type: ignore[arg-type]
    "target below": lambda candles: Opinion("long", "up", take_profit=candles["close"].iloc[-1] * 0.9),
    "weight": lambda candles: Opinion("long", "up", weight=1.5),
    "weight infinite": lambda candles: Opinion("long", "up", weight=float("inf")),
    "overwrite": _overwrite,
    "shorten": _shorten,
    "exit": lambda candles: sys.exit(3),
    "interrupt": lambda candles: _raise(KeyboardInterrupt()),
    "cancel": lambda candles: _raise(GeneratorExit()),
    "unreadable": lambda candles: _raise(_Unreadable()),
    "recursion": _recurse,
    "memory": lambda candles: b"x" * (1 << 40),
    "add a column": _add_column,
    "print": _say,
    "loop": _loop,
    "regex": _hold_the_interpreter,
    "socket": _wait_for_a_socket,
    "end": lambda candles: os._exit(3),
    "crash": lambda candles: ctypes.string_at(0),
}


class _Parameters(contract.Parameters):
    how: str = "none"


class Misbehaving:
    """It does what its parameter says."""

    version: ClassVar[str] = "1"
    Parameters: ClassVar[type[contract.Parameters]] = _Parameters
    window: ClassVar[int] = 5

    def __init__(self, parameters: _Parameters) -> None:
        self._how = HOW[parameters.how]

    def decide(self, candles: pd.DataFrame) -> Opinion:
        return self._how(candles)  # type: ignore[no-any-return]


class Slow(Misbehaving):
    """Its constructor does not return."""

    def __init__(self, parameters: _Parameters) -> None:
        time.sleep(3600)


class NoWindow(Misbehaving):
    """It looks at nothing."""

    window: ClassVar[int] = 0


class NumberedVersion(Misbehaving):
    """Its version is no text."""

    version: ClassVar[int] = 1  # type: ignore[assignment]


class NoVersion:
    """It has nothing but parameters."""

    Parameters: ClassVar[type[contract.Parameters]] = _Parameters
    window: ClassVar[int] = 5

    def __init__(self, parameters: _Parameters) -> None: ...
