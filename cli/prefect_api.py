"""A few questions to the Prefect API without Prefect, whose import takes a second and 100 MB."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from cli.sole_up import Note
from eightbells.errors import EightbellsError

USUAL_PORT = 4200
USUAL = f"http://127.0.0.1:{USUAL_PORT}/api"
_AGAIN_SECONDS = 0.5


def ask(path: str, body: dict[str, Any] | None = None, *, api: str = "", timeout: float = 10.0) -> Any:
    """Ask the API: POST where there is a body, else GET. A server whose database is busy (503) is asked again.

    Args:
        api: its address; empty: that of PREFECT_API_URL.

    Raises:
        EightbellsError: it does not answer, or not as it should.
    """
    url = api or os.environ["PREFECT_API_URL"]
    headers = {"Content-Type": "application/json"}
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{url}{path}", data=data, headers=headers), timeout=timeout
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise EightbellsError(f"the Prefect server at {url} answers {error.code} to {path}") from None
            time.sleep(_AGAIN_SECONDS)
        except (OSError, ValueError):
            raise EightbellsError(f"no Prefect server answers at {url}") from None


def deployments(api: str = "") -> dict[str, dict[str, Any]]:
    """The deployments that the server knows, by name."""
    return {entry["name"]: entry for entry in ask("/deployments/filter", {"limit": 200}, api=api)}


def likely_address(up: Note | None) -> str:
    """Where the installation's Prefect API should be: PREFECT_API_URL, that of the `up` that runs, or the usual."""
    return os.environ.get("PREFECT_API_URL") or (up.prefect_api if up else "") or USUAL
