"""A mistake in the command's own arguments, in one line: what is wrong, and which help shows what there is."""

from __future__ import annotations

from typing import Any

import typer

# Typer brings a click of its own along and does not export this exception.
UsageError: Any = typer.BadParameter.__base__


def in_words(error: Any) -> str:
    """What is wrong, with the nearest name where there is one."""
    near = getattr(error, "possibilities", None)
    said = f"{error.message}. Did you mean {near[0]}?" if near else error.format_message()
    said = " ".join(said.replace("Value error, ", "").split())
    path = (
        error.ctx.command_path.removeprefix("python -m cli").removeprefix("eightbells") if error.ctx else ""
    )
    end = "" if said.endswith(("?", ".")) else "."
    return f"{said}{end} See `eightbells{path} --help`."
