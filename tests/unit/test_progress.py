"""How far a load is, in words: the same on a pipe, and in the UI."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.history_view import loading
from eightbells.progress import words


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (0, 480_000, 3, "0 of 480,000 candles"),
        (120_000, 480_000, 12, "120,000 of 480,000 candles, 10,000 a second, 36 s left"),
        (1_000, 600_000, 1, "1,000 of 600,000 candles, 1,000 a second, 10 min left"),
        (1_000, 36_001_000, 1, "1,000 of 36,001,000 candles, 1,000 a second, 10.0 h left"),
        (480_000, 480_000, 48, "480,000 of 480,000 candles, 10,000 a second, done in 48 s"),
        (0, 0, 0, "0 of 0 candles, 0 a second, done in 0 s"),
    ],
)
def test_rate_and_time_left(done: int, total: int, seconds: float, said: str) -> None:
    assert words(done, total, seconds) == said


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_terminal_and_pipe_show_rate_and_time_left(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.history_view._LINE_EVERY_SECONDS", 0.0)
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    with loading(console) as show:
        show(0, 1000)
        show(400, 1000)
        show(700, 1000)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "700" in said
    assert ("/s" if is_terminal else " a second, ") in said
    assert ("0:0" if is_terminal else " s left") in said
