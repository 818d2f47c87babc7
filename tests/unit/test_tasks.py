"""Tasks and their names: the table and the tasks agree."""

from __future__ import annotations

import importlib
import pkgutil
from typing import get_args

import pytest

import tasks
from orchestration.exchange_task import Step, exchange_task, limited_task
from orchestration.task_names import TaskName


@pytest.mark.parametrize("kind", [exchange_task, limited_task])
def test_a_task_with_an_unknown_name_fails_at_import(kind: object) -> None:
    with pytest.raises(ValueError, match="no task is named 'rules of the symbol'"):

        @kind("rules of the symbol")  # type: ignore[operator]
        async def step(session: object) -> None:
            """Never runs."""


def test_each_name_belongs_to_exactly_one_task() -> None:
    modules = [importlib.import_module(f"tasks.{it.name}") for it in pkgutil.iter_modules(tasks.__path__)]
    steps = {
        id(value): value for module in modules for value in vars(module).values() if isinstance(value, Step)
    }
    assert sorted(step.task.task_run_name for step in steps.values()) == sorted(get_args(TaskName))
