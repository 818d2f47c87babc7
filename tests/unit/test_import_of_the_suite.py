"""Importing the suite leaves out what it does not use, and everybody else has it all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eightbells.quality.unused import put_off
from tests.surroundings import ROOT

PROGRAM = """
import sys
from eightbells.quality import suite
assert not {"altair", "scipy.stats", "scipy.linalg"} & set(sys.modules)
import great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than as user
assert user.alt.Chart
import altair
assert user.alt.Chart is altair.Chart
"""


def test_the_suite_is_imported_without_what_it_does_not_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_module_that_is_put_off_is_imported_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with put_off("colorsys"):
        import colorsys as early
    assert "colorsys" not in sys.modules
    assert not hasattr(early, "__file__")
    import colorsys

    assert early.rgb_to_hsv is colorsys.rgb_to_hsv


def test_a_module_that_is_there_is_left_alone() -> None:
    with put_off("sys"):
        assert sys.modules["sys"] is sys
