"""When a scheduled cycle that failed or crashed is started again: a few times, after waits that grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from orchestration.failed import WAITS, to_follow

DUE = datetime(2026, 1, 1, tzinfo=UTC)


def ended(*states: str) -> list[FlowRun]:
    """Attempts that came to their state a minute after each other, the newest first."""
    return [
        FlowRun(
            name=f"run {number}",
            flow_id=uuid4(),
            state=State(type=StateType(state), timestamp=DUE + timedelta(minutes=number)),
        )
        for number, state in reversed(list(enumerate(states, start=1)))
    ]


@pytest.mark.parametrize("count", range(1, len(WAITS) + 1))
def test_the_last_attempt_is_followed_after_a_wait_that_grows(count: int) -> None:
    attempts = ended(*["FAILED", "CRASHED", "FAILED", "CRASHED"][:count])
    over = DUE + timedelta(minutes=count) + WAITS[count - 1]
    assert to_follow(attempts, over - timedelta(seconds=1)) is None
    assert to_follow(attempts, over) is attempts[0]


@pytest.mark.parametrize(
    "states",
    [
        [],
        ["COMPLETED"],
        ["CANCELLED"],
        ["CANCELLING"],
        ["SCHEDULED"],
        ["PENDING"],
        ["RUNNING"],
        ["PAUSED"],
        ["FAILED", "COMPLETED"],
        ["FAILED", "RUNNING"],
        ["CRASHED", "SCHEDULED"],
        ["CANCELLED", "FAILED"],
        ["FAILED"] * (len(WAITS) + 1),
    ],
    ids=" ".join,
)
def test_nothing_follows(states: list[str]) -> None:
    """Where one is under way or done, where somebody cancelled one, and after the last."""
    assert to_follow(ended(*states), DUE + timedelta(hours=3)) is None
