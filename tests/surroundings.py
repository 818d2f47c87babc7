"""Where the tests run: a folder of this run alone, and nothing of the developer's environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import certifi

from eightbells.database import embedded
from eightbells.errors import EightbellsError
from eightbells.file_lock import FileLock

ROOT = Path(__file__).parents[1]
MARKET_DATA = os.environ.get("EIGHTBELLS_MARKET_DATA")
_OURS = ("EIGHTBELLS_", "BINANCE_", "PREFECT_", "DATABASE_URL", "SIMULATOR_")
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "false",
}
_END = "-----END CERTIFICATE-----\n"
_held: list[FileLock] = []


def forget_the_developer() -> None:
    """Drop every variable that settings, simulator or Prefect would read.

    The folder of market data alone stays: tests that need it say so, the others are freed of it one by one.
    """
    for name in list(os.environ):
        if name.startswith(_OURS) and name != "EIGHTBELLS_MARKET_DATA":
            del os.environ[name]


def make_folder() -> Path:
    """A folder of this run's own. Postgres' own user must be able to enter it, so it cannot be pytest's."""
    sweep()
    making = Path(tempfile.mkdtemp(prefix="eightbells-making-", dir="/tmp"))
    making.chmod(0o755)
    lock = FileLock(making / "run.lock")
    lock.acquire()  # held until this process ends, however it ends
    _held.append(lock)
    folder = making.rename(making.with_name(making.name.replace("making", "tests")))
    # Prefect reads all certificates there are for each of its many clients; for plain HTTP one will do
    certificate = folder / "one.pem"
    certificate.write_text(Path(certifi.where()).read_text().partition(_END)[0] + _END)
    os.environ.update(
        _PREFECT, PREFECT_HOME=str(folder / "prefect"), PREFECT_API_SSL_CERT_FILE=str(certificate)
    )
    return folder


def sweep() -> None:
    """Stop and remove what runs left behind that were killed; their lock is free."""
    for folder in Path("/tmp").glob("eightbells-tests-*"):
        try:
            with FileLock(folder / "run.lock", create=False) as lock:
                if not lock.try_acquire():
                    continue  # alive
                for running in [
                    *folder.glob("postgres/postmaster.pid"),
                    *folder.glob("*/postgres/postmaster.pid"),
                ]:
                    with embedded.server(running.parents[1]):
                        pass  # a user who comes and goes is the last, and stops it
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, EightbellsError):
            continue  # somebody else's
