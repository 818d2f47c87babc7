"""Retries by error code, shown by Prefect as retries of the task with the time and the reason of the wait."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from prefect.client.schemas import State
from prefect.runtime import task_run
from prefect.states import AwaitingRetry

from eightbells.exchange.budgets import ANNOUNCED_SECONDS, moment_after
from eightbells.exchange.recovery import Action, ExchangeError, Failure
from orchestration.waits import announce

if TYPE_CHECKING:
    from eightbells.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Runtime")


def attempts_left(failure: Failure) -> int:
    """How often the running task may still try, after this failure."""
    return failure.remedy.attempts + 1 - (task_run.get_run_count() or 1)


def retried(
    attempt: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R | State[Any]]]:
    """Let a task that asks the exchange wait and try again as its failure's remedy says.

    The wait is a state of the task run, AwaitingRetry, whose message a person can read.
    """

    @functools.wraps(attempt)
    async def attempt_or_wait(session: S, /, *args: P.args, **kwargs: P.kwargs) -> R | State[Any]:
        try:
            return await attempt(session, *args, **kwargs)
        except ExchangeError as error:
            failure = error.failure
            if failure.remedy.action in (Action.REFUSE, Action.STOP) or attempts_left(failure) < 1:
                raise
            if failure.remedy.action is Action.RESYNC:
                session.gateway.clock.distrust()
            return awaiting(failure, str(error))

    return attempt_or_wait


def awaiting(failure: Failure, words: str) -> State[Any]:
    """The state that makes Prefect run the task again after the failure's delay."""
    remedy, run = failure.remedy, task_run.get_run_count() or 1
    due = datetime.now(UTC) + timedelta(seconds=remedy.delay)
    attempts = f"(attempt {run} of {remedy.attempts})"
    if remedy.delay > ANNOUNCED_SECONDS:
        announce(f"waiting until {moment_after(remedy.delay)}: {words} {attempts}")
    return AwaitingRetry(scheduled_time=due, message=f"{words}: waiting {remedy.delay:g} s {attempts}")
