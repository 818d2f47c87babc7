"""What every command sets up first, for itself and for the processes that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from eightbells.errors import EightbellsError
from eightbells.proxies import spare_own_addresses
from eightbells.settings import PROJECT


def prepare_process() -> None:
    """Find modules in the project and in the current folder, and reach this machine without a proxy.

    Raises:
        EightbellsError: the current folder was removed, or the environment names a proxy that cannot be used.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise EightbellsError("the current folder was removed: change to another one") from None
    _find_modules(str(PROJECT), str(here))
    spare_own_addresses(os.environ.get("PREFECT_API_URL", ""))


def _find_modules(*folders: str) -> None:
    """Put the folders first on the path of this process and its children: the project, then the user's strategies.

    Python itself would put the current folder first, where a folder named `flows` or `tasks` hides ours.
    """
    inherited = [it for it in os.environ.get("PYTHONPATH", "").split(os.pathsep) if it]
    sys.path[:] = dict.fromkeys([*folders, *sys.path])
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*folders, *inherited]))
    os.environ["PYTHONSAFEPATH"] = "1"
