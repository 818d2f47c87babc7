"""Deployments whose newest runs failed or crashed, as the Prefect server has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cli import prefect_api
from orchestration.declared import declared

_AT_MOST = 20  # runs of a deployment to look back at
_ENDLESS = "stream"  # its run never completes: one that goes on for so long is a good one
_STEADY = timedelta(minutes=1)


@dataclass(frozen=True)
class FailedRuns:
    """The runs of a deployment that failed or crashed since its last good one.

    Attributes:
        count: how many they are, up to 20.
        run, name, state, message, ended_at: of the newest.
    """

    deployment: str
    count: int
    run: str
    name: str
    state: str
    message: str
    ended_at: datetime

    @property
    def sentence(self) -> str:
        """What happened, and when."""
        more = f", as {self.count - 1} before it" if self.count > 1 else ""
        ended = f"{self.ended_at:%Y-%m-%d %H:%M} UTC"
        return f"{self.deployment}: the run '{self.name}' {self.state} at {ended}{more}: {self.message}"


def failed_runs(api: str) -> list[FailedRuns]:
    """Those of each declared deployment.

    Raises:
        EightbellsError: the server does not answer.
    """
    names = [entry["name"] for entry in declared()]
    return [found for name in names for found in _failed_of(name, api)]


def _failed_of(deployment: str, api: str) -> Iterator[FailedRuns]:
    ended = _runs(deployment, ["COMPLETED", "FAILED", "CRASHED"], api)
    ended.sort(key=lambda run: _since(run), reverse=True)
    bad = []
    for run in ended:
        if run["state"]["type"] == "COMPLETED":
            break
        bad.append(run)
    if bad and not (deployment == _ENDLESS and _goes_on(api)):
        newest = bad[0]
        words = (newest["state"].get("message") or "no reason was given").strip().splitlines()[0][:300]
        state = newest["state"]["type"].lower()
        yield FailedRuns(deployment, len(bad), newest["id"], newest["name"], state, words, _since(newest))


def _goes_on(api: str) -> bool:
    steady = datetime.now(UTC) - _STEADY
    return any(_since(run) < steady for run in _runs(_ENDLESS, ["RUNNING"], api))


def _runs(deployment: str, states: list[str], api: str) -> list[dict[str, Any]]:
    chosen = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": states}}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": _AT_MOST,
    }
    return list(prefect_api.ask("/flow_runs/filter", chosen, api=api, timeout=5))


def _since(run: dict[str, Any]) -> datetime:
    """Since when the run is in its state."""
    return datetime.fromisoformat(run["state"]["timestamp"])
