"""Where the tests run: a folder of this run alone, and nothing of the developer's environment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import certifi

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


def forget_the_developer() -> None:
    """Drop every variable that settings, simulator or Prefect would read.

    The folder of market data alone stays: tests that need it say so, the others are freed of it one by one.
    """
    for name in list(os.environ):
        if name.startswith(_OURS) and name != "EIGHTBELLS_MARKET_DATA":
            del os.environ[name]


def make_folder() -> Path:
    """A folder of this run's own. Postgres' own user must be able to enter it, so it cannot be pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="eightbells-tests-", dir="/tmp"))
    folder.chmod(0o755)
    # Prefect reads all certificates there are for each of its many clients; for plain HTTP one will do
    certificate = folder / "one.pem"
    certificate.write_text(Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")[0] + _END)
    os.environ.update(
        _PREFECT, PREFECT_HOME=str(folder / "prefect"), PREFECT_API_SSL_CERT_FILE=str(certificate)
    )
    return folder
