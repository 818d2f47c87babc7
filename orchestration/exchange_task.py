"""The two kinds of tasks: those that ask the exchange and are tried again, and those that only have a time limit."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, get_args, overload

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.utilities.annotations import opaque

from orchestration.limits import limited
from orchestration.retries import retried
from orchestration.task_names import TaskName

if TYPE_CHECKING:
    from eightbells.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Runtime")


class Step(Generic[P, R]):
    """A task as flows call it: the call returns its result, or raises what its last attempt failed with.

    With `return_state=True` the call returns the final state of the task run, and raises nothing.
    """

    def __init__(self, task: Task[..., Any]) -> None:
        functools.update_wrapper(self, task.fn)
        self.task = task

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> Coroutine[Any, Any, State[R]]: ...

    async def __call__(self, *args: Any, **kwargs: Any) -> R | State[R]:
        return_state = kwargs.pop("return_state", False)
        # When the last attempt raises, Prefect hands the caller the state in which the task awaited its retry
        # (task_engine.py of 3.8.8 looks at the returned value first). The final state is right.
        # Prefect would look through all that an argument holds, thousands of pages or verdicts, for futures.
        named = {name: opaque(value) for name, value in kwargs.items()}
        state: State[R] = await self.task(*map(opaque, args), return_state=True, **named)
        return state if return_state else await state.aresult()


def exchange_task(
    name: TaskName,
) -> Callable[[Callable[Concatenate[S, P], Awaitable[R | State[Any]]]], Step[Concatenate[S, P], R]]:
    """Make a task that asks the exchange: it is tried again as the remedy of its failure says.

    Each attempt has the time limit of `limited_task`.

    Args:
        name: what the UI shows, with parameters of the function in braces.

    Raises:
        ValueError: the table of task names does not have the name.
    """

    def decorate(
        body: Callable[Concatenate[S, P], Awaitable[R | State[Any]]],
    ) -> Step[Concatenate[S, P], R]:
        return Step(_task(name, retried(limited(body))))

    return decorate


def limited_task(name: TaskName) -> Callable[[Callable[P, Awaitable[R | State[Any]]]], Step[P, R]]:
    """Make a task that is cancelled once it makes no progress for `limits.task_seconds`.

    It is tried again only if it returns a state that says so, as `awaiting` makes one.

    Args:
        name: what the UI shows, with parameters of the function in braces.

    Raises:
        ValueError: the table of task names does not have the name.
    """

    def decorate(body: Callable[P, Awaitable[R | State[Any]]]) -> Step[P, R]:
        return Step(_task(name, limited(body)))

    return decorate


def _task(name: TaskName, attempt: Callable[..., Awaitable[object]]) -> Task[..., Any]:
    if name not in get_args(TaskName):
        raise ValueError(f"no task is named {name!r}: add it to the table in orchestration/task_names.py")
    # no cache: it would take the state in which a task awaits its retry for the task's result
    return task(task_run_name=name, cache_policy=NO_CACHE)(attempt)
