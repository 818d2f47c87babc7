"""A few questions to the Prefect API without Prefect, whose import takes a second and 100 MB."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from cli.instance_lock import LockHolder
from eightbells.addresses import shown, slip, without_credentials
from eightbells.errors import EightbellsError
from eightbells.proxies import open_url

USUAL_PORT = 4200
USUAL = f"http://127.0.0.1:{USUAL_PORT}/api"
_AGAIN_SECONDS = 0.5
_EXAMPLE = "http://host:4200/api"


def ask(path: str, body: dict[str, Any] | None = None, *, api: str = "", timeout: float = 10.0) -> Any:
    """Ask the API: POST where there is a body, else GET. A server whose database is busy (503) is asked again.

    Args:
        api: its address; empty: that of PREFECT_API_URL.

    Raises:
        EightbellsError: it does not answer, or not as it should.
    """
    url = api or os.environ["PREFECT_API_URL"]
    asked = request(url, path)
    data = None if body is None else json.dumps(body).encode()
    deadline = time.monotonic() + timeout
    while True:
        try:
            asked.data = data
            with open_url(asked, timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise EightbellsError(
                    f"the Prefect server at {shown(url)} answers {error.code} to {path}"
                ) from None
            time.sleep(_AGAIN_SECONDS)
        except (OSError, ValueError, HTTPException):
            raise EightbellsError(f"no Prefect server answers at {shown(url)}") from None


def request(url: str, path: str) -> urllib.request.Request:
    """A request to a Prefect API, with the user and password of PREFECT_API_AUTH_STRING, or of the address itself.

    Raises:
        EightbellsError: the address is none.
    """
    try:
        address, login = without_credentials(url)
        asked = urllib.request.Request(f"{address}{path}", headers={"Content-Type": "application/json"})
    except ValueError:
        advice = slip(url, _EXAMPLE) or f"it should look like {_EXAMPLE}"
        raise EightbellsError(f"PREFECT_API_URL cannot be read: {advice}") from None
    if secret := os.environ.get("PREFECT_API_AUTH_STRING") or login:
        asked.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    return asked


def part_login() -> None:
    """Take user and password out of PREFECT_API_URL: Prefect shows that address, and has a setting for them.

    Raises:
        EightbellsError: the address is none.
    """
    if not (given := os.environ.get("PREFECT_API_URL", "").strip()):
        return
    request(given, "")
    os.environ["PREFECT_API_URL"], login = without_credentials(given)
    if login:
        os.environ.setdefault("PREFECT_API_AUTH_STRING", login)


def deployments(api: str = "") -> dict[str, dict[str, Any]]:
    """The deployments that the server knows, by name."""
    return {entry["name"]: entry for entry in ask("/deployments/filter", {"limit": 200}, api=api)}


def likely_address(up: LockHolder | None) -> str:
    """Where the installation's Prefect API should be: PREFECT_API_URL, that of the `up` that runs, or the usual."""
    return os.environ.get("PREFECT_API_URL") or (up.prefect_api if up else "") or USUAL
