"""A command of the program as a function: what it says and how it ends, without the seconds that a process takes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from cli.answers import complain
from cli.main import app
from eightbells.errors import EightbellsError


@dataclass(frozen=True)
class Said:
    """The exit code, and what stood on stdout and on stderr."""

    code: int
    answer: str
    complaint: str


def command(environment: Mapping[str, str], *arguments: str) -> Said:
    """Run a command with these variables set; a failure that a person can act on is a line, as the program has it."""
    answer, complaint = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as kept, redirect_stdout(answer), redirect_stderr(complaint):
        for name, value in environment.items():
            kept.setenv(name, value)
        try:
            code = app(arguments, prog_name="eightbells", standalone_mode=False)
        except EightbellsError as error:
            complain(error)
            code = 1
    return Said(code or 0, answer.getvalue(), complaint.getvalue())
