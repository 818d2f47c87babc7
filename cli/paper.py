"""Paper mode's exchange: the simulator with live prices and an account that is made up and kept over restarts."""

from __future__ import annotations

import os

from cli.processes import is_free, python
from cli.supervisor import Part
from eightbells.settings import PAPER_KEY, PAPER_SECRET, Settings

PAPER_PORT = 8765  # of paper mode's addresses in eightbells/settings.py


def is_our_paper_exchange(settings: Settings) -> bool:
    """Whether the exchange of these settings is the one that `eightbells up` starts."""
    return settings.mode == "paper" and not settings.exchange.rest_url


def paper_exchange(settings: Settings, port: int = PAPER_PORT) -> Part | None:
    """The program to run; None where another exchange is meant, or one runs there already."""
    if not is_our_paper_exchange(settings) or not is_free(port):
        return None
    command = python("-m", "simulator", "--port", str(port), "--parent-pid", str(os.getpid()))
    command += ["--state", str(settings.directory / "paper.json")]
    command += ["--upstream", settings.paper.prices] if settings.paper.prices else []
    account = f"{PAPER_KEY}:{PAPER_SECRET}:{settings.quote_asset}={settings.paper.capital}"
    return Part("simulator", command, {"SIMULATOR_ACCOUNT": account})
