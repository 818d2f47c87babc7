"""The process environment, corrected before work begins: variables and the terminal's encoding."""

from __future__ import annotations

import os
import pwd
import sys
from io import TextIOWrapper

_OURS = ("EIGHTBELLS_", "BINANCE_", "DATABASE_URL", "PREFECT_")


def tidy() -> None:
    """Drop the line ends of Windows from our variables, have a home, and show any character somehow."""
    for name, value in os.environ.items():
        if name.startswith(_OURS) and value.endswith("\r"):  # a shell has read a .env file with CRLF
            os.environ[name] = value.rstrip("\r")
    if "HOME" not in os.environ and not _is_known(os.getuid()):
        os.environ["HOME"] = "/"  # as in a container that runs as a number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _is_known(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
