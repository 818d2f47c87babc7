"""The judge of the compressed month: what grows is told, what stays is not, and too few days tell nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.control_room.month import PARTS, Day, Month
from tests.control_room.scale import LENGTHS, Scale
from tests.surroundings import ROOT

SCALE = Scale(30, keep_days=3)


def day(**changed: Any) -> Day:
    quiet = dict.fromkeys((*PARTS, "up"), 100.0)
    memory = quiet | changed.pop("memory", {})
    return Day(
        **{
            "cycles": 6,
            "stale": 0,
            "candles": 0,
            "rows": {"log": 1000},
            "size": 50.0,
            "memory": memory,
            **changed,
        }
    )


def month(days: list[Day], **found: Any) -> Month:
    return Month(SCALE, days, **found)


def test_a_month_in_which_nothing_grows_is_well() -> None:
    filling = [day(rows={"log": 200 * number}, size=10.0 * number) for number in range(8)]
    assert month([*filling, *[day(rows={"log": 1500}) for _ in range(22)]]).faults() == []


@pytest.mark.parametrize(
    ("grown", "words"),
    [
        (lambda number: {"rows": {"log": 1000, "events": 40 * number}}, "events grew"),
        (lambda number: {"memory": {"worker": 100.0 + number}}, "worker grew"),
        (lambda number: {"size": 50.0 + 2 * number}, "database grew"),
    ],
)
def test_what_grows_day_by_day_is_told(grown: Any, words: str) -> None:
    (fault,) = month([day(**grown(number)) for number in range(30)]).faults()
    assert words in fault


def test_few_days_are_not_judged_by_their_growth() -> None:
    assert month([day(size=10.0 * number) for number in range(1, 10)]).faults() == []


def test_work_that_was_not_done_is_a_fault_however_few_the_days() -> None:
    assert len(month([day(cycles=3)]).faults()) == 1
    assert len(month([day()], missing=1).faults()) == 1
    assert len(month([day()], failed={"reconcile (Failed)"}).faults()) == 1
    assert len(month([day()], restarts={"stream": 1}).faults()) == 1


@pytest.mark.parametrize("seconds", LENGTHS)
def test_a_compressed_project_differs_in_its_schedules_alone(seconds: int, tmp_path: Any) -> None:
    folder = Scale(seconds, keep_days=3).project(tmp_path / "project")
    ours, copied = (yaml.safe_load((root / "prefect.yaml").read_text()) for root in (ROOT, folder))
    for mine, its in zip(ours["deployments"], copied["deployments"], strict=True):
        assert bool(mine.pop("schedules")) == bool(its.pop("schedules"))
    assert ours == copied
