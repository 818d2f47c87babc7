"""What every command sets up first, for itself and for the processes that it starts."""

from __future__ import annotations

import os

from eightbells.proxies import spare_own_addresses


def prepare_process() -> None:
    """Reach this machine without a proxy.

    Raises:
        EightbellsError: the environment names a proxy that cannot be used.
    """
    spare_own_addresses(os.environ.get("PREFECT_API_URL", ""))
