"""The loop of `eightbells notify`."""

from __future__ import annotations

import sys
import time

from sqlalchemy.exc import InterfaceError, OperationalError

from cli import prefect_api
from cli.instance_lock import lock_holder
from cli.notify.addresses import addresses, tell_all
from cli.notify.notices import present_notices
from cli.notify.notifier import Notifier
from eightbells.database.engine import open_database
from eightbells.errors import EightbellsError
from eightbells.settings import Settings

_LOOK_EVERY_SECONDS = 5.0


def notify(settings: Settings) -> None:
    """Look every few seconds, and tell, until ended.

    Raises:
        EightbellsError: there is no address, or one that cannot be understood.
    """
    found = addresses(settings)
    if not found:
        raise EightbellsError("notifications.urls is empty: no notification is sent")
    settings.directory.mkdir(parents=True, exist_ok=True)
    notifier = Notifier(found, settings.directory / "told.json", _complain)
    with open_database(settings) as engine:
        while True:
            try:
                with engine.connect() as connection:
                    api = prefect_api.likely_address(lock_holder(settings.directory))
                    present = present_notices(connection, settings.account, api)
                notifier.notify(present)
            except (OperationalError, InterfaceError):
                _complain("Postgres does not answer; trying again")
            time.sleep(_LOOK_EVERY_SECONDS)


def try_out(settings: Settings) -> int:
    """Send a message to every address; returns how many there are.

    Raises:
        EightbellsError: there is none, or one did not take it.
    """
    if failed := tell_all(
        settings, "test message", "Eightbells sends its notifications to this address.", "info"
    ):
        raise EightbellsError(f"not delivered to {', '.join(failed)}; check the URL and the network")
    if not settings.notifications.urls:
        raise EightbellsError("notifications.urls is empty: no notification is sent")
    return len(settings.notifications.urls)


def _complain(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
