"""What a machine gives a program, made fit to work with."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from cli.environment import tidy


def test_a_sign_that_the_terminal_lacks_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    tidy()
    print("größer", file=terminal, flush=True)
    assert terminal.buffer.getvalue() == b"gr??er\n"  # type: ignore[attr-defined]


def test_line_ends_of_windows_are_no_part_of_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/db\r")
    monkeypatch.setenv("BINANCE_API_KEY", "\r")
    monkeypatch.setenv("OF_OTHERS", "\r")
    tidy()
    assert os.environ["DATABASE_URL"] == "postgresql://localhost/db"
    assert (os.environ["BINANCE_API_KEY"], os.environ["OF_OTHERS"]) == ("", "\r")


def test_a_user_without_a_home_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    tidy()
    assert Path.home() == Path("/")
